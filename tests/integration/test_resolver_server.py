"""A resolver on real sockets: asked by dnspython and dig over UDP and TCP, and asking others, dnsmasq among them."""

import asyncio
import socket
import struct
import subprocess
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import dns.asyncquery
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest

from services.common.name_servers import NameServer
from services.gateway_agent.resolving import forwarding, server
from services.gateway_agent.resolving.book import Book, Listing
from services.gateway_agent.resolving.forwarding import Outcome
from services.gateway_agent.resolving.questions import Result
from services.gateway_agent.resolving.resolvers import Resolvers
from services.gateway_agent.resolving.server import Sockets
from services.gateway_agent.table import Resolver
from tests.support.agent import eventually

HERE = "127.0.0.1"
ZONE = "region-1.sidegate.internal"
OWN = f"e1.{ZONE}"
LONG = "long.example.com"


def bound(port: int = 0) -> tuple[socket.socket, socket.socket]:
    """Of UDP and of TCP, at one port."""
    for _ in range(100):
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        tcp = socket.socket()
        udp.bind((HERE, port))
        try:
            tcp.bind((HERE, udp.getsockname()[1]))
        except OSError:
            udp.close()
            tcp.close()
            continue
        tcp.listen()
        udp.setblocking(False)
        tcp.setblocking(False)
        return udp, tcp
    raise AssertionError("no port is free for both UDP and TCP")


Script = Callable[[dns.message.Message, bool], bytes | list[bytes]]


class Upstream(asyncio.DatagramProtocol):
    """A name server that says what a test wants, and remembers who asked what."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.asked: list[tuple[tuple[str, int], dns.message.Message]] = []
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        asked = dns.message.from_wire(data)
        self.asked.append((addr, asked))
        answers = self.script(asked, False)
        for each in [answers] if isinstance(answers, bytes) else answers:
            self._transport.sendto(each, addr)

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        (length,) = struct.unpack("!H", await reader.readexactly(2))
        asked = dns.message.from_wire(await reader.readexactly(length))
        answer = self.script(asked, True)
        assert isinstance(answer, bytes)
        writer.write(struct.pack("!H", len(answer)) + answer)
        await writer.drain()
        writer.close()


@asynccontextmanager
async def upstream(script: Script) -> AsyncIterator[tuple[Upstream, NameServer]]:
    udp, tcp = bound()
    made = Upstream(script)
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: made, sock=udp)
    listener = await asyncio.start_server(made.converse, sock=tcp)
    try:
        yield made, NameServer(ip_address(HERE), udp.getsockname()[1])
    finally:
        transport.close()
        listener.close()


def response(asked: dns.message.Message, *texts: str, rcode: dns.rcode.Rcode = dns.rcode.NOERROR) -> bytes:
    made = dns.message.make_response(asked, recursion_available=True)
    made.set_rcode(rcode)
    if texts:
        made.answer.append(dns.rrset.from_text(asked.question[0].name, 60, "IN", asked.question[0].rdtype, *texts))
    return made.to_wire(max_size=65_535)


def truncated(asked: dns.message.Message) -> bytes:
    made = dns.message.make_response(asked)
    made.flags |= dns.flags.TC
    return made.to_wire(max_size=65_535)


class Running:
    def __init__(self, resolvers: Resolvers, book: Book, port: int) -> None:
        self.resolvers, self.book, self.port = resolvers, book, port

    async def udp(self, name: str, kind: str = "A", **how: bool | int) -> dns.message.Message:
        query = dns.message.make_query(name, kind, **how)  # type: ignore[arg-type] # as dnspython has them
        return await dns.asyncquery.udp(query, HERE, timeout=10, port=self.port)

    async def tcp(self, name: str, kind: str = "A") -> dns.message.Message:
        return await dns.asyncquery.tcp(dns.message.make_query(name, kind), HERE, timeout=10, port=self.port)

    def count(self, result: Result) -> int:
        return self.resolvers.counts.results[result]


@asynccontextmanager
async def running(*forwarders: NameServer) -> AsyncIterator[Running]:
    book = Book()
    book.settled = True
    book.put("e1", Listing("vpc-1", (OWN, "api.example.com"), ip_address("10.0.0.100")))
    udp, tcp = bound()
    port = udp.getsockname()[1]
    resolvers = Resolvers(book, lambda _: Sockets(udp, tcp, stale=lambda: False))
    resolvers.want("vpc-1", Resolver("vpc-1", ip_address("10.0.0.53"), forwarders, ZONE))
    task = asyncio.create_task(resolvers.run())
    try:
        await eventually("the resolver to be served", lambda: bool(list(resolvers.serving())))
        yield Running(resolvers, book, port)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert udp.fileno() == tcp.fileno() == -1, "sockets are closed at the end"


def addresses(found: dns.message.Message) -> list[str]:
    return [record.to_text() for rrset in found.answer for record in rrset]


async def test_names_are_answered_by_udp_and_tcp_and_go_at_once() -> None:
    async with running() as at:
        for ask in (at.udp, at.tcp):
            assert addresses(await ask(OWN)) == ["10.0.0.100"]
            assert (await ask("www.example.com")).rcode() == dns.rcode.REFUSED
        at.book.hush("e1")
        assert (await at.udp(OWN)).rcode() == dns.rcode.NXDOMAIN
        assert (await at.udp("api.example.com")).rcode() == dns.rcode.SERVFAIL
        at.book.put("e1", None)
        assert (await at.udp("api.example.com")).rcode() == dns.rcode.REFUSED
        assert (at.count(Result.ANSWERED), at.count(Result.NXDOMAIN), at.count(Result.REFUSED)) == (2, 1, 3)


async def test_dig_is_content() -> None:
    async with running() as at:
        for way in ("+notcp", "+tcp"):
            command = ["dig", f"@{HERE}", "-p", str(at.port), way, "+norecurse", "+timeout=5", OWN, "A"]
            done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=True)
            assert "status: NOERROR" in done.stdout
            assert "10.0.0.100" in done.stdout
            assert "warning" not in done.stdout.lower(), done.stdout


async def test_one_connection_may_ask_again_and_again_and_an_idle_one_is_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server, "IDLE_SECONDS", 0.3)
    async with running() as at:
        reader, writer = await asyncio.open_connection(HERE, at.port)
        for _ in range(3):
            writer.write(dns.message.make_query(OWN, "A").to_wire(prepend_length=True))
            (length,) = struct.unpack("!H", await reader.readexactly(2))
            assert addresses(dns.message.from_wire(await reader.readexactly(length))) == ["10.0.0.100"]
        assert await asyncio.wait_for(reader.read(), 10) == b"", "closed, since nothing is asked any more"
        writer.close()


async def test_one_client_has_so_many_connections_and_no_more() -> None:
    async with running() as at:
        open_ = [await asyncio.open_connection(HERE, at.port) for _ in range(server.MOST_CONNECTIONS_OF_ONE + 1)]
        query = dns.message.make_query(OWN, "A").to_wire(prepend_length=True)
        for _, writer in open_:
            writer.write(query)
        heard = []
        for reader, _ in open_:
            try:
                heard.append(await reader.read(2))
            except ConnectionResetError:
                heard.append(b"")
        assert heard.count(b"") == 1
        assert at.count(Result.LIMITED) == 1
        for _, writer in open_:
            writer.close()
        await eventually("others to be let in again", lambda: at.count(Result.ANSWERED) == len(open_) - 1)
        assert addresses(await at.tcp(OWN)) == ["10.0.0.100"]


async def test_what_is_too_much_in_a_second_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "QUESTIONS_PER_SECOND", 5)
    async with running() as at:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            for _ in range(50):
                client.sendto(dns.message.make_query(OWN, "A").to_wire(), (HERE, at.port))
        await eventually("all to be counted", lambda: at.resolvers.counts.results.total() == 50)
        assert at.count(Result.LIMITED) >= 40


async def test_questions_take_so_much_time_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """One about a name as long as can be takes twenty times what others do, so to count them is not enough."""
    monkeypatch.setattr(server, "QUESTIONS_SHARE", 0.02)
    async with running() as at:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            for number in range(100):
                client.sendto(dns.message.make_query("a." * 120 + f"{number}", "A").to_wire(), (HERE, at.port))
            await eventually("all to be counted", lambda: at.resolvers.counts.results.total() == 100)
            assert at.count(Result.LIMITED) > 50

            def answered() -> bool:
                client.sendto(dns.message.make_query(OWN, "A").to_wire(), (HERE, at.port))
                return at.count(Result.ANSWERED) > 0

            await eventually("time to be left again", answered)


async def test_malformed_questions_stop_nobody() -> None:
    async with running() as at:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            for wire in (b"", b"x", b"\0" * 12, b"\xff" * 40, dns.message.make_query(OWN, "A").to_wire()[:-3]):
                client.sendto(wire, (HERE, at.port))
        reader, writer = await asyncio.open_connection(HERE, at.port)
        writer.write(b"\0\1x")
        assert await asyncio.wait_for(reader.read(), 10) == b""
        writer.close()
        assert addresses(await at.udp(OWN)) == ["10.0.0.100"]


async def test_other_names_are_asked_of_forwarders_in_words_of_our_own_from_another_port_each_time(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with upstream(lambda asked, _: response(asked, "192.0.2.7")) as (others, where), running(where) as at:
        for _ in range(8):
            found = await at.udp("WwW.eXample.com")
            assert addresses(found) == ["192.0.2.7"]
            assert found.flags & dns.flags.RA
            assert not found.flags & dns.flags.AA
            assert found.question[0].name.to_text() == "WwW.eXample.com."
        assert len({client for client, _ in others.asked}) > 1, "source ports differ"
        assert len({asked.id for _, asked in others.asked}) > 1, "and ids"
        await at.udp(OWN)
        await at.udp(f"nobody.{ZONE}")
        await at.udp("x.sidegate.internal")
        assert len(others.asked) == 8, "nothing of the platform's goes out"
        assert at.count(Result.FORWARDED) == at.resolvers.counts.outcomes[Outcome.ANSWERED] == 8
    logged = capsys.readouterr().out.lower()
    assert "answering for a resolver" in logged
    assert "example.com" not in logged, "what clients ask is theirs"


async def test_an_answer_that_was_cut_is_asked_for_by_tcp_and_cut_for_a_client_by_udp() -> None:
    texts = [f"10.1.{number // 250}.{number % 250 + 1}" for number in range(300)]

    def script(asked: dns.message.Message, by_tcp: bool) -> bytes:
        return response(asked, *texts) if by_tcp else truncated(asked)

    async with upstream(script) as (_, where), running(where) as at:
        assert (await at.udp(LONG)).flags & dns.flags.TC
        assert len(addresses(await at.tcp(LONG))) == 300


async def test_an_answer_that_takes_long_to_read_is_not_read() -> None:
    """64 KB take half a second, in which nothing else is done."""
    texts = [f"10.1.{number // 250}.{number % 250 + 1}" for number in range(2000)]
    ways: list[bool] = []

    def script(asked: dns.message.Message, by_tcp: bool) -> bytes:
        ways.append(by_tcp)
        return response(asked, *texts) if by_tcp else truncated(asked)

    async with upstream(script) as (_, where), running(where) as at:
        assert (await at.udp(LONG)).flags & dns.flags.TC
        assert ways == [False], "of a client by UDP nobody else asks by TCP"
        assert (await at.tcp(LONG)).rcode() == dns.rcode.SERVFAIL
        assert at.resolvers.counts.outcomes[Outcome.UNREACHABLE] == 1


async def test_while_a_long_answer_is_read_others_are_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names in it may be so long that it takes two seconds."""
    going, through, reads = threading.Event(), threading.Event(), forwarding._answer_to

    def slowly(query: dns.message.Message, data: bytes) -> dns.message.Message | None:
        going.set()
        assert through.wait(10)
        return reads(query, data)

    monkeypatch.setattr(forwarding, "_answer_to", slowly)
    monkeypatch.setattr(forwarding.Forwarder.__init__, "__defaults__", (10.0,))
    texts = [f"10.1.0.{number}" for number in range(1, 60)]
    async with upstream(lambda asked, _: response(asked, *texts)) as (_, where), running(where) as at:
        long = asyncio.create_task(at.tcp(LONG))
        try:
            await eventually("the answer to be read", going.is_set)
            assert addresses(await at.udp(OWN)) == ["10.0.0.100"]
        finally:
            through.set()
        assert len(addresses(await long)) == 59


async def test_names_are_answered_of_a_resolver_that_was_taken_away_and_set_again() -> None:
    """In one go, before anything was closed: what was put after that was put where nobody looked."""
    async with running() as at:
        at.book.put("e1", None)
        (resolver,) = at.resolvers.serving()
        at.resolvers.want("vpc-1", None)
        at.resolvers.want("vpc-1", resolver)
        at.book.put("e1", Listing("vpc-1", (OWN,), ip_address("10.0.0.101")))
        assert addresses(await at.udp(OWN)) == ["10.0.0.101"]


async def test_answers_of_others_take_so_much_time_and_own_names_are_answered_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server, "ANSWERS_SHARE", 0.015)
    texts = [f"10.1.0.{number}" for number in range(1, 60)]
    async with upstream(lambda asked, _: response(asked, *texts)) as (_, where), running(where) as at:
        found = await asyncio.gather(*(at.udp(f"w{number}.example.com") for number in range(50)))
        assert {each.rcode() for each in found} == {dns.rcode.NOERROR, dns.rcode.SERVFAIL}
        assert at.count(Result.LIMITED) > 10
        assert addresses(await at.udp(OWN)) == ["10.0.0.100"]


async def test_who_is_silent_or_declines_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forwarding.Forwarder.__init__, "__defaults__", (0.3,))
    async with (
        upstream(lambda _, __: []) as (_, silent),
        upstream(lambda asked, _: response(asked, rcode=dns.rcode.SERVFAIL)) as (_, failing),
        upstream(lambda asked, _: response(asked, "192.0.2.7")) as (_, third),
    ):
        async with running(silent, failing, third) as at:
            assert addresses(await at.udp("www.example.com")) == ["192.0.2.7"]
            outcomes = at.resolvers.counts.outcomes
            assert dict(outcomes) == {Outcome.SILENT: 1, Outcome.DECLINED: 1, Outcome.ANSWERED: 1}
        async with running(silent, failing) as at:
            assert (await at.udp("www.example.com")).rcode() == dns.rcode.SERVFAIL
            assert at.count(Result.FAILED) == 1
    async with running(third) as at:  # it has gone
        assert (await at.udp("www.example.com")).rcode() == dns.rcode.SERVFAIL
        assert at.resolvers.counts.outcomes[Outcome.UNREACHABLE] == 1


async def test_an_answer_to_another_question_or_of_another_id_is_nobodys() -> None:
    def script(asked: dns.message.Message, _: bool) -> list[bytes]:
        other = dns.message.make_query("evil.example.com", "A")
        other.id = asked.id
        wrong_id = dns.message.make_query(asked.question[0].name, "A")
        wrong_id.id = asked.id ^ 1
        return [b"x", response(other, "6.6.6.6"), response(wrong_id, "6.6.6.6"), response(asked, "192.0.2.7")]

    async with upstream(script) as (_, where), running(where) as at:
        assert addresses(await at.udp("www.example.com")) == ["192.0.2.7"]


async def test_what_is_not_there_elsewhere_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    async with (
        upstream(lambda asked, _: response(asked, rcode=dns.rcode.NXDOMAIN)) as (_, where),
        running(where) as at,
    ):
        assert (await at.udp("nobody.example.com")).rcode() == dns.rcode.NXDOMAIN


async def test_so_many_wait_for_others_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forwarding, "MOST_WAITING", 3)
    monkeypatch.setattr(forwarding.Forwarder.__init__, "__defaults__", (0.5,))
    async with upstream(lambda _, __: []) as (_, silent), running(silent) as at:
        found = await asyncio.gather(*(at.udp(f"w{number}.example.com") for number in range(5)))
        assert {each.rcode() for each in found} == {dns.rcode.SERVFAIL}
        assert (at.count(Result.LIMITED), at.count(Result.FAILED)) == (2, 3)


async def test_dnsmasq_is_asked_for_other_names(tmp_path: Path) -> None:
    udp, tcp = bound()
    port = udp.getsockname()[1]
    udp.close()
    tcp.close()
    many = [f"--host-record={LONG},10.1.0.{number}" for number in range(1, 200)]
    options = ["--no-daemon", "--no-resolv", "--no-hosts", f"--port={port}", f"--listen-address={HERE}", "--conf-file="]
    options += ["--bind-interfaces", "--host-record=www.example.com,192.0.2.9", "--pid-file=", *many]
    options += ["--txt-record=www.example.com,hello", "--ptr-record=9.2.0.192.in-addr.arpa,www.example.com"]
    process = await asyncio.create_subprocess_exec(
        "/usr/sbin/dnsmasq", *options, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        async with running(NameServer(ip_address(HERE), port)) as at:

            async def asked(name: str, kind: str = "A") -> list[str]:
                return addresses(await at.udp(name, kind))

            async with asyncio.timeout(20):
                while await asked("www.example.com") != ["192.0.2.9"]:  # until it listens
                    await asyncio.sleep(0.05)
            assert await asked("www.example.com", "TXT") == ['"hello"']
            assert await asked("9.2.0.192.in-addr.arpa", "PTR") == ["www.example.com."]
            assert (await at.udp(LONG)).flags & dns.flags.TC
            assert len(addresses(await at.tcp(LONG))) == 199
    finally:
        process.terminate()
        await process.wait()

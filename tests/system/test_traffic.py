"""What passes is counted, packet by packet; and endpoints get more source addresses when their sessions need them."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from ipaddress import IPv4Address
from pathlib import Path

import nats.errors
import pytest
import pytest_asyncio
from nats.js import JetStreamContext
from pcapng import FileScanner, blocks

from services.common.messaging.connection import Unsettled, connect
from sidegate import errors
from sidegate.api.endpoint.v1.endpoint_pb2 import Endpoint
from sidegate.api.endpoint.v1.gateways_service_pb2 import Gateway as GatewayPb
from sidegate.api.gateway.v1.flow_pb2 import Flow
from sidegate.api.gateway.v1.traffic_pb2 import EndpointTraffic
from sidegate.api.registry.v1.endpoint_service_pb2 import EndpointService
from sidegate.nkeys import UserCredential
from tests.support import namespaces
from tests.support.metrics import scrape, value
from tests.support.namespaces import Namespace
from tests.support.standalone import Standalone, require_root, until
from tests.support.world import MACHINE, Site, call, machine, site, tcp, udp

pytestmark = [pytest.mark.root, pytest.mark.asyncio(loop_scope="module")]

HEADERS = 28
"""Bytes of an IPv4 and a UDP header."""

SAID, ANSWER = b"x" * 100, b"y" * 300
ASKED, UNPUBLISHED = 5353, 5999
MANY = 40_000
"""More sessions than half of what one source address holds with one port of a backend."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sidegate(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Standalone]:
    require_root()
    async with Standalone(tmp_path_factory.mktemp("sidegate"), "--flow-log", "full") as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def sites(sidegate: Standalone, request: pytest.FixtureRequest) -> AsyncIterator[Sequence[Site]]:
    """Two consumers and a provider, accounts of this test's own."""
    accounts = [f"{name}-{request.node.name[5:40].rstrip('_')}" for name in ("anna", "bert", "pia")]
    async with contextlib.AsyncExitStack() as stack:
        made = stack.enter_context(namespaces.make("anna", "bert", "pia"))
        pairs = zip(accounts, made, strict=True)
        yield [await stack.enter_async_context(site(sidegate, account, namespace)) for account, namespace in pairs]


async def connected(consumer: Site, service: EndpointService, provider: Site) -> Endpoint:
    await provider.client.services.permit(service.id, [f"iam:domain::{consumer.account}"])
    return await consumer.accepted(await consumer.request(service))


class Answering:
    """A UDP server that says the same to whoever asks, and remembers from where it was asked."""

    def __init__(self, namespace: Namespace, port: int) -> None:
        self._ear = namespace.udp_socket(MACHINE, port)
        self.seen: set[str] = set()

    async def serve(self) -> None:
        loop = asyncio.get_running_loop()
        with self._ear:
            while True:
                _, source = await loop.sock_recvfrom(self._ear, 1500)
                self.seen.add(source[0])
                await loop.sock_sendto(self._ear, ANSWER, source)


@contextlib.asynccontextmanager
async def answering(namespace: Namespace, port: int = 53) -> AsyncIterator[Answering]:
    made = Answering(namespace, port)
    task = asyncio.create_task(made.serve())
    try:
        yield made
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def ask(consumer: Site, endpoint: Endpoint, times: int, port: int = ASKED) -> None:
    """From one port, one question after another; each is answered."""
    loop = asyncio.get_running_loop()
    with consumer.namespace.udp_socket() as mouth:
        await loop.sock_connect(mouth, (endpoint.address, port))
        for _ in range(times):
            await loop.sock_sendall(mouth, SAID)
            async with asyncio.timeout(10):
                assert await loop.sock_recv(mouth, 1500) == ANSWER


def ask_from(consumer: Site, endpoint: Endpoint, ports: range, port: int = ASKED) -> None:
    """One question from each port; nobody waits for an answer."""

    def send() -> None:
        for each in ports:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mouth:
                mouth.bind((MACHINE, each))
                mouth.sendto(SAID, (endpoint.address, port))

    consumer.namespace.run(send)


async def traffic_of(sidegate: Standalone, endpoint: Endpoint) -> EndpointTraffic:
    """As the gateway tells it."""
    async with sidegate.client("operator") as operator:
        told = await operator.gateway.traffic(limit=1000)
    return next((each for each in told.endpoints if each.endpoint_id == endpoint.id), EndpointTraffic())


async def test_what_is_counted_is_what_was_sent(sidegate: Standalone, sites: Sequence[Site]) -> None:
    anna, bert, pia = sites
    async with answering(pia.namespace):
        service = await pia.publish("names", udp(ASKED, 53), approval=False)
        of_anna, of_bert = await connected(anna, service, pia), await connected(bert, service, pia)
        await ask(anna, of_anna, 25)
        await ask(anna, of_anna, 5)
        await ask(bert, of_bert, 12)
        await asyncio.to_thread(ask_from, anna, of_anna, range(30_000, 30_007), UNPUBLISHED)

        async def all_refused() -> bool:
            return dict((await traffic_of(sidegate, of_anna)).traffic.refused) == {"no_port": 7}

        await until("all packets to be counted", all_refused)
        for endpoint, sent, sessions in ((of_anna, 30, 2), (of_bert, 12, 1)):
            told = await traffic_of(sidegate, endpoint)
            assert (told.service_id, told.address, told.sources) == (service.id, endpoint.address, 1)
            passed = told.traffic
            assert (passed.sessions, passed.sessions_made) == (sessions, sessions)
            assert (passed.packets_in, passed.packets_out) == (sent, sent)
            assert passed.bytes_in == sent * (HEADERS + len(SAID))
            assert passed.bytes_out == sent * (HEADERS + len(ANSWER))
        shown = (await asyncio.to_thread(sidegate.answer, "gateway", "traffic"))["endpoints"]
        assert {each["endpoint_id"]: each["traffic"]["bytes_in"] for each in shown}[of_anna.id] == 30 * 128
        text = await asyncio.to_thread(scrape, sidegate.ready["gateway"]["metrics"])
        of = {"endpoint_id": of_anna.id, "service_id": service.id}
        assert value(text, "sidegate_endpoint_rx_packet_total", **of) == 30
        assert value(text, "sidegate_endpoint_act_connections", **of) == 2
        assert value(text, "sidegate_endpoint_drop_num_total", reason="no_port", **of) == 7
        expected = dict(zip(COUNTED, (3, 42, 42 * 128, 42, 42 * 328), strict=True))
        assert sums(text, service) == expected
        assert value(text, "sidegate_service_drop_num_total", reason="no_port", service_id=service.id) == 7
        assert value(text, "sidegate_service_act_connections", service_id=service.id) == 3
        await ask(bert, of_bert, 8)
        await bert.client.endpoints.delete(of_bert.id)

        async def gone() -> bool:
            return (await traffic_of(sidegate, of_bert)).endpoint_id == ""

        await until("the endpoint to be taken out", gone)
        text = await asyncio.to_thread(scrape, sidegate.ready["gateway"]["metrics"])
        assert sums(text, service) == dict(zip(COUNTED, (4, 50, 50 * 128, 50, 50 * 328), strict=True))
        assert value(text, "sidegate_service_act_connections", service_id=service.id) == 2


def sums(text: str, service: EndpointService) -> dict[str, float]:
    return {name: value(text, f"sidegate_service_{name}_total", service_id=service.id) for name in COUNTED}


COUNTED = ("connections", "rx_packet", "rx_byte", "tx_packet", "tx_byte")


@pytest.mark.filterwarnings("ignore:Field type should not be:DeprecationWarning")  # the reader's own table of options
async def test_a_session_is_seen_packet_by_packet_in_the_flow_log_and_on_nats(
    sidegate: Standalone, sites: Sequence[Site], tmp_path: Path
) -> None:
    anna, _, pia = sites
    async with machine(pia.namespace, "pia"), contextlib.AsyncExitStack() as stack:
        service = await pia.publish("seen", approval=False)
        endpoint = await connected(anna, service, pia)
        reader = await stack.enter_async_context(reading(sidegate, tmp_path, anna))
        file, about = tmp_path / "anna.pcapng", ("gateway", "capture", "--endpoint", endpoint.id, "--seconds", "20")
        capturing = asyncio.create_task(asyncio.to_thread(sidegate.cli, *about, "-c", "12", "-w", str(file)))

        async def capture_began() -> bool:
            return file.exists() and file.stat().st_size > 0

        await until("the capture to begin", capture_began)
        conversation = await call(anna.namespace, endpoint.address, 80, source_port=41_000)
        assert conversation is not None
        stack.callback(conversation.close)
        assert await conversation.goes_on()
        done = await capturing
        assert done.returncode == 0, done.stderr
        assert "12 packets, 0 dropped; ended by packets" in done.stderr
        with file.open("rb") as opened:
            frames = [each for each in FileScanner(opened) if isinstance(each, blocks.EnhancedPacket)]
        packets = [each for each in frames if each.packet_data[12:14] == b"\x08\x00"]  # and not who has the address
        syn = packets[0].packet_data[14:]
        assert (syn[12:16], syn[16:20]) == (IPv4Address(MACHINE).packed, IPv4Address(endpoint.address).packed)
        assert (syn[20:24], syn[33]) == ((41_000).to_bytes(2, "big") + (80).to_bytes(2, "big"), 0x02)
        assert {(each.interface_id, each.options["epb_flags"].inout) for each in packets} == {
            (side, way) for side in (0, 1) for way in ("inbound", "outbound")
        }
        assert "capture begun" in (sidegate.data / "logs" / "gateway.log").read_text()
        assert await call(anna.namespace, endpoint.address, 81, source_port=41_001, patience=0.2) is None
        await anna.client.endpoints.delete(endpoint.id)

        async def both_told() -> dict[int, Flow] | None:
            told = {flow.client_port: flow for flow in await reader()}
            return told if {41_000, 41_001} <= told.keys() else None

        told = await until("both sessions to be told of on NATS", both_told)
        assert told is not None
        assert {port: flow.verdict for port, flow in told.items()} == {41_000: "cut", 41_001: "refused_no_port"}
        flow = told[41_000]
        assert (flow.account, flow.endpoint_id, flow.marker_id) == (anna.account, endpoint.id, endpoint.marker_id)
        assert (flow.client, flow.address, flow.service_id) == (MACHINE, endpoint.address, service.id)
        assert min(flow.packets_in, flow.packets_out) >= 4
        async with sidegate.client("operator") as operator:
            shown = [answer async for answer in operator.gateway.flows(endpoint_id=endpoint.id, newest=9, follow=False)]
        assert {each.client_port for answer in shown for each in answer.flows} == {41_000, 41_001}
        text = await asyncio.to_thread(scrape, sidegate.ready["gateway"]["metrics"])
        assert value(text, "sidegate_gateway_flow_records_total", outcome="written") >= 2
        assert value(text, "sidegate_gateway_flow_records_total", outcome="dropped") == 0


@contextlib.asynccontextmanager
async def reading(
    sidegate: Standalone, directory: Path, site: Site
) -> AsyncIterator[Callable[[], Awaitable[list[Flow]]]]:
    """All flows that a project's program has been told of so far, by a credential of its own."""
    path = directory / f"{site.account}.creds"
    made = await asyncio.to_thread(
        sidegate.cli, "credential", "create", "--events", "--out", str(path), account=site.account
    )
    assert made.returncode == 0, made.stderr
    consumer = UserCredential.parse(path.read_text()).name
    connection = await connect(f"nats://{sidegate.ready['nats']['address']}", site.account, path)
    heard: list[Flow] = []
    bound_to: list[JetStreamContext.PullSubscription] = []

    async def bound() -> bool:
        with contextlib.suppress(nats.errors.Error, Unsettled):
            async with connection.exchange() as jetstream:
                await jetstream.reset_consumer("FLOW", consumer, 1)
                bound_to.append(await jetstream.pull_subscribe_bind(consumer, "FLOW"))
        return bool(bound_to)

    async def told() -> list[Flow]:
        with contextlib.suppress(TimeoutError):
            heard.extend(Flow.FromString(each.data) for each in await bound_to[0].fetch(100, timeout=0.3))
        return heard

    try:
        await until("a consumer for it", bound)
        yield told
    finally:
        await connection.close()


async def test_an_endpoint_with_many_sessions_gets_another_source_address_and_loses_none(
    sidegate: Standalone, sites: Sequence[Site]
) -> None:
    anna, _, pia = sites
    async with answering(pia.namespace) as server, machine(pia.namespace, "pia"):
        service = await pia.publish("many", udp(ASKED, 53), tcp(80, 8080), approval=False)
        endpoint = await connected(anna, service, pia)
        conversation = await call(anna.namespace, endpoint.address, 80)
        assert conversation is not None
        await asyncio.to_thread(ask_from, anna, endpoint, range(10_000, 10_000 + MANY))

        async def two() -> list[str]:
            async with sidegate.client("operator") as operator:
                table = await operator.gateway.table()
            (entry,) = [each.entry.endpoint for each in table.entries if each.entry.endpoint.endpoint_id == endpoint.id]
            return [lease.address for lease in entry.sources] if len(entry.sources) == 2 else []

        first, second = await until("a second source address in the kernel", two)
        assert len({IPv4Address(first), IPv4Address(second)}) == 2
        grown = await anna.client.endpoints.get(endpoint.id)
        assert (grown.generation, grown.sources.status) == (endpoint.generation + 1, True)
        assert await conversation.goes_on(5.0), "nothing is cut"
        conversation.close()
        told = await traffic_of(sidegate, endpoint)
        assert told.traffic.sessions_made == MANY + 1
        assert (told.sources, told.source_capacity) == (2, 2 * 64_512)

        async def new_ones_come_from_both() -> bool:
            server.seen.clear()
            for _ in range(20):
                await ask(anna, endpoint, 1)
            return {first, second} <= server.seen

        await until("new sessions from both addresses", new_ones_come_from_both)
        text = await asyncio.to_thread(scrape, sidegate.ready["endpoint"]["metrics"])
        assert value(text, "sidegate_sources_added_total") == 1
        replayed = await asyncio.to_thread(sidegate.cli, "audit", "replay", "-o", "json")
        assert replayed.returncode == 0, json.loads(replayed.stdout)


async def test_owners_read_what_passes_within_seconds_and_nothing_counts_twice(
    sidegate: Standalone, sites: Sequence[Site]
) -> None:
    anna, bert, pia = sites
    async with answering(pia.namespace), sidegate.client("operator") as operator:
        service = await pia.publish("told", udp(ASKED, 53), approval=False)
        endpoint = await connected(anna, service, pia)

        async def told(packets: int) -> bool:
            return (await anna.client.endpoints.traffic(endpoint.id)).total.packets_in == packets

        async def read_of_both(packets: int, refused: int) -> None:
            mine = await anna.client.endpoints.traffic(endpoint.id)
            theirs = await pia.client.connections.traffic(service.id)
            expected = (packets, packets * (HEADERS + len(SAID)), packets, packets * (HEADERS + len(ANSWER)))
            (connection,) = theirs.connections
            for seen in (mine, theirs, connection):
                total = seen.total
                assert (total.packets_in, total.bytes_in, total.packets_out, total.bytes_out) == expected
                assert dict(total.refused) == {"port": refused}
            for seen in (mine, theirs):
                assert sum(each.bytes_in for each in seen.series.samples) == expected[1]
            assert (connection.endpoint_id, connection.marker_id) == (endpoint.id, endpoint.marker_id)
            assert connection.account == anna.account

        await asyncio.to_thread(ask_from, anna, endpoint, range(30_000, 30_007), UNPUBLISHED)
        await ask(anna, endpoint, 25)
        await until("both sides to read it", lambda: told(25))
        await read_of_both(25, 7)
        (line,) = [each async for each in anna.client.traffic.list()]
        assert (line.endpoint_id, line.own_endpoint, line.own_service, line.sessions) == (endpoint.id, True, False, 1)
        (line,) = [each async for each in pia.client.traffic.list()]
        assert (line.endpoint_id, line.own_endpoint, line.own_service) == (endpoint.id, False, True)

        for packets in (35, 45):
            await sidegate.kill_program("gateway")
            await ask(anna, endpoint, 10)  # forwarding needs no agent
            await until("what passed meanwhile to be told", partial(told, packets))
            await read_of_both(packets, 7)

        (gateway,) = [each async for each in operator.gateways.list()]
        assert (gateway.state, gateway.cell) == (GatewayPb.STATE_JOINED, "default")
        assert gateway.total.packets_in >= 45
        assert gateway.total.refused["no_port"] >= 7
        assert gateway.session_capacity > gateway.total.sessions > 0

        assert [each async for each in bert.client.traffic.list()] == []
        assert not (await bert.client.connections.traffic(service.id)).connections
        for ask_for in (
            lambda: bert.client.endpoints.traffic(endpoint.id),
            lambda: pia.client.endpoints.traffic(endpoint.id),
            lambda: bert.client.connections.traffic(service.id, endpoint.id),
        ):
            with pytest.raises(errors.NotFound):
                await ask_for()
        with pytest.raises(errors.Forbidden):  # the operator, acting for bert
            _ = [each async for each in bert.client.gateways.list()]

        await ask(anna, endpoint, 5)
        await anna.client.endpoints.delete(endpoint.id)

        async def all_of_it() -> bool:
            return (await pia.client.connections.traffic(service.id)).total.packets_in == 50

        await until("its last packets to count for the service", all_of_it)


async def test_an_endpoint_service_that_starts_again_begins_to_count_anew(
    sidegate: Standalone, sites: Sequence[Site]
) -> None:
    anna, _, pia = sites
    async with answering(pia.namespace):
        service = await pia.publish("anew", udp(ASKED, 53), approval=False)
        endpoint = await connected(anna, service, pia)
        await ask(anna, endpoint, 20)

        async def told(packets: int, sessions: int) -> bool:
            total = (await anna.client.endpoints.traffic(endpoint.id)).total
            return (total.packets_in, total.sessions) == (packets, sessions)

        await until("it to be told", lambda: told(20, 1))
        before = (await anna.client.endpoints.traffic(endpoint.id)).begin_time.ToNanoseconds()
        await sidegate.kill_program("endpoint")
        await until("the gateway to tell all", lambda: told(0, 1))
        assert (await anna.client.endpoints.traffic(endpoint.id)).begin_time.ToNanoseconds() > before
        await ask(anna, endpoint, 3)
        await until("what came since to be told", lambda: told(3, 2))

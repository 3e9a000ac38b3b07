"""Users of NATS who try more than is theirs, on a real server: each hears no, and nothing is changed by it."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import nats.errors
import pytest
import pytest_asyncio
from nats.aio.client import Client
from nats.aio.msg import Msg
from structlog.testing import capture_logs

from services.common.identity.nats import rights
from services.common.messaging import subjects
from services.common.messaging.broker import JetStreamBroker
from services.common.messaging.connection import Connection, connect
from services.common.messaging.envelope import Message
from services.common.messaging.flows import FlowStream
from services.common.messaging.readers import keep, live
from services.common.messaging.stream import ENDPOINT, REGISTRY, LogEpoch, Topic
from services.common.messaging.views import ENDPOINT_VIEWS, SERVICE_VIEWS
from services.common.principal import Principal
from tests.support import identity
from tests.support.nats import DEADLINE, Nats, connected, running, within
from tests.support.subscriber import Admitted, admitting

pytestmark = pytest.mark.asyncio(loop_scope="module")

LOG = LogEpoch("6f1c2d34-0000-4000-8000-000000000001", 1)
SHOP, PAYMENTS = Principal("shop", "default"), Principal("payments", "default")
OURS, THEIRS = "gw-c1_gw-1", "gw-c2_gw-2"
NEXT, RESET, INFO = ("$JS.API.CONSUMER.MSG.NEXT", "$JS.API.CONSUMER.RESET", "$JS.API.CONSUMER.INFO")
TAKEN = json.dumps({"batch": 10, "no_wait": True}).encode()


@dataclass
class Site:
    """A server with the streams of both logs and their views, an event of each kind in them, and who reads them."""

    nats: Nats
    endpoint: Connection
    registry: Connection
    admitted: Admitted
    shop: Path
    payments: Path

    async def ends(self) -> dict[str, int]:
        """Where each stream ends, by its name."""
        async with self.endpoint.exchange() as jetstream:
            return {info.config.name or "": info.state.last_seq for info in await jetstream.streams_info()}

    @asynccontextmanager
    async def intruder(self, credential: Path) -> AsyncIterator["Intruder"]:
        async with connected(self.nats, "intruder", credential) as connection:
            yield Intruder(connection.client)


class Intruder:
    """A user who asks and listens."""

    def __init__(self, client: Client) -> None:
        self.client = client

    async def ask(self, subject: str, data: bytes = b"") -> bytes | None:
        """The answer; None where there is none, for whatever reason."""
        try:
            return (await self.client.request(subject, data, timeout=0.4)).data
        except (nats.errors.TimeoutError, nats.errors.NoRespondersError):
            return None

    async def fetch(self, stream: str, consumer: str) -> list[str]:
        """The subjects of what a consumer delivers to us now."""
        found: list[str] = []
        inbox = self.client.new_inbox()

        ended = asyncio.Event()

        async def take(message: Msg) -> None:
            if message.data:
                found.append(message.subject)
            else:
                ended.set()

        listening = await self.client.subscribe(inbox, cb=take)
        await self.ask(f"{RESET}.{stream}.{consumer}", b'{"seq":1}')
        await self.client.publish(f"{NEXT}.{stream}.{consumer}", TAKEN, reply=inbox)
        with suppress(TimeoutError):  # a refusal is not answered
            async with asyncio.timeout(0.4):
                await ended.wait()
        await listening.unsubscribe()
        return found


def flow_of(owner: Principal) -> str:
    return subjects.view(owner.account, owner.project, "flow", "1")


async def fill(connection: Connection, topic: Topic, *told: str) -> None:
    broker = JetStreamBroker(connection, topic)
    await broker.create(LOG)
    await broker.publish(topic.stream(1), 0, [Message(subject, {}, b"event") for subject in told])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    directory = tmp_path_factory.mktemp("break-in")
    async with AsyncExitStack() as stack:
        nats_ = await stack.enter_async_context(running(directory / "nats"))
        endpoint = await stack.enter_async_context(connected(nats_, "endpoint"))
        registry = await stack.enter_async_context(connected(nats_, "registry", identity.nats_user("registry")))
        await fill(endpoint, ENDPOINT, *(subjects.endpoint(cell, "endpoint", "p", "1") for cell in ("c1", "c2")))
        await fill(registry, REGISTRY, subjects.registry("vpc", "p", "1"))
        owned = [subjects.view(owner.account, owner.project, "endpoint", "1") for owner in (SHOP, PAYMENTS)]
        await fill(endpoint, ENDPOINT_VIEWS, *owned)
        await fill(registry, SERVICE_VIEWS, subjects.view("payments", "default", "service", "1"))
        flows = FlowStream(LOG.log_id)
        keeping = asyncio.create_task(flows.run(endpoint))
        stack.callback(keeping.cancel)
        await within(lambda: flows.is_there)
        await flows.publish([(flow_of(owner), b"flow") for owner in (SHOP, PAYMENTS)])
        gateways = {OURS: subjects.of_cell("c1").subject, THEIRS: subjects.of_cell("c2").subject}
        await keep(endpoint, (await live(endpoint, ENDPOINT))[ENDPOINT], rights.GATEWAY, gateways)
        admitted = await stack.enter_async_context(admitting(nats_, directory))
        made = Site(nats_, endpoint, registry, admitted, admitted.admit(SHOP), admitted.admit(PAYMENTS))
        await within(lambda: served(made, 2))
        yield made


async def served(site: Site, count: int) -> bool:
    async with site.endpoint.exchange() as jetstream:
        streams = [await jetstream.consumers_info(stream) for stream in ("VIEW-EP-1", "FLOW-1")]
    return {sum(each.name.startswith(rights.SUBSCRIBER) for each in consumers) for consumers in streams} == {count}


GUESSES = [{}, {"auth_token": "guessed"}, {"user": "endpoint", "pass": "guessed"}, {"jwt": "guessed", "sig": "guessed"}]


@pytest.mark.parametrize("said", GUESSES)
async def test_whoever_has_no_credential_is_not_let_in_and_who_runs_nats_sees_it(
    site: Site, said: dict[str, str]
) -> None:
    host, _, port = site.nats.server.address.partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        await reader.readline()
        writer.write(f"CONNECT {json.dumps({'verbose': False, 'lang': 'x', **said})}\r\nPING\r\n".encode())
        async with asyncio.timeout(DEADLINE):
            assert b"Authorization Violation" in await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()
    assert "authentication error" in (site.nats.server.store.parent / "nats.log").read_text()


async def test_a_gateway_reads_and_moves_its_own_consumer(site: Site) -> None:
    async with site.intruder(identity.nats_gateway("c1", "gw-1")) as gateway:
        assert await gateway.fetch("EP-1", OURS) == [subjects.endpoint("c1", "endpoint", "p", "1")]


@pytest.mark.parametrize(
    ("gateway", "consumer"), [(("c1", "gw-1"), THEIRS), (("c1", "gw-2"), THEIRS), (("c2", "gw-1"), OURS)]
)
async def test_a_gateway_does_not_read_another_cell_or_for_another_gateway(
    site: Site, gateway: tuple[str, str], consumer: str
) -> None:
    async with site.intruder(identity.nats_gateway(*gateway)) as intruder:
        assert await intruder.fetch("EP-1", consumer) == []
        assert await intruder.ask(f"{RESET}.EP-1.{consumer}") is None


ADMINISTRATION = (
    ("$JS.API.STREAM.NAMES", b""),
    ("$JS.API.STREAM.LIST", b""),
    ("$JS.API.STREAM.INFO.EP-1", b""),
    ("$JS.API.STREAM.PURGE.EP-1", b""),
    ("$JS.API.STREAM.DELETE.EP-1", b""),
    ("$JS.API.STREAM.UPDATE.EP-1", b'{"name":"EP-1","subjects":["nothing"]}'),
    ("$JS.API.STREAM.CREATE.OWN", b'{"name":"OWN","subjects":["own"],"sources":[{"name":"EP-1"}]}'),
    ("$JS.API.STREAM.MSG.GET.EP-1", b'{"seq":1}'),
    ("$JS.API.STREAM.MSG.DELETE.EP-1", b'{"seq":1}'),
    ("$JS.API.DIRECT.GET.EP-1", b'{"seq":1}'),
    ("$JS.API.STREAM.SNAPSHOT.EP-1", b'{"deliver_subject":"x"}'),
    ("$JS.API.CONSUMER.CREATE.EP-1", b'{"stream_name":"EP-1","config":{"deliver_subject":"x"}}'),
    ("$JS.API.CONSUMER.CREATE.EP-1.own", b'{"stream_name":"EP-1","config":{"name":"own"}}'),
    ("$JS.API.CONSUMER.DURABLE.CREATE.EP-1.own", b'{"stream_name":"EP-1","config":{"durable_name":"own"}}'),
    ("$JS.API.CONSUMER.DELETE.EP-1.gw-c1_gw-1", b""),
    ("$JS.API.CONSUMER.LIST.EP-1", b""),
    ("$JS.API.ACCOUNT.PURGE.programs", b""),
    ("$JS.API.INFO", b""),
    ("$SYS.REQ.CLAIMS.UPDATE", b""),
    ("$SYS.REQ.SERVER.PING", b""),
)


@pytest.mark.parametrize("who", ["gateway", "subscriber"])
async def test_a_reader_administers_nothing(site: Site, who: str) -> None:
    before = await site.ends()
    async with site.intruder(identity.nats_gateway("c1", "gw-1") if who == "gateway" else site.shop) as intruder:
        answers = await asyncio.gather(*(intruder.ask(subject, data) for subject, data in ADMINISTRATION))
        assert dict(zip([subject for subject, _ in ADMINISTRATION], answers, strict=True)) == dict.fromkeys(
            [subject for subject, _ in ADMINISTRATION]
        )
    assert await site.ends() == before


@pytest.mark.parametrize("who", ["gateway", "subscriber"])
async def test_a_reader_publishes_no_event_and_no_view(site: Site, who: str) -> None:
    before = await site.ends()
    forged = (
        subjects.endpoint("c1", "endpoint", "p", "1"),
        subjects.registry("vpc", "p", "1"),
        subjects.view("shop", "default", "endpoint", "1"),
        flow_of(SHOP),
        flow_of(PAYMENTS),
        "head.v1.endpoint",
    )
    async with site.intruder(identity.nats_gateway("c1", "gw-1") if who == "gateway" else site.shop) as intruder:
        for subject in forged:
            assert await intruder.ask(subject, b"forged") is None
    assert await site.ends() == before


@pytest.mark.parametrize("who", ["gateway", "subscriber"])
async def test_no_answer_to_a_reader_can_be_made_an_event(site: Site, who: str) -> None:
    """Whoever asks names the subject of the answer: in the streams' own account that would be a way to write."""
    before = await site.ends()
    credential = identity.nats_gateway("c1", "gw-1") if who == "gateway" else site.shop
    stream, consumer = ("EP-1", OURS) if who == "gateway" else ("VIEW-EP", await name_of(site, SHOP))
    forged = (
        flow_of(PAYMENTS),
        subjects.endpoint("c2", "endpoint", "p", "9"),
        subjects.view("payments", "default", "endpoint", "9"),
    )
    async with site.intruder(credential) as intruder:
        for subject in forged:
            await intruder.client.publish(f"{RESET}.{stream}.{consumer}", b'{"seq":1}', reply=subject)
            await intruder.client.publish(f"{NEXT}.{stream}.{consumer}", TAKEN, reply=subject)
        assert await intruder.ask(f"{RESET}.{stream}.{consumer}") is not None, "all before it was dealt with"
    assert await site.ends() == before


async def name_of(site: Site, owner: Principal) -> str:
    (found,) = [each.id for each in site.admitted.credentials if each.owner == owner and not each.revoked_at]
    return rights.subscriber(found)


@pytest.mark.parametrize("who", ["gateway", "subscriber"])
async def test_a_reader_hears_nothing_that_is_not_for_it(site: Site, who: str) -> None:
    refused: list[str] = []

    async def note(error: Exception) -> None:
        refused.append(str(error).lower())

    heard: list[Msg] = []

    async def take(message: Msg) -> None:
        heard.append(message)

    wanted = (">", "endpoint.v1.>", "registry.v1.>", "sidegate.v1.>", "_INBOX_endpoint.>", "_INBOX.>", "$SYS.>")
    async with site.intruder(identity.nats_gateway("c1", "gw-1") if who == "gateway" else site.shop) as intruder:
        intruder.client._error_cb = note
        for subject in wanted:
            await intruder.client.subscribe(subject, cb=take)
        await within(lambda: len(refused) >= len(wanted))
        await JetStreamBroker(site.endpoint, ENDPOINT).streams()  # answers on the endpoint service's inbox
        await intruder.client.flush()
    assert all("permissions violation for subscription" in each for each in refused)
    assert heard == []


async def test_an_acknowledgement_for_another_is_refused(site: Site) -> None:
    refused: list[str] = []

    async def note(error: Exception) -> None:
        refused.append(str(error).lower())

    async with site.intruder(identity.nats_gateway("c1", "gw-1")) as intruder:
        intruder.client._error_cb = note
        await intruder.client.publish(f"$JS.ACK.EP-1.{THEIRS}.1.2.1.1.0", b"+ACK")
        await within(lambda: any("permissions violation for publish" in each for each in refused))


async def test_a_subscriber_reads_its_own_project_and_no_other(site: Site) -> None:
    shop, payments = await name_of(site, SHOP), await name_of(site, PAYMENTS)
    async with site.intruder(site.shop) as intruder:
        assert await intruder.fetch("VIEW-EP", shop) == [subjects.view("shop", "default", "endpoint", "1")]
        assert await intruder.fetch("FLOW", shop) == [flow_of(SHOP)]
        assert await intruder.fetch("VIEW-REG", shop) == []
        for stream in ("VIEW-EP", "VIEW-REG", "VIEW-EP-1", "EP-1", "REG-1", "EP", "FLOW", "FLOW-1"):
            assert await intruder.fetch(stream, payments) == []
        for stream in ("EP-1", "REG-1"):
            assert await intruder.fetch(stream, shop) == []
            assert await intruder.fetch(stream, OURS) == []
    async with site.intruder(site.payments) as owner:
        assert await owner.fetch("VIEW-REG", payments) == [subjects.view("payments", "default", "service", "1")]


PURGES = ("$JS.API.STREAM.PURGE.EP-1", "$JS.API.STREAM.MSG.DELETE.EP-1", "$JS.API.ACCOUNT.PURGE.x")


@pytest.mark.parametrize("program", ["registry", "endpoint"])
async def test_a_service_publishes_its_own_and_purges_nothing(site: Site, program: str) -> None:
    before = await site.ends()
    others: dict[str, tuple[str, ...]] = {
        "registry": (
            subjects.endpoint("c1", "endpoint", "p", "1"),
            "head.v1.endpoint",
            "sidegate.filler.endpoint",
            flow_of(SHOP),
        ),
        "endpoint": (subjects.registry("vpc", "p", "1"), "head.v1.registry", "sidegate.v1.a~b.service.1"),
    }
    denied = (
        *others[program],
        "$JS.API.STREAM.PURGE.EP-1",
        "$JS.API.STREAM.MSG.DELETE.EP-1",
        "$JS.API.ACCOUNT.PURGE.x",
    )
    if program == "endpoint":
        denied = (*denied, rights.UPDATE_CLAIMS)
    async with site.intruder(identity.nats_user(program)) as intruder:
        for subject in denied:
            assert await intruder.ask(subject) is None
    assert await site.ends() == before


async def test_who_is_revoked_is_cut_off_and_does_not_come_back_and_nobody_else_notices(site: Site) -> None:
    mallory = site.admitted.admit(Principal("mallory", "default"))
    await within(lambda: served(site, 3))
    with capture_logs() as logs:
        async with (
            connected(site.nats, "shop", site.shop) as shop,
            connected(site.nats, "mallory", mallory) as cut,
        ):
            before = shop.changes
            site.admitted.revoke(mallory)
            await within(lambda: not cut.connected)
            await within(lambda: "Authorization Violation" in repr(logs) or "revoked" in repr(logs).lower())
            await site.nats.crash()
            await within(lambda: shop.connected and shop.changes > before)
            assert not cut.connected
    attempt = asyncio.create_task(connect(site.nats.server.url, "mallory", mallory))
    done, _ = await asyncio.wait([attempt], timeout=1.0)
    attempt.cancel()
    await asyncio.gather(attempt, return_exceptions=True)
    assert not done
    await within(lambda: served(site, 2))


async def test_a_wiped_server_refuses_the_revoked_as_soon_as_it_is_told_again(site: Site) -> None:
    mallory = site.admitted.admit(Principal("mallory", "other"))
    await within(lambda: served(site, 3))
    site.admitted.revoke(mallory)
    await within(lambda: served(site, 2))
    await site.nats.crash(lambda store: forget(store.parent / "accounts"))
    async with asyncio.timeout(DEADLINE):
        while await lets_in(site, mallory):
            await asyncio.sleep(0.05)
    shop = await name_of(site, SHOP)
    async with site.intruder(site.shop) as owner, asyncio.timeout(DEADLINE):
        while not await owner.fetch("VIEW-EP", shop):
            pass  # what was asked while the server was told is not answered


def forget(directory: Path) -> None:
    for path in directory.iterdir():
        path.unlink()


async def lets_in(site: Site, credential: Path) -> bool:
    async with AsyncExitStack() as stack:
        connection = Connection(site.nats.server.url, "mallory", credential)
        stack.push_async_callback(connection.close)
        attempt = asyncio.create_task(connection.open())
        done, _ = await asyncio.wait([attempt], timeout=0.5)
        attempt.cancel()
        await asyncio.gather(attempt, return_exceptions=True)
        return bool(done) and connection.connected

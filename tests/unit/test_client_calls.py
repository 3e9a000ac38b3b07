"""How the client calls: who asks, request ids, deadlines, retries, pages, streams, sockets."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from pathlib import Path

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc.error_details_pb2 import ErrorInfo

from services.common.identity.pki import CA_FILE, Authority
from sidegate import errors, waiting
from sidegate.access import Untold
from sidegate.api.events.v1.registry_events_pb2 import RegistryEvent, VpcCreated
from sidegate.api.gateway.v1.gateway_service_pb2 import GetTableRequest, GetTableResponse
from sidegate.api.registry.v1.endpoint_service_pb2 import Backend, PortMapping
from sidegate.api.registry.v1.registry_service_pb2 import ListVpcsRequest, ListVpcsResponse
from sidegate.api.registry.v1.registry_service_pb2_grpc import RegistryServiceStub
from sidegate.api.registry.v1.vpc_pb2 import NetnsTarget
from sidegate.api.registry.v1.watch_pb2 import WatchRequest, WatchResponse
from sidegate.client import Client
from sidegate.credentials import Credential
from sidegate.resources.logs import LogName
from sidegate.transport import Caller
from tests.support import identity
from tests.support.fake_sidegate import FakeSidegate
from tests.support.fake_sidegate.tokens import CREDENTIAL

UNAVAILABLE = grpc.StatusCode.UNAVAILABLE
UNAUTHENTICATED = grpc.StatusCode.UNAUTHENTICATED


def client_of(fake: FakeSidegate, timeout: float = 5.0) -> Client:
    return fake.client("shop", "front", timeout=timeout)


@pytest.fixture
async def sidegate(fake: FakeSidegate) -> AsyncIterator[Client]:
    async with client_of(fake) as client:
        yield client


async def test_every_call_says_who_asks(fake: FakeSidegate, sidegate: Client) -> None:
    await sidegate.vpcs.create("shop", ["10.0.0.0/24"])
    metadata = fake.script.calls[0].metadata
    assert (metadata["sidegate-account"], metadata["sidegate-project"]) == ("shop", "front")


async def test_a_token_is_had_once_and_renewed_before_it_ends(fake: FakeSidegate, sidegate: Client) -> None:
    for _ in range(3):
        _ = [each async for each in sidegate.vpcs.list()]
    assert fake.tokens.issued == ["token-0"]
    fake.tokens.lifetime = 60  # less than is left before a token counts as ended
    async with client_of(fake) as impatient:
        for _ in range(2):
            _ = [each async for each in impatient.vpcs.list()]
    assert fake.tokens.issued == ["token-0", "token-1", "token-2"]


async def test_a_token_that_is_refused_is_had_anew_once(fake: FakeSidegate, sidegate: Client) -> None:
    fake.refuse("ListVpcs", UNAUTHENTICATED)
    assert [each async for each in sidegate.vpcs.list()] == []
    assert fake.tokens.issued == ["token-0", "token-1"]
    fake.refuse("ListVpcs", UNAUTHENTICATED, times=3)
    with pytest.raises(errors.Unauthenticated):
        _ = [each async for each in sidegate.vpcs.list()]
    assert fake.called("ListVpcs") == 4


async def test_a_credential_that_gets_no_token_is_named_and_its_secret_is_not(fake: FakeSidegate) -> None:
    wrong = Credential("operator", "default", "AK-OPERATOR", "a guess")
    async with Client(fake.registry_address, credential=wrong, ca=identity.ca()) as sidegate:
        with pytest.raises(errors.Unauthenticated, match="AK-OPERATOR") as refused:
            await sidegate.vpcs.get("x")
    assert "a guess" not in f"{refused.value!r} {wrong!r}"


async def test_a_server_that_another_authority_vouches_for_is_not_spoken_to(fake: FakeSidegate, tmp_path: Path) -> None:
    other = Authority(tmp_path / "other", "local")
    ca = (other.directory / CA_FILE).read_bytes()
    async with Client(fake.registry_address, credential=CREDENTIAL, ca=ca, timeout=2) as sidegate:
        with pytest.raises(errors.Unavailable):
            await sidegate.vpcs.get("x")
    assert fake.script.calls == []


async def test_a_write_carries_a_request_id_of_its_own(fake: FakeSidegate, sidegate: Client) -> None:
    await sidegate.vpcs.create("a", ["10.0.0.0/24"])
    await sidegate.vpcs.create("b", ["10.0.0.0/24"])
    first, second = fake.registry.vpcs.request_ids
    assert len(first) == len(second) == 36
    assert first != second


async def test_the_same_request_id_gives_the_first_answer_again(fake: FakeSidegate, sidegate: Client) -> None:
    once = await sidegate.vpcs.create("a", ["10.0.0.0/24"], request_id="mine")
    again = await sidegate.vpcs.create("a", ["10.0.0.0/24"], request_id="mine")
    assert (once, len(fake.registry.vpcs)) == (again, 1)


async def test_a_server_that_was_away_is_asked_again_under_the_same_request_id(
    fake: FakeSidegate, sidegate: Client
) -> None:
    fake.refuse("CreateVpc", UNAVAILABLE, times=3)
    await sidegate.vpcs.create("a", ["10.0.0.0/24"])
    assert fake.called("CreateVpc") == 4
    assert len(fake.registry.vpcs) == 1


async def test_after_four_attempts_it_is_unavailable(fake: FakeSidegate, sidegate: Client) -> None:
    fake.refuse("GetVpc", UNAVAILABLE, "the store is away", ErrorInfo(reason="STORE_UNAVAILABLE"), times=5)
    with pytest.raises(errors.Unavailable, match="the store is away"):
        await sidegate.vpcs.get("x")
    assert fake.called("GetVpc") == 4


@pytest.mark.parametrize(
    "code",
    [code for code in errors.KINDS if code not in (UNAVAILABLE, UNAUTHENTICATED)] + [grpc.StatusCode.INTERNAL],
    ids=str,
)
async def test_nothing_else_is_asked_again(fake: FakeSidegate, sidegate: Client, code: grpc.StatusCode) -> None:
    fake.refuse("GetVpc", code)
    with pytest.raises(errors.SidegateError):
        await sidegate.vpcs.get("x")
    assert fake.called("GetVpc") == 1


@pytest.mark.parametrize(("asked", "given"), [(5.0, 5.0), (600.0, 30.0)])
async def test_a_call_has_a_deadline_of_thirty_seconds_at_most(fake: FakeSidegate, asked: float, given: float) -> None:
    async with client_of(fake, timeout=asked) as sidegate:
        vpc = await sidegate.vpcs.create("a", ["10.0.0.0/24"])
        await sidegate.vpcs.get(vpc.id)
    (left,) = fake.registry.seconds_left
    assert left == pytest.approx(given, abs=1.0)


async def test_a_list_goes_through_all_its_pages(fake: FakeSidegate, sidegate: Client) -> None:
    names = [f"vpc-{number}" for number in range(7)]
    for name in names:
        await sidegate.vpcs.create(name, ["10.0.0.0/24"])
    assert [vpc.name async for vpc in sidegate.vpcs.list()] == names
    assert fake.called("ListVpcs") == 4


async def test_a_list_fetches_no_page_that_is_not_wanted(fake: FakeSidegate, sidegate: Client) -> None:
    for name in "abcdef":
        await sidegate.vpcs.create(name, ["10.0.0.0/24"])
    async for vpc in sidegate.vpcs.list():
        assert vpc.name == "a"
        break
    assert fake.called("ListVpcs") == 1


async def test_lists_can_be_of_one_parent(sidegate: Client) -> None:
    one, other = [(await sidegate.vpcs.create(name, ["10.0.0.0/24"])).id for name in "ab"]
    subnet = await sidegate.subnets.create("front", one, "10.0.0.0/24")
    port = await sidegate.ports.create(subnet.id, "machine/web", "10.0.0.10")
    attachment = await sidegate.attachments.create(one, NetnsTarget(namespace="a"), "west")
    assert [each async for each in sidegate.subnets.list(one)] == [subnet]
    assert [each async for each in sidegate.subnets.list(other)] == []
    assert [each async for each in sidegate.ports.list(subnet.id)] == [port]
    assert [each async for each in sidegate.attachments.list(other)] == []
    assert [each async for each in sidegate.attachments.list(one)] == [attachment]


async def test_an_update_names_only_what_is_given(sidegate: Client) -> None:
    ports = [PortMapping(client_port=80, server_port=8080)]
    service = await sidegate.services.create("web", "v", [Backend(address="10.0.0.1")], ports, approval_required=True)
    changed = await sidegate.services.update(service.id, backends=[Backend(address="10.0.0.2")])
    assert [each.address for each in changed.backends] == ["10.0.0.2"]
    assert (changed.approval_required, list(changed.port_mappings)) == (True, ports)
    assert not (await sidegate.services.update(service.id, approval_required=False)).approval_required


async def test_a_backend_is_drained_in_the_service_as_it_is_also_if_somebody_changes_it_meanwhile(
    fake: FakeSidegate, sidegate: Client
) -> None:
    ports, ends = [PortMapping(client_port=80, server_port=8080)], [Backend(address="10.0.0.1", weight=3)]
    service = await sidegate.services.create("web", "v", [*ends, Backend(address="10.0.0.2")], ports)
    fake.refuse("UpdateEndpointService", grpc.StatusCode.ABORTED, "it has changed", times=2)
    drained = await sidegate.services.drain(service.id, ["10.0.0.1"])
    assert [(each.address, each.weight, each.draining) for each in drained.backends] == [
        ("10.0.0.1", 3, True),
        ("10.0.0.2", 0, False),
    ]
    fake.refuse("UpdateEndpointService", grpc.StatusCode.ABORTED, "it has changed", times=5)
    with pytest.raises(errors.Outdated):
        await sidegate.services.weigh(service.id, {"10.0.0.2": 7})
    assert (await sidegate.services.weigh(service.id, {"10.0.0.2": 7})).backends[1].weight == 7
    with pytest.raises(errors.NotFound, match=r"has no backend 10\.0\.0\.3"):
        await sidegate.services.undrain(service.id, ["10.0.0.1", "10.0.0.3"])
    assert (await sidegate.services.get(service.id)).backends[0].draining, "all or nothing"


async def test_a_whitelist_is_taken_away_by_an_empty_one(sidegate: Client) -> None:
    endpoint = await sidegate.endpoints.create("s", "n", allowed_cidrs=["10.0.0.0/28"], name="x")
    renamed = await sidegate.endpoints.update(endpoint.id, name="y")
    assert (renamed.name, list(renamed.allowed_cidrs)) == ("y", ["10.0.0.0/28"])
    open_to_all = await sidegate.endpoints.update(endpoint.id, allowed_cidrs=[])
    assert (open_to_all.name, list(open_to_all.allowed_cidrs)) == ("y", [])


async def test_the_log_is_read_in_ranges(fake: FakeSidegate, sidegate: Client) -> None:
    for position in range(1, 6):
        fake.registry_log.append(
            "vpc-1", "registry.v1.VpcCreated", RegistryEvent(vpc_created=VpcCreated()), at=position
        )
    log = sidegate.audit.log(LogName.REGISTRY)
    assert [each.position async for each in log.read(1, 4)] == [2, 3, 4]
    assert [each.position async for each in log.read()] == [1, 2, 3, 4, 5]
    assert [each.position async for each in log.list(start=Timestamp(nanos=4))] == [4, 5]
    assert (await log.head()).position == 5


async def test_a_stream_that_fails_raises_the_same_errors(fake: FakeSidegate) -> None:
    async with fake.client("shop", "front", registry=fake.gateway_address) as sidegate:
        with pytest.raises(errors.Unexpected):
            _ = [each async for each in sidegate.audit.log(LogName.REGISTRY).read()]


async def test_a_gateway_answers_on_its_unix_socket(fake: FakeSidegate, sidegate: Client) -> None:
    fake.gateway.tables[GetTableRequest.SOURCE_REPLAY] = GetTableResponse(gateway_id="gw-1", position=3)
    table = await sidegate.gateway.table(GetTableRequest.SOURCE_REPLAY, position=3)
    assert (table.gateway_id, fake.gateway.asked[0].position) == ("gw-1", 3)
    assert (await sidegate.gateway.status()).gateway_id == "gw-1"


async def test_what_has_no_address_is_unavailable(fake: FakeSidegate) -> None:
    async with fake.client("shop", "front", endpoint="") as sidegate:
        await sidegate.vpcs.create("a", ["10.0.0.0/24"])
        with pytest.raises(errors.Unavailable, match="endpoint"):
            await sidegate.endpoints.get("x")


Silent = tuple[Caller, asyncio.Queue[asyncio.StreamWriter]]


@pytest.fixture
async def silent(tmp_path: Path) -> AsyncIterator[Silent]:
    """Calls to a program that takes connections, which are in the queue, and says nothing."""
    connected = asyncio.Queue[asyncio.StreamWriter]()
    server = await asyncio.start_unix_server(lambda _, writer: connected.put_nowait(writer), tmp_path / "silent")
    yield Caller(f"unix:{tmp_path / 'silent'}", Untold()), connected
    server.close()


async def listed(caller: Caller) -> ListVpcsResponse:
    return await caller.ask(RegistryServiceStub(caller.channel).ListVpcs, ListVpcsRequest())


async def watched(caller: Caller) -> WatchResponse:
    return await anext(caller.stream(RegistryServiceStub(caller.channel).Watch, WatchRequest()))


ASKED = pytest.mark.parametrize("ask", [listed, watched])


@ASKED
async def test_who_is_being_answered_or_asks_when_a_client_is_closed_finds_it_unavailable(
    silent: Silent, ask: Callable[[Caller], Coroutine[None, None, object]]
) -> None:
    """It was CancelledError of a task that nobody had cancelled, and an error that is none of ours."""
    caller, connected = silent
    asking = asyncio.create_task(ask(caller))
    writer = await connected.get()
    await caller.close()
    for each in (asking, asyncio.create_task(ask(caller))):
        with pytest.raises(errors.Unavailable) as refused:
            await each
        assert refused.value.reason == "CLOSED"
    writer.close()


async def test_a_watch_of_a_client_that_is_closed_ends(fake: FakeSidegate) -> None:
    """It goes on by itself where the other side is away: of its own side it would try for ever."""
    fake.registry.watched.answers.append(WatchResponse(position=1))
    async with client_of(fake) as client:
        watch = client.changes.watch(after=0)
        assert (await anext(watch)).position == 1
    with pytest.raises(errors.Unavailable) as ended:
        async with asyncio.timeout(5):
            await anext(watch)
    assert ended.value.reason == "CLOSED"


@ASKED
async def test_who_is_cancelled_is_cancelled_also_when_a_client_is_closed(
    silent: Silent, ask: Callable[[Caller], Coroutine[None, None, object]]
) -> None:
    caller, connected = silent
    asking = asyncio.create_task(ask(caller))
    writer = await connected.get()
    asking.cancel()
    await caller.close()
    with pytest.raises(asyncio.CancelledError):
        await asking
    writer.close()


@pytest.mark.parametrize(("account", "project"), [("no/slash", "front"), ("shop", "no spaces"), ("shöp", "front")])
async def test_a_name_that_cannot_be_is_refused_before_it_is_sent(
    fake: FakeSidegate, account: str, project: str
) -> None:
    async with fake.client(account, project) as sidegate:
        with pytest.raises(errors.InvalidRequest):
            await sidegate.vpcs.get("x")
    assert fake.script.calls == []


CALLS: dict[str, Callable[[Client], Awaitable[object]]] = {
    "DeleteVpc": lambda sidegate: sidegate.vpcs.delete("x"),
    "DeleteSubnet": lambda sidegate: sidegate.subnets.delete("x"),
    "DeletePort": lambda sidegate: sidegate.ports.delete("x"),
    "DeleteAttachment": lambda sidegate: sidegate.attachments.delete("x"),
    "DeleteEndpointService": lambda sidegate: sidegate.services.delete("x"),
    "AddPermissions": lambda sidegate: sidegate.services.permit("x", ["iam:domain::a"]),
    "RemovePermissions": lambda sidegate: sidegate.services.forbid("x", ["iam:domain::a"]),
    "LookupEndpointService": lambda sidegate: sidegate.services.lookup("x"),
    "GetSubnet": lambda sidegate: sidegate.subnets.get("x"),
    "GetPort": lambda sidegate: sidegate.ports.get("x"),
    "GetAttachment": lambda sidegate: sidegate.attachments.get("x"),
    "GetEndpointService": lambda sidegate: sidegate.services.get("x"),
    "GetConnection": lambda sidegate: sidegate.connections.get("x", "y"),
    "AcceptConnection": lambda sidegate: sidegate.connections.accept("x", "y"),
    "RejectConnection": lambda sidegate: sidegate.connections.reject("x", "y"),
    "DeleteEndpoint": lambda sidegate: sidegate.endpoints.delete("x"),
}


@pytest.mark.parametrize("method", CALLS)
async def test_what_is_not_there_is_not_found(fake: FakeSidegate, sidegate: Client, method: str) -> None:
    with pytest.raises(errors.NotFound) as caught:
        await CALLS[method](sidegate)
    assert fake.called(method) == 1
    assert caught.value.reason == "NOT_FOUND"
    assert caught.value.metadata["kind"]


async def test_waiting_ends_with_the_first_answer_that_is_wanted() -> None:
    answers = iter(range(10))

    async def ask() -> int:
        return next(answers)

    assert await waiting.until(ask, lambda answer: answer == 3, 5.0) == 3


async def test_waiting_in_vain_ends_at_its_deadline() -> None:
    async def ask() -> int:
        return 0

    with pytest.raises(errors.TimedOut) as caught:
        await waiting.until(ask, lambda answer: answer == 1, 0.05)
    assert caught.value.reason == waiting.IN_VAIN

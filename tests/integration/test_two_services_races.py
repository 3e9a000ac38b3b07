"""Both sides at once, over gRPC and both logs: whichever comes first, nothing is left that should not be."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import count, pairwise
from typing import TypeVar
from uuid import uuid4

import pytest
import pytest_asyncio

from services.endpoint.application.limits import Limits
from services.registry.application.settings import Settings
from sidegate import errors
from sidegate.api.endpoint.v1.endpoint_pb2 import ConnectionState, Endpoint
from sidegate.api.registry.v1.account_pb2 import ROLE_ADMIN
from sidegate.api.registry.v1.endpoint_service_pb2 import Backend, ConsumerLimits, EndpointService
from sidegate.api.registry.v1.vpc_pb2 import NetnsTarget
from sidegate.client import Client
from sidegate.credentials import Credential
from tests.support import identity
from tests.support.stores import LOGS
from tests.support.two_services import TwoServices, two_services, until
from tests.support.world import tcp

pytestmark = pytest.mark.asyncio(loop_scope="module")

T = TypeVar("T")

MANY, MANY_MORE = 16, 20
ROUNDS = 4
QUOTA = 12
CREATING = ConnectionState.CONNECTION_STATE_CREATING
ACCEPTED = ConnectionState.CONNECTION_STATE_ACCEPTED
REJECTED = ConnectionState.CONNECTION_STATE_REJECTED
FAILED = ConnectionState.CONNECTION_STATE_FAILED
LIVE = {ConnectionState.CONNECTION_STATE_PENDING_ACCEPTANCE, CREATING, ACCEPTED, REJECTED}


@dataclass
class Scene:
    """`shop` and `payments` have a network each; services of `payments` are for `shop` too."""

    services: TwoServices
    operator: Client
    shop: Client
    payments: Client
    subnet: str
    vpc: str
    permission: str
    consumer: str
    provider: str

    async def publish(self, name: str, *, approval: bool = False, per_account: int = 0) -> EndpointService:
        limits = ConsumerLimits(endpoints_per_account=per_account)
        made = await self.payments.services.create(
            name,
            self.vpc,
            [Backend(address="10.0.0.10")],
            [tcp(80, 80)],
            approval_required=approval,
            consumer_limits=limits,
        )
        return await self.payments.services.permit(made.id, [self.permission])

    async def request(self, service: EndpointService) -> Endpoint:
        return await self.shop.endpoints.create(service.id, self.subnet)

    async def endpoints(self, service: EndpointService) -> list[Endpoint]:
        return [each async for each in self.shop.endpoints.list() if each.service == service.id]

    async def clear(self) -> None:
        for each in [each async for each in self.shop.endpoints.list()]:
            await self.shop.endpoints.delete(each.id)


@pytest_asyncio.fixture(params=LOGS, scope="module", loop_scope="module")
async def services(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[TwoServices]:
    directory, databases = tmp_path_factory.mktemp("races"), dict[str, str]()
    with ExitStack() as logs:
        for program in ("registry", "endpoint"):
            (directory / program).mkdir()
            databases[program] = logs.enter_context(LOGS[request.param](directory / program))
        async with two_services(directory, Limits(endpoints=QUOTA), databases) as running:
            yield running


@pytest_asyncio.fixture(loop_scope="module")
async def scene(services: TwoServices) -> AsyncIterator[Scene]:
    """With accounts of its own: names and quotas are an account's."""
    who = uuid4().hex[:8]
    async with AsyncExitStack() as clients:
        accounts = ("operator", f"shop-{who}", f"payments-{who}")
        operator, shop, payments = [await clients.enter_async_context(services.client(each)) for each in accounts]
        vpcs = [await client.vpcs.create("net", ["10.0.0.0/24"]) for client in (shop, payments)]
        for vpc in vpcs:
            await operator.attachments.create(vpc.id, NetnsTarget(namespace=vpc.id))
        subnet = await shop.subnets.create("main", vpcs[0].id, "10.0.0.0/24")
        yield Scene(services, operator, shop, payments, subnet.id, vpcs[1].id, f"iam:domain::shop-{who}", *accounts[1:])


async def at_once(*attempts: Awaitable[T]) -> tuple[list[T], list[BaseException]]:
    """What succeeded and what failed."""
    done = await asyncio.gather(*attempts, return_exceptions=True)
    return (
        [each for each in done if not isinstance(each, BaseException)],
        [each for each in done if isinstance(each, BaseException)],
    )


def kinds(failures: Sequence[BaseException]) -> set[type[BaseException]]:
    return {type(failure) for failure in failures}


async def test_accept_against_delete_always_ends_deleted(scene: Scene) -> None:
    service = await scene.publish("web", approval=True)
    made = [await scene.request(service) for _ in range(QUOTA)]
    connections, endpoints = scene.payments.connections, scene.shop.endpoints
    attempts: list[Awaitable[object]] = []
    for number, each in enumerate(made):
        both = [connections.accept(service.id, each.id), endpoints.delete(each.id)]
        attempts += both if number % 2 else both[::-1]
    _, lost = await at_once(*attempts)
    assert kinds(lost) <= {errors.NotFound, errors.WrongState}
    assert await scene.endpoints(service) == []
    for each in made:
        with pytest.raises(errors.NotFound):
            await connections.get(service.id, each.id)


async def test_accept_against_reject_leaves_what_the_last_one_says_to_both_sides(scene: Scene) -> None:
    service = await scene.publish("web", approval=True)
    made = await scene.request(service)
    connections = scene.payments.connections
    attempts = [connections.accept(service.id, made.id) for _ in range(MANY)]
    attempts += [connections.reject(service.id, made.id) for _ in range(MANY)]
    answers, lost = await at_once(*attempts)
    assert lost == []
    assert {answer.state for answer in answers} <= {CREATING, REJECTED}
    mine, theirs = await scene.shop.endpoints.get(made.id), await connections.get(service.id, made.id)
    assert mine.state == theirs.state
    records = [event.type for event in await scene.services.endpoint_store.load(f"endpoint-{made.id}")]
    decisions = [each for each in records if each in ("endpoint.v1.Approved", "endpoint.v1.Rejected")]
    assert all(one != other for one, other in pairwise(decisions)), "again is no event"
    assert (decisions[-1] == "endpoint.v1.Approved") == (mine.state == CREATING)


@pytest.mark.parametrize("force", [False, True])
async def test_a_service_that_is_deleted_against_requests_has_no_endpoint_that_lives(scene: Scene, force: bool) -> None:
    """Either connections stand in the way, and it stays; or it is gone, and so are they."""
    for number in range(ROUNDS):
        service = await scene.publish(f"web-{number}")
        attempts: list[Awaitable[object]] = [scene.request(service) for _ in range(QUOTA // 2)]
        attempts.insert(number, scene.payments.services.delete(service.id, force=force))
        won, lost = await at_once(*attempts)
        assert kinds(lost) <= {errors.NotFound, errors.WrongState}
        blocked = [each for each in lost if isinstance(each, errors.WrongState) and each.reason == "SERVICE_IN_USE"]
        assert not (blocked and force)
        if blocked:
            assert (await scene.payments.services.get(service.id)).state == EndpointService.STATE_AVAILABLE
            there = {each.id for each in await scene.endpoints(service)}
            assert {blocker for each in blocked for blocker in each.blockers} <= there
        else:
            await until(scene.services.endpoint_store, partial(_none_lives, scene, service))
            made = {each.id for each in won if isinstance(each, Endpoint)}
            assert {each.id for each in await scene.endpoints(service)} == made
        await scene.clear()


async def _none_lives(scene: Scene, service: EndpointService) -> bool:
    return not any(each.state in LIVE for each in await scene.endpoints(service))


async def test_a_permission_that_ends_connections_against_requests_leaves_none(scene: Scene) -> None:
    service = await scene.publish("web")
    for number in range(ROUNDS):
        attempts: list[Awaitable[object]] = [scene.request(service) for _ in range(QUOTA // 2)]
        forbid = scene.payments.services.forbid(service.id, [scene.permission], end_connections=True)
        attempts.insert(2 * number, forbid)
        _, lost = await at_once(*attempts)
        assert kinds(lost) <= {errors.NotFound}

        async def all_ended() -> bool:
            return not any(each.state in (CREATING, ACCEPTED) for each in await scene.endpoints(service))

        await until(scene.services.endpoint_store, all_ended)
        with pytest.raises(errors.NotFound):
            await scene.request(service)
        await scene.payments.services.permit(service.id, [scene.permission])
        await scene.clear()


async def test_the_last_places_of_a_quota_and_of_a_service_are_given_out_once(scene: Scene) -> None:
    few, many = await scene.publish("few", per_account=2), await scene.publish("many")
    won, lost = await at_once(*(scene.request(few) for _ in range(MANY)))
    assert (len(won), kinds(lost)) == (2, {errors.QuotaReached})
    more, lost = await at_once(*(scene.request(many) for _ in range(MANY)))
    assert (len(more), kinds(lost)) == (QUOTA - 2, {errors.QuotaReached})
    ports = [port async for port in scene.shop.ports.list()]
    addresses = {each.address for each in (*won, *more)}
    assert {port.address for port in ports} == addresses
    assert len(addresses) == QUOTA, "what was refused holds an address"


async def race_for_the_last(one: Callable[[], Awaitable[object]], places: int) -> None:
    """I7: all places but one are taken, then many want it at once."""
    for _ in range(places - 1):
        await one()
    won, lost = await at_once(*(one() for _ in range(MANY_MORE)))
    assert (len(won), len(lost), kinds(lost)) == (1, MANY_MORE - 1, {errors.QuotaReached})


async def test_of_twenty_at_once_one_publishes_the_last_service(scene: Scene) -> None:
    names = (f"service-{number}" for number in count())
    await race_for_the_last(lambda: scene.publish(next(names)), Settings().services)
    used = await scene.services.registry_store.count("services", f"{scene.provider}/live")
    assert used == Settings().services


async def test_of_twenty_at_once_one_gets_the_projects_last_endpoint(scene: Scene) -> None:
    service = await scene.publish("web")
    await race_for_the_last(lambda: scene.request(service), QUOTA)
    assert await scene.services.endpoint_store.count("endpoints", f"{scene.consumer}/live") == QUOTA


async def test_of_twenty_at_once_one_gets_the_last_endpoint_that_a_service_lets_an_account_have(scene: Scene) -> None:
    service = await scene.publish("web", per_account=3)
    await race_for_the_last(lambda: scene.request(service), 3)
    used = await scene.services.endpoint_store.count("consumer-endpoints", f"{service.id}/{scene.consumer}")
    assert used == len(await scene.endpoints(service)) == 3


async def test_one_address_goes_to_one_endpoint_or_one_machine(scene: Scene) -> None:
    service = await scene.publish("web")
    attempts: list[Awaitable[object]] = [
        scene.shop.endpoints.create(service.id, scene.subnet, address="10.0.0.50") for _ in range(MANY // 2)
    ]
    attempts += [scene.shop.ports.create(scene.subnet, "machine/m", "10.0.0.50") for _ in range(MANY // 2)]
    won, lost = await at_once(*attempts)
    assert (len(won), kinds(lost)) == (1, {errors.AlreadyExists})
    assert [port.address async for port in scene.shop.ports.list()] == ["10.0.0.50"]


async def test_a_subnet_never_goes_under_an_endpoint(scene: Scene) -> None:
    service = await scene.publish("web")
    other = await scene.shop.vpcs.create("other", ["10.1.0.0/16"])
    await scene.operator.attachments.create(other.id, NetnsTarget(namespace=other.id))
    for number in range(ROUNDS):
        subnet = await scene.shop.subnets.create(f"s-{number}", other.id, f"10.1.{number}.0/24")
        attempts: list[Awaitable[object]] = [scene.shop.endpoints.create(service.id, subnet.id) for _ in range(3)]
        attempts.insert(number, scene.shop.subnets.delete(subnet.id))
        _, lost = await at_once(*attempts)
        there = [each for each in await scene.endpoints(service) if each.subnet_id == subnet.id]
        gone = subnet.id not in {each.id async for each in scene.shop.subnets.list()}
        assert not (gone and there), "an endpoint has an address of a subnet that is not there"
        assert kinds(lost) <= {errors.NotFound, errors.WrongState}
        await scene.clear()


async def test_a_key_that_is_revoked_while_it_is_used_opens_nothing_afterwards(scene: Scene) -> None:
    """At the registry from the very moment; at the endpoint service as soon as it has heard of it."""
    bank_name = f"bank-{uuid4().hex[:8]}"
    await scene.operator.accounts.create(bank_name)
    for _ in range(ROUNDS):
        made = await scene.operator.accounts.create_key(bank_name, "default", ROLE_ADMIN)
        credential = Credential(bank_name, "default", made.key.id, made.secret_key)
        addresses = (scene.services.registry_address, scene.services.endpoint_address)
        async with Client(*addresses, credential=credential, ca=identity.ca()) as bank:
            await bank.vpcs.create(f"net-{made.key.id}", ["10.0.0.0/24"])
            revoked = asyncio.Event()
            using = [asyncio.create_task(_use(bank, revoked)) for _ in range(4)]
            await scene.operator.accounts.revoke_key(made.key.id)
            revoked.set()
            assert sum(await asyncio.gather(*using)) == 0, "a call that began after the answer was let in"
            await until(scene.services.endpoint_store, partial(_refused, bank))


async def _use(bank: Client, revoked: asyncio.Event) -> int:
    """Calls until it is refused, and once more; gives how many calls were let in that began after the answer."""
    while True:
        late = revoked.is_set()
        try:
            await bank.accounts.who_am_i()
        except errors.Unauthenticated:
            return 0
        if late:
            return 1


async def _refused(bank: Client) -> bool:
    try:
        _ = [each async for each in bank.endpoints.list()]
    except errors.Unauthenticated:
        return True
    return False

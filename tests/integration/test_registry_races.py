"""Many at once: of what there is one, one gets it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Sequence
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

import pytest

from services.common.addressing import address_of, network_of
from services.common.clock import now
from services.common.eventsourcing.context import CommandContext
from services.common.eventsourcing.rebuild import rebuild_holdings
from services.registry.application.registry import Registry
from services.registry.application.settings import Settings
from sidegate import errors
from sidegate.api.registry.v1 import registry_service_pb2 as registry_pb2
from sidegate.api.registry.v1 import vpc_pb2
from tests.support.registry_service import SHOP, RegistryWorld, running_registry
from tests.support.stores import LOGS

T = TypeVar("T")
MANY = 20


@pytest.fixture(params=LOGS)
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[RegistryWorld]:
    with LOGS[request.param](tmp_path) as where:
        async with running_registry(tmp_path, where=where) as running:
            yield running
            events = await running.store.read(0, 1_000_000)
            rebuilt = rebuild_holdings(events, running.registry.streams.meaning())
            assert rebuilt == await running.store.holdings(), "a race left claims or counters that are not the log's"


async def at_once(attempts: Sequence[Awaitable[T]]) -> tuple[list[T], list[BaseException]]:
    """What succeeded and what failed."""
    done = await asyncio.gather(*attempts, return_exceptions=True)
    return (
        [each for each in done if not isinstance(each, BaseException)],
        [each for each in done if isinstance(each, BaseException)],
    )


def kinds(failures: Sequence[BaseException]) -> set[type[BaseException]]:
    return {type(failure) for failure in failures}


@pytest.mark.parametrize(("cidr", "address"), [("10.0.0.0/24", "10.0.0.10"), ("fd00:20::/64", "fd00:20::a0")])
async def test_of_many_that_want_one_address_one_gets_it(world: RegistryWorld, cidr: str, address: str) -> None:
    subnet = await world.payments.subnet(await world.payments.vpc(cidr), cidr)
    forms = (address, address.upper(), address.replace("::", ":0::")) if ":" in address else (address,)
    won, lost = await at_once([world.payments.port(subnet, forms[number % len(forms)]) for number in range(MANY)])
    assert [port.address for port in won] == [address]
    assert kinds(lost) == {errors.AlreadyExists}


async def test_many_that_want_any_address_get_different_ones(world: RegistryWorld) -> None:
    subnet = await world.payments.subnet(await world.payments.vpc())
    won, lost = await at_once([world.payments.port(subnet) for _ in range(MANY)])
    assert lost == []
    assert sorted(port.address for port in won) == sorted(f"10.0.0.{number}" for number in range(2, 2 + MANY))


@pytest.mark.parametrize("cidr", ["10.0.0.0/24", "fd00:20::/64", "fd00:20::/122"])
async def test_programs_that_know_nothing_of_each_other_give_out_different_addresses(
    world: RegistryWorld, cidr: str
) -> None:
    subnet = await world.shop.subnet(await world.shop.vpc(cidr), cidr)
    others = [Registry(world.store, world.endpoints, Settings()) for _ in range(MANY)]
    context = CommandContext(SHOP, now(), method="CreatePort")
    won, lost = await at_once([other.ports.create(subnet.id, "", "machine/web", context) for other in others])
    assert lost == []
    assert len({port.address for port in won}) == MANY
    assert all(address_of(port.address) in network_of(cidr) for port in won)


@pytest.mark.parametrize(("cidr", "there_are"), [("10.0.0.0/28", 13), ("fd00:20::/124", 14)])
async def test_the_last_addresses_of_a_subnet_are_given_out_once_each(
    world: RegistryWorld, cidr: str, there_are: int
) -> None:
    subnet = await world.payments.subnet(await world.payments.vpc("10.0.0.0/24", "fd00:20::/64"), cidr)
    won, lost = await at_once([world.payments.port(subnet) for _ in range(MANY)])
    assert len({port.address for port in won}) == len(won) == there_are
    assert kinds(lost) == {errors.QuotaReached}


async def test_of_many_that_want_one_name_one_gets_it(world: RegistryWorld) -> None:
    vpcs, failures = await at_once([world.payments.vpc() for _ in range(MANY)])
    assert (len(vpcs), kinds(failures)) == (1, {errors.AlreadyExists})
    services, failures = await at_once([world.payments.service(vpcs[0]) for _ in range(MANY)])
    assert (len(services), kinds(failures)) == (1, {errors.AlreadyExists})


async def test_of_overlapping_subnets_made_at_once_one_is_made(world: RegistryWorld) -> None:
    vpc = await world.payments.vpc("10.0.0.0/16")
    subnets, failures = await at_once(
        [world.payments.subnet(vpc, f"10.0.0.0/{16 + number % 8}", f"subnet-{number}") for number in range(MANY)]
    )
    assert (len(subnets), kinds(failures)) == (1, {errors.InvalidRequest})


async def test_of_attachments_to_one_target_made_at_once_one_is_made(world: RegistryWorld) -> None:
    vpcs = [await world.payments.vpc(name=f"vpc-{number}") for number in range(MANY)]
    attachments, failures = await at_once([world.operator.attachment(vpc.id) for vpc in vpcs])
    assert (len(attachments), kinds(failures)) == (1, {errors.AlreadyExists})


async def test_with_one_service_left_of_the_quota_one_of_many_is_made(tmp_path: Path) -> None:
    async with running_registry(tmp_path, Settings(services=5)) as world:
        vpc = await world.payments.vpc()
        made = [await world.payments.service(vpc, f"service-{number}") for number in range(4)]
        won, lost = await at_once([world.payments.service(vpc, f"more-{number}") for number in range(MANY)])
        assert (len(won), kinds(lost)) == (1, {errors.QuotaReached})
        await world.shop.service(await world.shop.vpc())
        await world.payments.delete_service(made[0].id)
        await world.payments.service(vpc, "again")


async def test_a_quota_of_minus_one_is_none(tmp_path: Path) -> None:
    async with running_registry(tmp_path, Settings(services=-1)) as world:
        vpc = await world.payments.vpc()
        won, lost = await at_once([world.payments.service(vpc, f"service-{number}") for number in range(2 * MANY)])
        assert (len(won), lost) == (2 * MANY, [])


async def test_a_subnet_is_never_deleted_under_an_address(world: RegistryWorld) -> None:
    vpc = await world.payments.vpc()
    outcomes = set()
    for number in range(MANY):
        subnet = await world.payments.subnet(vpc, f"10.0.0.{16 * (number % 16)}/28", f"subnet-{number}")
        delete = world.payments.ask(world.payments.stub.DeleteSubnet, registry_pb2.DeleteSubnetRequest(id=subnet.id))
        attempts: list[Awaitable[object]] = [delete, world.payments.port(subnet)]
        if number % 2:
            attempts.reverse()
        won, lost = await at_once(attempts)
        assert len(won) == len(lost) == 1, "both a deletion and a port, or neither"
        assert kinds(lost) <= {errors.NotFound, errors.WrongState}
        outcomes |= kinds(lost)
        if kinds(lost) == {errors.WrongState}:
            await clear(world, subnet.id)
    assert outcomes


@pytest.mark.parametrize("use", ["service", "attachment", "subnet"])
async def test_a_vpc_is_never_deleted_under_what_uses_it(world: RegistryWorld, use: str) -> None:
    for number in range(10):
        vpc = await world.payments.vpc(name=f"vpc-{number}")
        attempts = [
            world.payments.ask(world.payments.stub.DeleteVpc, registry_pb2.DeleteVpcRequest(id=vpc.id)),
            put_to_use(world, vpc, use, number),
        ]
        if number % 2:
            attempts.reverse()
        won, lost = await at_once(attempts)
        assert len(won) == len(lost) == 1, "both a deletion and a use, or neither"
        assert kinds(lost) <= {errors.NotFound, errors.WrongState}


async def test_no_address_is_reserved_once_a_service_is_closed(world: RegistryWorld) -> None:
    vpc, subnet = await world.payments.vpc(), await world.shop.subnet(await world.shop.vpc())
    for number in range(5):
        service = await world.payments.service(vpc, f"service-{number}")
        await world.payments.permit(service.id, "shop")
        before = (await world.store.head()).position
        reservations: list[Awaitable[object]] = [world.program.reserve(service.id, subnet) for _ in range(MANY)]
        reservations.insert(3 * number, world.payments.delete_service(service.id))
        _, lost = await at_once(reservations)
        assert kinds(lost) <= {errors.WrongState, errors.NotFound}
        types = [event.type for event in await world.store.read(before, 1000)]
        closed = types.index("registry.v1.ServiceClosed")
        assert "registry.v1.PortReserved" not in types[closed:]


async def test_no_address_is_reserved_once_a_permission_is_taken_away(world: RegistryWorld) -> None:
    service = await world.payments.service(await world.payments.vpc())
    subnet = await world.shop.subnet(await world.shop.vpc())
    for number in range(5):
        await world.payments.permit(service.id, "shop")
        before = (await world.store.head()).position
        reservations: list[Awaitable[object]] = [world.program.reserve(service.id, subnet) for _ in range(MANY)]
        reservations.insert(3 * number, world.payments.forbid(service.id, "shop"))
        _, lost = await at_once(reservations)
        assert kinds(lost) <= {errors.NotFound}
        types = [event.type for event in await world.store.read(before, 1000)]
        removed = types.index("registry.v1.PermissionsRemoved")
        assert "registry.v1.PortReserved" not in types[removed:]


@pytest.mark.parametrize("address", ["", "10.0.0.99"])
async def test_an_endpoint_that_asks_many_times_at_once_has_one_port(world: RegistryWorld, address: str) -> None:
    service = await world.payments.service(await world.payments.vpc())
    await world.payments.permit(service.id, "*")
    subnet = await world.shop.subnet(await world.shop.vpc())
    endpoint = str(uuid4())
    won, lost = await at_once(
        [world.program.reserve(service.id, subnet, endpoint=endpoint, address=address) for _ in range(MANY)]
    )
    assert lost == []
    assert len({got.port.id for got in won}) == 1
    listed = await world.shop.ask(world.shop.stub.ListPorts, registry_pb2.ListPortsRequest())
    assert len(listed.ports) == 1


async def test_one_request_sent_many_times_at_once_is_done_once(world: RegistryWorld) -> None:
    subnet = await world.payments.subnet(await world.payments.vpc())
    won, lost = await at_once([world.payments.port(subnet, request_id="port-1") for _ in range(MANY)])
    assert lost == []
    assert len({port.SerializeToString() for port in won}) == 1


async def test_of_deletions_at_once_all_agree(world: RegistryWorld) -> None:
    vpc = await world.payments.vpc()
    free, busy = await world.payments.service(vpc, "free"), await world.payments.service(vpc, "busy")
    world.endpoints.live[busy.id] = [str(uuid4())]
    won, lost = await at_once([world.payments.delete_service(free.id) for _ in range(MANY)])
    assert (len(won), lost) == (MANY, [])
    won, lost = await at_once([world.payments.delete_service(busy.id) for _ in range(MANY)])
    assert (won, kinds(lost)) == ([], {errors.WrongState})
    assert (await world.payments.get_service(busy.id)).state == busy.state


def put_to_use(world: RegistryWorld, vpc: vpc_pb2.Vpc, use: str, number: int) -> Awaitable[object]:
    match use:
        case "service":
            return world.payments.service(vpc, f"service-{number}")
        case "attachment":
            return world.operator.attachment(vpc.id, f"target-{number}")
        case _:
            return world.payments.subnet(vpc)


async def clear(world: RegistryWorld, subnet_id: str) -> None:
    """Deletes the subnet with its ports."""
    ask, stub = world.payments.ask, world.payments.stub
    for port in (await ask(stub.ListPorts, registry_pb2.ListPortsRequest(subnet_id=subnet_id))).ports:
        await ask(stub.DeletePort, registry_pb2.DeletePortRequest(id=port.id))
    await ask(stub.DeleteSubnet, registry_pb2.DeleteSubnetRequest(id=subnet_id))

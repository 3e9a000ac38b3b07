"""Addresses for endpoints: reserved with the right to connect, released when the endpoint is gone or never came."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest

from services.common.addressing import address_of, network_of
from services.common.clock import SECOND, now
from services.common.errors import Unavailable
from services.common.eventsourcing.store import Head, RecordedEvent
from services.common.principal import Principal
from services.registry.policies import DOUBT_AFTER, EndpointPolicy, Upkeep
from sidegate import errors
from sidegate.api.endpoint.v1.endpoint_pb2 import Endpoint
from sidegate.api.events.v1.endpoint_events_pb2 import EndpointDeleted, EndpointEvent, EndpointFailed
from sidegate.api.registry.v1 import endpoint_service_pb2 as service_pb2
from sidegate.api.registry.v1 import registry_internal_service_pb2 as internal_pb2
from sidegate.api.registry.v1 import registry_service_pb2 as registry_pb2
from sidegate.api.registry.v1 import vpc_pb2
from sidegate.api.registry.v1.endpoint_service_pb2 import EndpointService
from tests.support.registry_service import RegistryWorld, running_registry


@dataclass
class Street(RegistryWorld):
    """A service that the shop may connect to, and a subnet of the shop's: both attached."""

    service: EndpointService
    subnet: vpc_pb2.Subnet

    async def ports(self) -> list[str]:
        listed = await self.shop.ask(self.shop.stub.ListPorts, registry_pb2.ListPortsRequest())
        return [port.address for port in listed.ports]

    def upkeep(self, later: int = 0) -> Upkeep:
        return Upkeep(self.registry.deletions, self.registry.reservations, lambda: now() + later)


@pytest.fixture
async def street(tmp_path: Path) -> AsyncIterator[Street]:
    async with running_registry(tmp_path) as world:
        payments, shop = await world.payments.vpc(), await world.shop.vpc()
        await world.operator.attachment(payments.id, "payments")
        await world.operator.attachment(shop.id, "shop")
        await world.operator.attachment(shop.id, "shop", "east")
        service = await world.payments.service(payments)
        service = await world.payments.permit(service.id, "shop")
        yield Street(**vars(world), service=service, subnet=await world.shop.subnet(shop))


async def test_a_reservation_answers_with_all_that_an_endpoint_needs(street: Street) -> None:
    endpoint = str(uuid4())
    got = await street.program.reserve(street.service.full_name, street.subnet, endpoint=endpoint)
    assert (got.port.address, got.port.holder) == ("10.0.0.2", f"endpoint/{endpoint}")
    assert (got.port.project, got.port.account) == ("shop-live", "shop")
    assert got.service == street.service
    assert {(each.cell, each.netns.namespace) for each in got.consumer_attachments} == {
        ("default", "shop"),
        ("east", "shop"),
    }
    assert [(each.cell, each.netns.namespace) for each in got.provider_attachments] == [("default", "payments")]
    assert await street.ports() == ["10.0.0.2"]


async def test_the_same_endpoint_gets_the_same_port_again(street: Street) -> None:
    endpoint = str(uuid4())
    first = await street.program.reserve(street.service.id, street.subnet, endpoint=endpoint)
    again = await street.program.reserve(street.service.id, street.subnet, endpoint=endpoint, address="10.0.0.2")
    assert (again.port.id, again.port.address) == (first.port.id, "10.0.0.2")
    assert await street.ports() == ["10.0.0.2"]
    with pytest.raises(errors.AlreadyExists) as refused:
        await street.program.reserve(street.service.id, street.subnet, endpoint=endpoint, address="10.0.0.9")
    assert refused.value.field == "address"


async def test_an_address_that_is_in_use_or_not_in_the_subnet_is_refused_with_its_field(street: Street) -> None:
    await street.shop.port(street.subnet, "10.0.0.10")
    with pytest.raises(errors.AlreadyExists) as taken:
        await street.program.reserve(street.service.id, street.subnet, address="10.0.0.10")
    assert taken.value.field == "address"
    with pytest.raises(errors.InvalidRequest) as outside:
        await street.program.reserve(street.service.id, street.subnet, address="10.9.0.10")
    assert outside.value.field == "address"


async def test_a_service_that_is_closing_takes_no_endpoints_and_says_nothing_of_its_owner(street: Street) -> None:
    street.endpoints.away = True
    with pytest.raises(errors.Unavailable):
        await street.payments.delete_service(street.service.id)
    with pytest.raises(errors.WrongState) as refused:
        await street.program.reserve(street.service.id, street.subnet)
    assert refused.value.reason == "SERVICE_NOT_AVAILABLE"
    assert "payments" not in refused.value.text
    assert await street.ports() == []


async def test_only_our_own_programs_reserve_release_and_read_sources(street: Street) -> None:
    sources = internal_pb2.GetForwardingSourcesRequest(service_ids=[street.service.id])
    for client in (street.shop, street.payments, street.operator):
        with pytest.raises(errors.NotFound):
            await client.reserve(street.service.id, street.subnet)
        with pytest.raises(errors.NotFound):
            await client.release(str(uuid4()))
        with pytest.raises(errors.NotFound):
            await client.ask(client.internal.GetForwardingSources, sources)


async def test_a_released_address_is_free_again_and_again_is_no_error(street: Street) -> None:
    endpoint = str(uuid4())
    first = await street.program.reserve(street.service.id, street.subnet, endpoint=endpoint)
    await street.program.release(endpoint)
    await street.program.release(endpoint)
    assert await street.ports() == []
    second = await street.program.reserve(street.service.id, street.subnet, endpoint=endpoint)
    assert second.port.address == first.port.address
    assert second.port.id != first.port.id


async def test_a_project_cannot_take_the_address_of_its_endpoint_away(street: Street) -> None:
    endpoint = str(uuid4())
    got = await street.program.reserve(street.service.id, street.subnet, endpoint=endpoint)
    with pytest.raises(errors.WrongState) as refused:
        await street.shop.ask(street.shop.stub.DeletePort, registry_pb2.DeletePortRequest(id=got.port.id))
    assert refused.value.blockers == (endpoint,)


async def test_an_own_account_needs_no_permission(street: Street) -> None:
    own = Principal("payments", "another-project")
    vpc = await street.payments.vpc("10.7.0.0/24", name="second")
    subnet = await street.payments.subnet(vpc, "10.7.0.0/24")
    with pytest.raises(errors.NotFound):
        await street.program.reserve(street.service.id, subnet, owner=own)
    got = await street.program.reserve(street.service.id, subnet, owner=street.payments.who)
    assert got.port.address == "10.7.0.2"


async def test_sources_of_forwarding_are_those_that_are_there(street: Street) -> None:
    request = internal_pb2.GetForwardingSourcesRequest(
        service_ids=[street.service.id, str(uuid4())], vpc_ids=[street.subnet.vpc_id, str(uuid4())]
    )
    got = await street.program.ask(street.program.internal.GetForwardingSources, request)
    assert list(got.services) == [street.service]
    assert [(each.vpc_id, each.cell) for each in got.attachments] == [
        (street.subnet.vpc_id, "default"),
        (street.subnet.vpc_id, "east"),
    ]


async def test_the_address_of_a_deleted_endpoint_is_free_again(street: Street) -> None:
    gone, failed = str(uuid4()), str(uuid4())
    for endpoint in (gone, failed):
        await street.program.reserve(street.service.id, street.subnet, endpoint=endpoint)
    policy = EndpointPolicy(street.store, street.registry.reservations, now)
    for _ in range(2):
        await policy.hear(heard("endpoint.v1.Deleted", EndpointEvent(deleted=EndpointDeleted()), gone))
        await policy.hear(heard("endpoint.v1.Failed", EndpointEvent(failed=EndpointFailed()), failed))
    assert await street.ports() == ["10.0.0.3"]


def at(position: int, log_id: str = "log", epoch: int = 1) -> Head:
    return Head(log_id, epoch, position, b"")


@dataclass
class Told:
    """The endpoint service's log, as a test tells it."""

    end: Head
    tell: Callable[[int], AsyncIterator[RecordedEvent]]

    async def head(self) -> Head:
        return self.end

    async def events(self, since: Head) -> AsyncGenerator[RecordedEvent, None]:
        async for event in self.tell(since.position):
            yield event


async def test_what_was_heard_is_not_heard_again_after_a_restart(street: Street) -> None:
    endpoint = str(uuid4())
    await street.program.reserve(street.service.id, street.subnet, endpoint=endpoint)
    started: list[int] = []

    class Heard(Exception):
        pass

    async def subscribe(after: int) -> AsyncIterator[RecordedEvent]:
        started.append(after)
        yield heard("endpoint.v1.Deleted", EndpointEvent(deleted=EndpointDeleted()), endpoint, 7)
        raise Heard

    for _ in range(2):
        with pytest.raises(Heard):
            await EndpointPolicy(street.store, street.registry.reservations, now).run(Told(at(7), subscribe))
    assert started == [0, 7]
    assert await street.ports() == []


@pytest.mark.parametrize(
    "restored",
    [at(7, epoch=2), at(7, log_id="another"), at(5)],
    ids=["in a new epoch", "as another log", "and nobody has noticed"],
)
async def test_a_log_that_was_restored_is_heard_from_its_beginning(street: Street, restored: Head) -> None:
    forgotten = str(uuid4())
    await street.program.reserve(street.service.id, street.subnet, endpoint=forgotten)
    started: list[int] = []

    class Heard(Exception):
        pass

    async def before(after: int) -> AsyncIterator[RecordedEvent]:
        yield heard("endpoint.v1.Requested", EndpointEvent(), forgotten, 7)
        raise Heard

    async def afterwards(after: int) -> AsyncIterator[RecordedEvent]:
        started.append(after)
        yield heard("endpoint.v1.Deleted", EndpointEvent(deleted=EndpointDeleted()), forgotten, 5)
        raise Heard

    for log in (Told(at(7), before), Told(restored, afterwards)):
        with pytest.raises(Heard):
            await EndpointPolicy(street.store, street.registry.reservations, now).run(log)
    assert started == [0]
    assert await street.ports() == []


async def test_following_goes_on_where_it_was_interrupted(street: Street) -> None:
    endpoints = [str(uuid4()), str(uuid4())]
    for endpoint in endpoints:
        await street.program.reserve(street.service.id, street.subnet, endpoint=endpoint)
    heard_all = asyncio.Event()

    async def subscribe(after: int) -> AsyncIterator[RecordedEvent]:
        yield heard("endpoint.v1.Deleted", EndpointEvent(deleted=EndpointDeleted()), endpoints[after], after + 1)
        if after == 0:
            raise Unavailable("LOG_INTERRUPTED", "the endpoint service's log cannot be followed")
        heard_all.set()
        await asyncio.get_running_loop().create_future()

    policy = EndpointPolicy(street.store, street.registry.reservations, now)
    following = asyncio.create_task(policy.run(Told(at(1), subscribe)))
    try:
        await asyncio.wait_for(heard_all.wait(), 10)
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
    assert await street.ports() == []


async def test_a_reservation_that_nobody_knows_is_released_after_a_minute_and_not_before(street: Street) -> None:
    known, unknown = str(uuid4()), str(uuid4())
    street.endpoints.there.add(known)
    await street.shop.port(street.subnet)
    for endpoint in (known, unknown):
        await street.program.reserve(street.service.id, street.subnet, endpoint=endpoint)
    await street.upkeep(59 * SECOND).once()
    assert await street.ports() == ["10.0.0.2", "10.0.0.3", "10.0.0.4"]
    await street.upkeep(61 * SECOND).once()
    assert await street.ports() == ["10.0.0.2", "10.0.0.3"]


async def test_nothing_is_released_while_the_endpoint_service_is_away(street: Street) -> None:
    await street.program.reserve(street.service.id, street.subnet)
    street.endpoints.away = True
    with pytest.raises(Unavailable):
        await street.upkeep(61 * SECOND).once()
    assert await street.ports() == ["10.0.0.2"]
    street.endpoints.away = False
    await street.upkeep(61 * SECOND).once()
    assert await street.ports() == []


async def test_what_is_settled_is_not_asked_about_again_until_in_doubt(street: Street) -> None:
    known = str(uuid4())
    street.endpoints.there.add(known)
    await street.program.reserve(street.service.id, street.subnet, endpoint=known)
    later = 61 * SECOND
    upkeep = Upkeep(street.registry.deletions, street.registry.reservations, lambda: now() + later)
    for _ in range(3):
        await upkeep.once()
    assert street.endpoints.asked == 1
    street.endpoints.there.clear()
    later += DOUBT_AFTER
    await upkeep.once()
    assert await street.ports() == []


async def test_a_reservation_that_is_renewed_while_it_is_asked_about_stays(street: Street) -> None:
    endpoint = str(uuid4())
    await street.program.reserve(street.service.id, street.subnet, endpoint=endpoint)
    # The second question is the one that decides.
    street.endpoints.meanwhile[2] = lambda: street.program.reserve(street.service.id, street.subnet, endpoint=endpoint)
    await street.upkeep(61 * SECOND).once()
    assert await street.ports() == ["10.0.0.2"]


def heard(name: str, event: EndpointEvent, endpoint_id: str, position: int = 1) -> RecordedEvent:
    event.endpoint.CopyFrom(Endpoint(id=endpoint_id))
    data, stream = event.SerializeToString(), f"endpoint-{endpoint_id}"
    return RecordedEvent(position, stream, 1, bytes(16), name, 1, now(), "default", 0, data, b"", bytes(32))


async def test_a_subnet_of_the_other_ip_version_is_refused_with_the_way_out(street: Street) -> None:
    provider = await street.payments.vpc("10.0.0.0/24", "fd00:20::/64", name="both")
    service = await street.payments.service(provider, "six", [service_pb2.Backend(address="FD00:20::0A")])
    assert (service.ip_version, service.backends[0].address) == (EndpointService.IP_VERSION_IPV6, "fd00:20::a")
    service = await street.payments.permit(service.id, "shop")
    consumer = await street.shop.vpc("fd00:10::/48", name="six")
    subnet = await street.shop.subnet(consumer, "fd00:10::/64")
    for published, place, other in ((service, street.subnet, "IPv6"), (street.service, subnet, "IPv4")):
        with pytest.raises(errors.InvalidRequest, match=f"name a subnet of {other}, or make one$") as refused:
            await street.program.reserve(published.id, place)
        assert (refused.value.reason, refused.value.field) == ("SUBNET_IP_VERSION", "subnet_id")
    assert await street.ports() == []
    got = await street.program.reserve(service.id, subnet)
    assert address_of(got.port.address) in network_of("fd00:10::/64")
    endpoint = str(uuid4())
    for text in ("fd00:10:0:0:0:0:0:00FF", "FD00:10::FF"):
        wanted = await street.program.reserve(service.id, subnet, endpoint=endpoint, address=text)
        assert wanted.port.address == "fd00:10::ff"
    for reserved in ("fd00:10::", "fd00:10::1"):
        with pytest.raises(errors.InvalidRequest):
            await street.program.reserve(service.id, subnet, address=reserved)


async def test_who_may_connect_learns_the_ip_version_that_a_subnet_must_be_of(street: Street) -> None:
    assert (await street.shop.look_up(street.service.id)).ip_version == EndpointService.IP_VERSION_IPV4
    assert (await street.payments.get_service(street.service.id)).ip_version == EndpointService.IP_VERSION_IPV4

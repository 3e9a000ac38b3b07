"""Names of endpoints and resolvers of VPCs, with both services: what owners see, and what gateways are told."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from services.common.eventsourcing.rebuild import rebuild_holdings
from services.common.eventsourcing.store import Constraints, RecordedEvent
from services.common.forwarding_digest import digest, line
from services.common.name_servers import AllowedServers
from services.common.principal import Principal
from services.endpoint.application.limits import Limits
from services.endpoint.application.service import EndpointApplication
from services.endpoint.application.streams import Streams
from services.endpoint.registry_client import RegistryClient
from services.registry.application.settings import Settings
from services.registry.domain.proof import Found, Texts
from sidegate import errors
from sidegate.api.endpoint.v1.endpoint_pb2 import Endpoint
from sidegate.api.events.v1.forwarding_pb2 import ForwardingEntry
from sidegate.api.registry.v1.endpoint_service_pb2 import Backend, EndpointService
from sidegate.api.registry.v1.vpc_pb2 import NetnsTarget
from sidegate.client import Client
from tests.support import identity
from tests.support.two_services import TwoServices, two_services, until
from tests.support.world import tcp

NAME = "api.example.com"
AT_ONCE = 20
ALLOWED = Settings(allowed_forwarders=AllowedServers.of("9.9.9.9,[2620:fe::fe]:53"))


@dataclass
class Scene:
    services: TwoServices
    operator: Client
    shop: Client
    payments: Client
    vpc: str
    subnet: str
    service: EndpointService

    async def request(self, *, dns_enabled: bool = True) -> Endpoint:
        return await self.shop.endpoints.create(self.service.id, self.subnet, dns_enabled=dns_enabled)

    async def verified(self, name: str = NAME) -> None:
        await self.payments.services.update(self.service.id, private_name=name)
        await self.payments.services.verify_name(self.service.id)

    async def told(self) -> Mapping[str, ForwardingEntry]:
        """Of the cell, by kind and id."""
        snapshot = await self.services.application.feed.snapshot("default")
        entries = list(snapshot.entries())
        return {
            (each.resolver.vpc_id or each.endpoint.endpoint_id): each
            for each in entries
            if each.WhichOneof("entry") in ("resolver", "endpoint")
        }

    async def resolving(self, address: str) -> ForwardingEntry:
        """The cell's entry once the resolver is at this address; empty is none."""

        async def is_told() -> bool:
            entry = (await self.told()).get(self.vpc)
            return (entry.resolver.address if entry else "") == address

        await until(self.services.endpoint_store, is_told)
        return (await self.told()).get(self.vpc, ForwardingEntry())


class Zone:
    """Says that every record is as it should be: nobody else's values are known."""

    services: TwoServices

    async def look_up(self, name: str) -> Found:
        events = await self.services.registry_store.read(0, 1000)
        values = [part for event in events for part in event.data.split(b"sidegate-verification=")[1:]]
        return Texts([f"sidegate-verification={value[:32].decode()}" for value in values])


def meaning(of_endpoints: Callable[[RecordedEvent], Constraints], event: RecordedEvent) -> Constraints:
    """What resolvers and services of cells claim is nothing."""
    return of_endpoints(event) if event.stream.startswith("endpoint-") else Constraints()


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    zone = Zone()
    async with two_services(tmp_path, Limits(endpoints=50), settings=ALLOWED, look_up=zone.look_up) as services:
        zone.services = services
        async with (
            services.client("operator") as operator,
            services.client("shop") as shop,
            services.client("payments") as payments,
        ):
            vpcs = [await each.vpcs.create("net", ["10.0.0.0/24", "fd00:10::/64"]) for each in (shop, payments)]
            for vpc in vpcs:
                await operator.attachments.create(vpc.id, NetnsTarget(namespace=vpc.id))
            subnet = await shop.subnets.create("main", vpcs[0].id, "10.0.0.0/24")
            service = await payments.services.create(
                "web", vpcs[1].id, [Backend(address="10.0.0.10")], [tcp(80, 80)], approval_required=True
            )
            await payments.services.permit(service.id, ["iam:domain::shop"])
            yield Scene(services, operator, shop, payments, vpcs[0].id, subnet.id, service)
            of_endpoints = Streams(services.endpoint_store).endpoints.meaning()
            events = await services.endpoint_store.read(0, 10_000)
            rebuilt = rebuild_holdings(events, lambda event: meaning(of_endpoints, event))
            assert rebuilt == await services.endpoint_store.holdings(), "claims and counters are those of the log"


async def test_an_endpoint_with_dns_has_its_own_name_and_its_services_as_it_was_verified_then(scene: Scene) -> None:
    await scene.payments.services.update(scene.service.id, private_name=NAME)
    before = await scene.request()
    own = f"{before.id}.local.sidegate.internal"
    assert list(before.dns_names) == [own]
    await scene.payments.services.verify_name(scene.service.id)
    after = await scene.request()
    assert list(after.dns_names) == [f"{after.id}.local.sidegate.internal", NAME]
    await scene.payments.services.update(scene.service.id, private_name="www.example.com")
    assert list((await scene.shop.endpoints.get(before.id)).dns_names) == [own]
    assert list((await scene.shop.endpoints.get(after.id)).dns_names)[1:] == [NAME]
    assert not (await scene.request(dns_enabled=False)).dns_names


async def test_gateways_are_told_of_names_once_packets_may_pass_and_no_more_when_they_may_not(scene: Scene) -> None:
    made = await scene.request()
    assert not (await scene.told())[made.id].endpoint.dns_names
    await scene.payments.connections.accept(scene.service.id, made.id)
    assert list((await scene.told())[made.id].endpoint.dns_names) == list(made.dns_names)
    await scene.payments.connections.reject(scene.service.id, made.id)
    assert not (await scene.told())[made.id].endpoint.dns_names
    assert (await scene.shop.endpoints.get(made.id)).dns_names == made.dns_names
    await scene.payments.connections.accept(scene.service.id, made.id)
    assert (await scene.told())[made.id].endpoint.dns_names
    assert not (await scene.shop.endpoints.update(made.id, dns_enabled=False)).dns_names
    off = await scene.shop.endpoints.get(made.id)
    assert (list((await scene.told())[made.id].endpoint.dns_names), off.generation) == ([], made.generation + 4)
    on = await scene.shop.endpoints.update(made.id, dns_enabled=True)
    assert list(on.dns_names) == list(made.dns_names)


async def test_one_endpoint_of_a_vpc_answers_to_a_private_name(scene: Scene) -> None:
    await scene.verified()
    first = await scene.request()
    with pytest.raises(errors.AlreadyExists, match=f"update {first.id} --no-dns") as taken:
        await scene.request()
    assert (taken.value.reason, taken.value.field) == ("DNS_NAME_TAKEN", "endpoint.dns_enabled")
    assert list(taken.value.blockers) == [first.id]
    assert [each.id async for each in scene.shop.endpoints.list()] == [first.id], "nothing half done"
    second = await scene.request(dns_enabled=False)
    with pytest.raises(errors.AlreadyExists):
        await scene.shop.endpoints.update(second.id, dns_enabled=True)
    assert not (await scene.shop.endpoints.get(second.id)).dns_enabled
    await scene.shop.endpoints.update(first.id, dns_enabled=False)
    assert NAME in (await scene.shop.endpoints.update(second.id, dns_enabled=True)).dns_names
    await scene.shop.endpoints.delete(second.id)
    assert NAME in (await scene.shop.endpoints.update(first.id, dns_enabled=True)).dns_names


async def test_of_twenty_endpoints_that_want_a_name_at_once_one_has_it(scene: Scene) -> None:
    await scene.verified()
    answers = await asyncio.gather(*(scene.request() for _ in range(AT_ONCE)), return_exceptions=True)
    said = Counter(each.reason if isinstance(each, errors.AlreadyExists) else type(each).__name__ for each in answers)
    assert said == {"Endpoint": 1, "DNS_NAME_TAKEN": AT_ONCE - 1}
    ports = [each.holder async for each in scene.shop.ports.list()]
    assert len(ports) == 1, "addresses of those that were refused are free"


async def test_cells_are_told_of_a_resolver_whenever_it_is_set(scene: Scene) -> None:
    """Before any endpoint needs the VPC, and again at each change."""
    await scene.shop.vpcs.set_resolver(scene.vpc, scene.subnet, forwarders=["9.9.9.9", "2620:fe::fe"])
    entry = (await scene.resolving("10.0.0.2")).resolver
    assert list(entry.forwarders) == ["9.9.9.9:53", "[2620:fe::fe]:53"]
    assert (entry.zone, entry.version, entry.vpc_id) == ("local.sidegate.internal", 1, scene.vpc)
    await scene.shop.vpcs.set_resolver(scene.vpc, scene.subnet, address="10.0.0.53")
    moved = (await scene.resolving("10.0.0.53")).resolver
    assert (list(moved.forwarders), moved.version) == ([], 2)
    await scene.shop.vpcs.delete_resolver(scene.vpc)
    await scene.resolving("")
    await scene.shop.vpcs.set_resolver(scene.vpc, scene.subnet, address="10.0.0.53")
    assert (await scene.resolving("10.0.0.53")).resolver.version == 4


async def test_a_resolver_goes_with_the_last_way_to_its_vpc_and_comes_back_with_it(scene: Scene) -> None:
    await scene.shop.vpcs.set_resolver(scene.vpc, scene.subnet)
    await scene.resolving("10.0.0.2")
    (attachment,) = [each async for each in scene.operator.attachments.list(vpc_id=scene.vpc)]
    await scene.operator.attachments.delete(attachment.id)
    await scene.resolving("")
    await scene.operator.attachments.create(scene.vpc, NetnsTarget(namespace="shop"))
    await scene.resolving("10.0.0.2")


async def test_a_resolver_of_ipv6_has_an_address_that_nobody_guesses(scene: Scene) -> None:
    six = await scene.shop.subnets.create("six", scene.vpc, "fd00:10::/64")
    made = await scene.shop.vpcs.set_resolver(scene.vpc, six.id)
    assert made.resolver.address.startswith("fd00:10::")
    assert (await scene.resolving(made.resolver.address)).resolver.address == made.resolver.address
    moved = await scene.shop.vpcs.set_resolver(scene.vpc, six.id, address="fd00:10:0::0053")
    assert moved.resolver.address == "fd00:10::53"


async def test_the_digest_counts_resolvers(scene: Scene) -> None:
    await scene.shop.vpcs.set_resolver(scene.vpc, scene.subnet)
    await scene.resolving("10.0.0.2")
    application = scene.services.application
    snapshot = await application.feed.snapshot("default")
    found = await application.feed.digest("default", snapshot.table.position)
    lines = []
    for entry in snapshot.entries():
        kind = entry.WhichOneof("entry")
        assert kind in ("attachment", "resolver")
        told = entry.resolver if kind == "resolver" else entry.attachment
        lines.append(line(kind, told.vpc_id, told.version))
    assert (found.digest, found.entries) == (digest(lines), len(lines))
    assert any(each.startswith("resolver ") for each in lines)
    await scene.shop.vpcs.delete_resolver(scene.vpc)
    await scene.resolving("")
    assert await application.feed.digest("default", snapshot.table.position) == found, "of then, made from the past"
    assert await application.feed.digest("default", (await scene.services.endpoint_store.head()).position) != found


async def test_what_was_missed_of_resolvers_is_told_at_the_next_look(scene: Scene) -> None:
    """A program that starts knows what cells were told, and asks the registry for the rest."""
    await scene.shop.vpcs.set_resolver(scene.vpc, scene.subnet)
    await scene.resolving("10.0.0.2")
    client = RegistryClient(scene.services.internal_addresses[0], identity.program("endpoint"))
    try:
        again = await EndpointApplication.open(scene.services.endpoint_store, client, Limits())
        position = (await scene.services.endpoint_store.head()).position
        await again.forwarding.resync()
        assert (await scene.services.endpoint_store.head()).position == position, "nothing is news"
        made = await scene.request()
        shown = await again.endpoints.get(made.id, Principal("shop", "live"))
        assert "resolver" not in shown.dns.reason
    finally:
        await client.close()


async def test_an_endpoint_says_whether_its_names_are_answered_and_what_to_do(scene: Scene) -> None:
    made = await scene.request()
    assert not made.dns.status
    assert (
        made.dns.reason == f"its VPC has no resolver: `sidegate vpc resolver set {scene.vpc} --subnet SUBNET` makes one"
    )
    await scene.shop.vpcs.set_resolver(scene.vpc, scene.subnet)
    await scene.resolving("10.0.0.3")
    waiting = (await scene.shop.endpoints.get(made.id)).dns
    assert (waiting.status, waiting.reason) == (
        False,
        "its names are answered when packets pass: the service's owner has yet to accept it",
    )
    assert not (await scene.request(dns_enabled=False)).HasField("dns")

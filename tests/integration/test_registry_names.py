"""Resolvers of VPCs and private names of services, as the registry has them; TXT records by a real DNS server."""

import asyncio
import socket
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from services.common.eventsourcing.rebuild import rebuild_holdings
from services.common.name_servers import AllowedServers, NameServer
from services.registry.application.names import LOOKUPS_OF_AN_ACCOUNT
from services.registry.application.settings import Settings
from services.registry.domain.proof import Found, NoSuchName, Texts
from services.registry.txt_records import TxtRecords
from sidegate import errors
from sidegate.api.registry.v1 import endpoint_service_pb2 as service_pb2
from sidegate.api.registry.v1 import registry_service_pb2 as registry_pb2
from sidegate.api.registry.v1 import vpc_pb2
from tests.support.name_server import HERE, free_port, name_server
from tests.support.registry_service import Client, RegistryWorld, running_registry

AT_ONCE = 20
ALLOWED = Settings(allowed_forwarders=AllowedServers.of("9.9.9.9,192.0.2.0/28:5353,[2620:fe::/64]:53"))
VERIFIED, PENDING = service_pb2.PrivateName.STATE_VERIFIED, service_pb2.PrivateName.STATE_PENDING_VERIFICATION


class Dns:
    """What the world's TXT records say, where no real server does."""

    def __init__(self) -> None:
        self.texts: dict[str, list[str]] = {}
        self.slow: dict[str, asyncio.Event] = {}
        self.asked: Counter[str] = Counter()
        self.real: TxtRecords | None = None

    async def look_up(self, name: str) -> Found:
        if self.real:
            return await self.real.look_up(name)
        self.asked[name] += 1
        await self.slow[name].wait() if name in self.slow else await asyncio.sleep(0)
        return Texts(self.texts[name]) if name in self.texts else NoSuchName()

    def publish(self, named: service_pb2.PrivateName) -> None:
        self.texts.setdefault(named.record_name, []).append(named.record_value)


@pytest.fixture
def zone() -> Dns:
    return Dns()


@pytest.fixture
async def world(tmp_path: Path, zone: Dns) -> AsyncIterator[RegistryWorld]:
    async with running_registry(tmp_path, ALLOWED, look_up=zone.look_up) as running:
        yield running
        events = await running.store.read(0, 10_000)
        rebuilt = rebuild_holdings(events, running.registry.streams.meaning())
        assert rebuilt == await running.store.holdings(), "claims and counters are those of the log"


async def subnet_of(client: Client) -> vpc_pb2.Subnet:
    return await client.subnet(await client.vpc())


async def ports_of(client: Client, subnet: vpc_pb2.Subnet) -> Sequence[vpc_pb2.Port]:
    request = registry_pb2.ListPortsRequest(subnet_id=subnet.id)
    return (await client.ask(client.stub.ListPorts, request)).ports


async def test_a_resolver_has_a_free_address_which_is_a_port_of_the_gateways(world: RegistryWorld) -> None:
    subnet = await subnet_of(world.payments)
    vpc = await world.payments.set_resolver(subnet)
    (port,) = await ports_of(world.payments, subnet)
    assert (port.holder, port.address, port.id) == ("gateway/resolver", "10.0.0.2", vpc.resolver.port_id)
    assert (vpc.resolver.subnet_id, vpc.resolver.address) == (subnet.id, "10.0.0.2")
    shown = await world.payments.ask(world.payments.stub.GetVpc, registry_pb2.GetVpcRequest(id=vpc.id))
    assert shown == vpc
    assert (await world.payments.port(subnet)).address == "10.0.0.3"


async def test_a_resolver_moves_and_gives_its_address_back(world: RegistryWorld) -> None:
    subnet = await subnet_of(world.payments)
    first = await world.payments.set_resolver(subnet)
    kept = await world.payments.set_resolver(subnet, "", "9.9.9.9:53", "192.0.2.1:5353", "2620:fe::fe")
    assert (kept.resolver.address, kept.resolver.port_id) == (first.resolver.address, first.resolver.port_id)
    assert list(kept.resolver.forwarders) == ["9.9.9.9", "192.0.2.1:5353", "2620:fe::fe"]
    assert await world.payments.set_resolver(subnet, "10.0.0.2", "9.9.9.9", "192.0.2.1:5353", "2620:fe::fe") == kept
    moved = await world.payments.set_resolver(subnet, "10.0.0.53")
    assert (moved.resolver.address, list(moved.resolver.forwarders)) == ("10.0.0.53", [])
    assert [port.address for port in await ports_of(world.payments, subnet)] == ["10.0.0.53"]
    assert not (await world.payments.delete_resolver(subnet.vpc_id)).HasField("resolver")
    assert not (await world.payments.delete_resolver(subnet.vpc_id)).HasField("resolver")
    assert not await ports_of(world.payments, subnet)


async def test_an_address_that_somebody_has_is_no_resolvers(world: RegistryWorld) -> None:
    subnet = await subnet_of(world.payments)
    await world.payments.port(subnet, "10.0.0.53")
    for address, reason in (("10.0.0.53", "ADDRESS_TAKEN"), ("10.0.0.1", "ADDRESS_RESERVED"), ("10.1.0.1", None)):
        with pytest.raises(errors.SidegateError) as refused:
            await world.payments.set_resolver(subnet, address)
        assert refused.value.reason == (reason or "ADDRESS_OUTSIDE_SUBNET")
        assert refused.value.field == "resolver.address"


async def test_nobody_makes_or_deletes_a_resolvers_port_by_itself(world: RegistryWorld) -> None:
    subnet = await subnet_of(world.payments)
    with pytest.raises(errors.InvalidRequest) as refused:
        await world.payments.port(subnet, holder="gateway/resolver")
    assert (refused.value.reason, refused.value.field) == ("HOLDER_RESERVED", "port.holder")
    vpc = await world.payments.set_resolver(subnet)
    with pytest.raises(errors.WrongState, match="vpc resolver delete") as kept:
        request = registry_pb2.DeletePortRequest(id=vpc.resolver.port_id)
        await world.payments.ask(world.payments.stub.DeletePort, request)
    assert (kept.value.reason, list(kept.value.blockers)) == ("PORT_OF_RESOLVER", [vpc.id])


async def test_a_resolver_keeps_its_subnet_until_it_is_deleted(world: RegistryWorld) -> None:
    subnet = await subnet_of(world.payments)
    vpc = await world.payments.set_resolver(subnet)
    request = registry_pb2.DeleteSubnetRequest(id=subnet.id)
    with pytest.raises(errors.WrongState, match="resolver") as kept:
        await world.payments.ask(world.payments.stub.DeleteSubnet, request)
    assert list(kept.value.blockers) == [vpc.resolver.port_id]
    await world.payments.delete_resolver(vpc.id)
    await world.payments.ask(world.payments.stub.DeleteSubnet, request)
    await world.payments.ask(world.payments.stub.DeleteVpc, registry_pb2.DeleteVpcRequest(id=vpc.id))


@pytest.mark.parametrize(
    ("forwarder", "reason"),
    [
        ("8.8.8.8", "FORWARDER_NOT_ALLOWED"),
        ("9.9.9.9:5353", "FORWARDER_NOT_ALLOWED"),
        ("192.0.2.1", "FORWARDER_NOT_ALLOWED"),
        ("127.0.0.1", "FORWARDER_NOT_ALLOWED"),
        ("169.254.169.254", "FORWARDER_NOT_ALLOWED"),
        ("::ffff:9.9.9.9", "FORWARDER_INVALID"),
        ("0.0.0.0", "FORWARDER_INVALID"),  # noqa: S104 # nothing is bound
        ("224.0.0.1", "FORWARDER_INVALID"),
        ("[ff02::1]:53", "FORWARDER_INVALID"),
        ("255.255.255.255", "FORWARDER_INVALID"),
        ("9.9.9.9:0", "FORWARDER_INVALID"),
        ("9.9.9.9:99999", "FORWARDER_INVALID"),
        ("dns.example.com", "FORWARDER_INVALID"),
        ("[2620:fe::fe", "FORWARDER_INVALID"),
        ("", "FORWARDER_INVALID"),
    ],
)
async def test_gateways_ask_no_name_server_that_the_operator_does_not_allow(
    world: RegistryWorld, forwarder: str, reason: str
) -> None:
    subnet = await subnet_of(world.payments)
    with pytest.raises(errors.SidegateError) as refused:
        await world.payments.set_resolver(subnet, "", forwarder)
    assert (refused.value.reason, refused.value.field) == (reason, "resolver.forwarders")


async def test_a_forwarder_that_is_allowed_no_more_is_not_told_to_gateways(tmp_path: Path) -> None:
    async with running_registry(tmp_path, ALLOWED) as world:
        subnet = await subnet_of(world.payments)
        vpc = await world.payments.set_resolver(subnet, "", "9.9.9.9", "192.0.2.1:5353")
        (told,) = await world.registry.resolvers.of([vpc.id])
        assert list(told.resolver.forwarders) == ["9.9.9.9", "192.0.2.1:5353"]
    async with running_registry(tmp_path, Settings(allowed_forwarders=AllowedServers.of("9.9.9.9"))) as world:
        (told,) = await world.registry.resolvers.of([vpc.id])
        assert list(told.resolver.forwarders) == ["9.9.9.9"]


async def test_anothers_vpc_reads_as_not_there(world: RegistryWorld) -> None:
    theirs, ours = await subnet_of(world.payments), await subnet_of(world.shop)
    with pytest.raises(errors.NotFound):
        await world.shop.set_resolver(theirs)
    with pytest.raises(errors.NotFound):
        await world.shop.delete_resolver(theirs.vpc_id)
    mixed = vpc_pb2.Subnet(id=theirs.id, vpc_id=ours.vpc_id)
    with pytest.raises(errors.NotFound, match="subnet"):
        await world.shop.set_resolver(mixed)


async def test_of_many_at_once_a_vpc_has_one_resolver_and_no_address_is_lost(world: RegistryWorld) -> None:
    subnet = await subnet_of(world.payments)
    wanted = ["", "10.0.0.53", "10.0.0.54"]
    await asyncio.gather(*(world.payments.set_resolver(subnet, wanted[number % 3]) for number in range(AT_ONCE)))
    shown = await world.payments.ask(world.payments.stub.GetVpc, registry_pb2.GetVpcRequest(id=subnet.vpc_id))
    (port,) = await ports_of(world.payments, subnet)
    assert (port.id, port.address) == (shown.resolver.port_id, shown.resolver.address)
    held = await world.registry.streams.count("subnet-uses", subnet.id)
    assert held == 1


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("localhost", "one label"),
        ("api.sidegate.internal", "given by Sidegate"),
        ("Sidegate.INTERNAL", "given by Sidegate"),
        ("*.example.com", "label"),
        ("_dmarc.example.com", "label"),
        ("a..example.com", "empty label"),
        ("-a.example.com", "label"),
        (f"{'a' * 64}.example.com", "label"),
        (".".join(["a" * 48] * 5), "longer"),
        ("10.0.0.1", "like an address"),
        ("a b.example.com", "label"),
        ("a\n.example.com", "label"),
        ("xn--a.example.com", "cannot be a private name"),
        ("ex\u200bample\u202e.com", "cannot be a private name"),
        (".", "root"),
    ],
)
async def test_what_cannot_be_a_private_name_is_refused(world: RegistryWorld, name: str, why: str) -> None:
    made = await world.payments.service(await world.payments.vpc())
    with pytest.raises(errors.InvalidRequest, match=why) as refused:
        await world.payments.name_service(made.id, name)
    assert (refused.value.reason, refused.value.field) == ("DNS_NAME_INVALID", "endpoint_service.private_name.name")


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("API.Example.com.", "api.example.com"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("a-1.b.c.example", "a-1.b.c.example"),
    ],
)
async def test_a_private_name_is_kept_in_the_dnss_own_form(world: RegistryWorld, given: str, name: str) -> None:
    made = await world.payments.service(await world.payments.vpc())
    named = (await world.payments.name_service(made.id, given)).private_name
    assert (named.name, named.record_name, named.state) == (name, f"_sidegate-challenge.{name}", PENDING)
    assert len(named.record_value) > 30


async def test_a_name_is_its_owners_when_a_real_server_says_so(tmp_path: Path, zone: Dns) -> None:
    """Values are not known before services are: so the server starts after them."""
    async with running_registry(tmp_path, look_up=zone.look_up) as world:
        vpc = await world.payments.vpc()
        made = [await world.payments.service(vpc, name=f"s-{number}") for number in range(3)]
        names = ["api.example.com", "other.example.com", "text.example.com"]
        named = [
            (await world.payments.name_service(each.id, name)).private_name
            for each, name in zip(made, names, strict=True)
        ]
        texts = {named[0].record_name: named[0].record_value, named[1].record_name: "something else"}
        async with name_server(texts, zones=("example.com",)) as server:
            zone.real = TxtRecords([server])
            verified = await world.payments.verify(made[0].id)
            with pytest.raises(errors.WrongState) as other:
                await world.payments.verify(made[1].id)
            with pytest.raises(errors.WrongState) as missing:
                await world.payments.verify(made[2].id)
            refusing = await world.payments.service(vpc, name="elsewhere")
            await world.payments.name_service(refusing.id, "api.example.net")
            with pytest.raises(errors.WrongState, match="REFUSED"):
                await world.payments.verify(refusing.id)
        assert (verified.private_name.state, verified.private_name.HasField("verify_time")) == (VERIFIED, True)
        assert 'says "something else"' in other.value.text
        assert f'a TXT record of {named[1].record_name} that says "{named[1].record_value}"' in other.value.text
        assert (other.value.reason, missing.value.reason) == ("PRIVATE_NAME_NOT_SHOWN", "PRIVATE_NAME_NOT_SHOWN")
        assert "NXDOMAIN" in missing.value.text
        assert (await world.payments.look_up(made[0].id)).private_name == "api.example.com"
        assert (await world.payments.look_up(made[1].id)).private_name == ""


async def test_a_silent_name_server_is_waited_for_as_long_as_was_said(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind((str(HERE), 0))
        texts = TxtRecords([NameServer(HERE, silent.getsockname()[1])], patience=0.3)
        async with running_registry(tmp_path, look_up=texts.look_up) as world:
            made = await world.payments.service(await world.payments.vpc())
            await world.payments.name_service(made.id, "api.example.com")
            with pytest.raises(errors.WrongState, match=r"no name server answered within 0\.3 s") as refused:
                await world.payments.verify(made.id)
            assert refused.value.reason == "PRIVATE_NAME_UNANSWERED"


async def test_nobody_at_a_name_servers_address_is_said_soon(tmp_path: Path) -> None:
    texts = TxtRecords([NameServer(HERE, free_port())], patience=1)
    async with running_registry(tmp_path, look_up=texts.look_up) as world:
        made = await world.payments.service(await world.payments.vpc())
        await world.payments.name_service(made.id, "api.example.com")
        with pytest.raises(errors.WrongState):
            await world.payments.verify(made.id)


async def test_another_name_is_to_be_verified_anew_and_the_same_is_not(world: RegistryWorld, zone: Dns) -> None:
    made = await world.payments.service(await world.payments.vpc())
    zone.publish((await world.payments.name_service(made.id, "api.example.com")).private_name)
    verified = await world.payments.verify(made.id)
    assert await world.payments.verify(made.id) == verified
    assert await world.payments.name_service(made.id, "API.example.com") == verified
    renamed = await world.payments.name_service(made.id, "www.example.com")
    assert (renamed.private_name.state, renamed.private_name.record_value) != (
        VERIFIED,
        verified.private_name.record_value,
    )
    assert not (await world.payments.name_service(made.id, "")).HasField("private_name")
    with pytest.raises(errors.WrongState) as refused:
        await world.payments.verify(made.id)
    assert refused.value.reason == "NO_PRIVATE_NAME"


async def test_of_twenty_that_show_the_same_name_at_once_one_has_it(world: RegistryWorld, zone: Dns) -> None:
    """All of them could: whoever has the zone may publish many records."""
    clients = [world.payments, world.shop]
    vpcs = [await each.vpc() for each in clients]
    made = []
    for number in range(AT_ONCE):
        service = await clients[number % 2].service(vpcs[number % 2], name=f"s-{number}")
        zone.publish((await clients[number % 2].name_service(service.id, "api.example.com")).private_name)
        made.append(service.id)
    answers = await asyncio.gather(
        *(clients[number % 2].verify(id_) for number, id_ in enumerate(made)), return_exceptions=True
    )
    said = Counter(each.reason if isinstance(each, errors.AlreadyExists) else type(each).__name__ for each in answers)
    assert said == {"EndpointService": 1, "DNS_NAME_TAKEN": AT_ONCE - 1}


async def test_a_name_that_another_has_shown_is_taken_until_it_is_given_up(world: RegistryWorld, zone: Dns) -> None:
    ours = await world.payments.service(await world.payments.vpc())
    zone.publish((await world.payments.name_service(ours.id, "api.example.com")).private_name)
    await world.payments.verify(ours.id)
    theirs = await world.shop.service(await world.shop.vpc())
    named = (await world.shop.name_service(theirs.id, "api.example.com")).private_name
    zone.publish(named)
    with pytest.raises(errors.AlreadyExists) as taken:
        await world.shop.verify(theirs.id)
    assert (taken.value.reason, taken.value.field) == ("DNS_NAME_TAKEN", "endpoint_service.private_name.name")
    assert ours.id not in taken.value.text
    assert "payments" not in taken.value.text
    await world.payments.delete_service(ours.id)
    assert (await world.shop.verify(theirs.id)).private_name.state == VERIFIED


async def test_whoever_has_not_shown_a_name_does_not_learn_that_another_has_it(world: RegistryWorld, zone: Dns) -> None:
    ours = await world.payments.service(await world.payments.vpc())
    zone.publish((await world.payments.name_service(ours.id, "api.example.com")).private_name)
    await world.payments.verify(ours.id)
    theirs = await world.shop.service(await world.shop.vpc())
    said = []
    for name in ("api.example.com", "nobodys.example.com"):
        named = (await world.shop.name_service(theirs.id, name)).private_name
        zone.texts[named.record_name] = ["another's"]
        with pytest.raises(errors.WrongState) as refused:
            await world.shop.verify(theirs.id)
        said.append((refused.value.reason, refused.value.text.replace(name, "").replace(named.record_value, "")))
    assert said[0] == said[1]


async def test_another_accounts_service_is_not_there_to_be_verified(world: RegistryWorld, zone: Dns) -> None:
    made = await world.payments.service(await world.payments.vpc())
    zone.publish((await world.payments.name_service(made.id, "api.example.com")).private_name)
    await world.payments.permit(made.id, "shop")
    with pytest.raises(errors.NotFound):
        await world.shop.verify(made.id)
    assert (await world.payments.get_service(made.id)).private_name.state == PENDING


async def test_slow_name_servers_of_one_account_keep_no_other_waiting(world: RegistryWorld, zone: Dns) -> None:
    silent = asyncio.Event()
    slow = await world.payments.service(await world.payments.vpc())
    await world.payments.name_service(slow.id, "slow.example.com")
    zone.slow["_sidegate-challenge.slow.example.com"] = silent
    waiting = [asyncio.create_task(world.payments.verify(slow.id)) for _ in range(AT_ONCE)]
    ours = await world.shop.service(await world.shop.vpc())
    zone.publish((await world.shop.name_service(ours.id, "api.example.com")).private_name)
    assert (await world.shop.verify(ours.id)).private_name.state == VERIFIED
    assert not any(each.done() for each in waiting)
    assert zone.asked["_sidegate-challenge.slow.example.com"] <= LOOKUPS_OF_AN_ACCOUNT
    silent.set()
    answers = await asyncio.gather(*waiting, return_exceptions=True)
    assert {type(each) for each in answers} == {errors.WrongState}

"""What must not pass, frame by frame: each is counted under its reason, and nothing of it comes out anywhere."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network

import pytest

from services.gateway_agent.dataplane.maps import Counter, EndpointValue, pack_address
from services.gateway_agent.dataplane.memory import Pair
from services.gateway_agent.dataplane.route_maps import range_key
from services.gateway_agent.table import Endpoint, Protocol, Route
from tests.support.sites import IN_EVERY_WAY
from tests.support.wire import ACK, FIN, ICMP, IPV4, IPV6, RST, SYN, TCP, UDP, Seen, Segment, Wire, ethernet
from tests.support.worlds import DNS, ENDPOINT, SOURCE, WEB, KernelWorld, Vpc

pytestmark = pytest.mark.root

CLIENT, BACKEND = "10.0.0.10", "10.0.0.20"
LAST = b"this one passes"
OPENING = Segment(CLIENT, ENDPOINT, 40000, 80)
VLAN = 0x8100


OF_A_CLIENT: list[tuple[Segment, Counter, str]] = [
    (replace(OPENING, destination_port=81), Counter.REFUSED_NO_PORT, "a port not published"),
    (replace(OPENING, protocol=UDP), Counter.REFUSED_NO_PORT, "a port of the other protocol"),
    (replace(OPENING, destination=BACKEND), Counter.REFUSED_NO_ENDPOINT, "the backend's address"),
    (replace(OPENING, destination=SOURCE), Counter.REFUSED_NO_ENDPOINT, "the source address"),
    (replace(OPENING, destination="10.0.0.1"), Counter.REFUSED_NO_ENDPOINT, "a gateway's address"),
    (replace(OPENING, destination="255.255.255.255"), Counter.REFUSED_NO_ENDPOINT, "broadcast"),
    (replace(OPENING, flags=ACK), Counter.REFUSED_NO_SESSION, "no SYN"),
    (replace(OPENING, flags=SYN | ACK), Counter.REFUSED_NO_SESSION, "SYN and ACK"),
    (replace(OPENING, flags=SYN | FIN), Counter.REFUSED_NO_SESSION, "SYN and FIN"),
    (replace(OPENING, flags=SYN | RST), Counter.REFUSED_NO_SESSION, "SYN and RST"),
    (replace(OPENING, flags=0), Counter.REFUSED_NO_SESSION, "no flags"),
    (replace(OPENING, protocol=ICMP), Counter.REFUSED_ICMP, "ICMP"),
    (replace(OPENING, ttl=1), Counter.REFUSED_TTL, "the last hop"),
    (replace(OPENING, options=b"\1\1\1\1"), Counter.REFUSED_OPTIONS, "IP options"),
    (replace(OPENING, fragment=0x2000), Counter.REFUSED_FRAGMENT, "the first fragment"),
    (replace(OPENING, fragment=0x0010), Counter.REFUSED_FRAGMENT, "a later fragment"),
    (replace(OPENING, version=5), Counter.REFUSED_MALFORMED, "another version of IP"),
    (replace(OPENING, source="224.0.0.1"), Counter.REFUSED_MALFORMED, "from many"),
    (replace(OPENING, source="255.255.255.255"), Counter.REFUSED_MALFORMED, "from everybody"),
    (replace(OPENING, missing=1), Counter.REFUSED_MALFORMED, "a header cut short"),
]
OF_A_VPC: list[tuple[Callable[[Wire], bytes], Counter, str]] = [
    (lambda wire: ethernet(wire.gateway, wire.mac, IPV6, bytes(60)), Counter.REFUSED_MALFORMED, "IPv6"),
    (lambda wire: ethernet(wire.gateway, wire.mac, 0x88B5, bytes(60)), Counter.REFUSED_PROTOCOL, "unknown"),
    (
        lambda wire: ethernet(wire.gateway, wire.mac, VLAN, b"\0\1\x08\0" + OPENING.pack()),
        Counter.REFUSED_PROTOCOL,
        "a VLAN",
    ),
    (
        lambda wire: ethernet(b"\2" * 6, wire.mac, IPV4, OPENING.pack()),
        Counter.REFUSED_NOT_FOR_US,
        "for another host",
    ),
    (
        lambda wire: ethernet(b"\xff" * 6, wire.mac, IPV4, OPENING.pack()),
        Counter.REFUSED_NOT_FOR_US,
        "for everybody",
    ),
    (
        lambda wire: ethernet(wire.gateway, wire.mac, IPV4, OPENING.pack()[:30]),
        Counter.REFUSED_MALFORMED,
        "a frame cut short",
    ),
]


@dataclass(slots=True)
class Scene:
    """An endpoint of `shop` that leads to `payments`, and the wires of both."""

    world: KernelWorld
    vpcs: tuple[Vpc, Vpc]
    endpoint: Endpoint
    shop: Wire
    payments: Wire

    async def is_refused(self, at: Wire, frame: bytes, reason: Counter) -> None:
        """It is counted, and comes out on neither side."""
        await self.world.counts_one(reason, at.send(frame))
        assert await self.comes_out() == ([], [])

    async def comes_out(self) -> tuple[list[Seen], list[Seen]]:
        """What came out since the last time, at the provider's and at the consumer's: up to a packet there and back."""
        await self.shop.send_ipv4(Segment(CLIENT, ENDPOINT, 50000, 53, UDP, payload=LAST).pack())
        *at_payments, last = await self.payments.receive_through(LAST)
        await self.payments.send_ipv4(Segment(BACKEND, SOURCE, 5353, last.source_port, UDP, payload=LAST).pack())
        *at_shop, _ = await self.shop.receive_through(LAST)
        return at_payments, at_shop

    def from_shop(self, segment: Segment) -> bytes:
        return ethernet(self.shop.gateway, self.shop.mac, IPV4, segment.pack())

    def from_payments(self, segment: Segment) -> bytes:
        return ethernet(self.payments.gateway, self.payments.mac, IPV4, segment.pack())


@pytest.fixture
async def scene(world: KernelWorld) -> Scene:
    shop, payments = await world.vpc("shop", CLIENT), await world.vpc("payments", BACKEND)
    endpoint = await world.lead(shop, await world.publish(payments, BACKEND, ports=(WEB, DNS)))
    return Scene(world, (shop, payments), endpoint, world.wire(shop), world.wire(payments))


@IN_EVERY_WAY
@pytest.mark.parametrize(("protocol", "port", "server_port"), [(TCP, 80, 8080), (UDP, 53, 5353)])
async def test_a_packet_passes_with_right_checksums_and_one_hop_less(
    scene: Scene, protocol: int, port: int, server_port: int
) -> None:
    await scene.shop.send_ipv4(Segment(CLIENT, ENDPOINT, 40000, port, protocol, payload=b"odd").pack())
    (seen,), _ = await scene.comes_out()
    assert (seen.source, seen.destination, seen.destination_port) == (SOURCE, BACKEND, server_port)
    assert seen.source_port >= 1024
    assert (seen.ttl, seen.payload, seen.checksums_right) == (63, b"odd", True)


@pytest.mark.parametrize(("segment", "reason"), [pytest.param(*each, id=name) for *each, name in OF_A_CLIENT])
async def test_a_client_cannot_send(scene: Scene, segment: Segment, reason: Counter) -> None:
    await scene.is_refused(scene.shop, scene.from_shop(segment), reason)


@pytest.mark.parametrize(("frame", "reason"), [pytest.param(*each, id=name) for *each, name in OF_A_VPC])
async def test_a_vpc_cannot_send(scene: Scene, frame: Callable[[Wire], bytes], reason: Counter) -> None:
    await scene.is_refused(scene.shop, frame(scene.shop), reason)


@pytest.mark.parametrize("world", ["vxlan", "interface"], indirect=True)
async def test_what_is_refused_from_a_veth_is_refused_from_every_device(scene: Scene) -> None:
    frames = [(scene.from_shop(segment), reason) for segment, reason, _ in OF_A_CLIENT]
    frames += [(frame(scene.shop), reason) for frame, reason, _ in OF_A_VPC]
    for frame, reason in frames:
        await scene.is_refused(scene.shop, frame, reason)


@pytest.mark.parametrize(
    ("segment", "reason"),
    [
        pytest.param(Segment(BACKEND, CLIENT, 8080, 22), Counter.REFUSED_NO_ENDPOINT, id="to the client"),
        pytest.param(Segment(BACKEND, SOURCE, 8080, 80), Counter.REFUSED_NO_ENDPOINT, id="to the source address"),
        pytest.param(Segment(BACKEND, ENDPOINT, 8080, 80), Counter.REFUSED_NO_ENDPOINT, id="to the endpoint"),
        pytest.param(Segment(BACKEND, SOURCE, 8080, 80, flags=ACK), Counter.REFUSED_NO_SESSION, id="no reply"),
        pytest.param(Segment(BACKEND, SOURCE, 5353, 2000, UDP), Counter.REFUSED_NO_ENDPOINT, id="UDP"),
    ],
)
async def test_a_provider_cannot_send(scene: Scene, segment: Segment, reason: Counter) -> None:
    await scene.is_refused(scene.payments, scene.from_payments(segment), reason)


@IN_EVERY_WAY
async def test_only_the_backend_of_a_session_can_reply_in_it(scene: Scene) -> None:
    other = await scene.world.vpc("other", BACKEND)
    await scene.world.publish(other, BACKEND)
    forger = scene.world.wire(other)
    await scene.shop.send_ipv4(Segment(CLIENT, ENDPOINT, 40000, 53, UDP).pack())
    (seen,), _ = await scene.comes_out()
    reply = Segment(BACKEND, SOURCE, 5353, seen.source_port, UDP)

    forged = ethernet(forger.gateway, forger.mac, IPV4, reply.pack())
    await scene.is_refused(forger, forged, Counter.REFUSED_NO_ENDPOINT)
    for wrong in (replace(reply, source="10.0.0.21"), replace(reply, source_port=5354)):
        await scene.is_refused(scene.payments, scene.from_payments(wrong), Counter.REFUSED_NO_ENDPOINT)

    await scene.payments.send_ipv4(reply.pack())
    _, (passed,) = await scene.comes_out()
    assert (passed.source, passed.destination_port, passed.checksums_right) == (ENDPOINT, 40000, True)


@IN_EVERY_WAY
async def test_a_provider_cannot_open_a_connection_within_a_session(scene: Scene) -> None:
    """A client may listen at the port that it connects from."""
    await scene.shop.send_ipv4(OPENING.pack())
    (seen,), _ = await scene.comes_out()
    reply = Segment(BACKEND, SOURCE, 8080, seen.source_port, flags=SYN | ACK)
    for flags, reason in (
        (SYN, Counter.REFUSED_NO_ENDPOINT),
        (SYN | FIN, Counter.REFUSED_NO_SESSION),
        (SYN | 0xC0, Counter.REFUSED_NO_ENDPOINT),
    ):
        await scene.is_refused(scene.payments, scene.from_payments(replace(reply, flags=flags)), reason)
    await scene.payments.send_ipv4(reply.pack())
    _, (passed,) = await scene.comes_out()
    assert (passed.source, passed.destination_port, passed.checksums_right) == (ENDPOINT, 40000, True)


@IN_EVERY_WAY
async def test_who_is_not_on_the_whitelist_cannot_send(scene: Scene) -> None:
    narrow = replace(scene.endpoint, allowed=(IPv4Network("10.0.0.8/30"),))
    await scene.world.put(narrow)
    for source in ("10.0.0.7", "10.0.0.12", "192.0.2.1"):
        outside = replace(OPENING, source=source)
        await scene.is_refused(scene.shop, scene.from_shop(outside), Counter.REFUSED_NOT_ALLOWED)


@IN_EVERY_WAY
async def test_a_removed_endpoint_refuses_packets_of_its_sessions_in_both_directions(scene: Scene) -> None:
    world = scene.world
    await scene.shop.send_ipv4(OPENING.pack())
    (seen,), _ = await scene.comes_out()
    await world.remove(scene.endpoint)
    for wire, segment in [
        (scene.shop, replace(OPENING, flags=ACK)),
        (scene.payments, Segment(BACKEND, SOURCE, 8080, seen.source_port, flags=ACK)),
    ]:
        await world.counts_one(Counter.REFUSED_STALE_EPOCH, wire.send_ipv4(segment.pack()))


async def test_an_endpoint_that_is_half_removed_opens_nothing(scene: Scene) -> None:
    """An agent that is killed after the cut leaves an entry whose epoch is not its slot's."""
    slots = scene.world.maps.slots
    ((_, value),) = scene.world.maps.endpoints.items()
    slot = EndpointValue.unpack(value).slot
    slots[slot] = Pair(slots[slot].low + 1, slots[slot].high)
    opening = scene.shop.send(scene.from_shop(OPENING))
    await scene.world.counts_one(Counter.REFUSED_STALE_EPOCH, opening)
    assert scene.endpoint.key not in (await scene.world.dataplane.read()).entries


async def test_what_a_route_denies_and_what_no_rule_allows_is_refused(scene: Scene) -> None:
    """A range that leads to an endpoint without a rule for it is what a reader sees of a change that is half made."""
    world, whole, upper = scene.world, IPv4Network("10.0.0.100/30"), IPv4Network("10.0.0.102/31")
    routed = replace(scene.endpoint, routes=(Route(whole, ports=((Protocol.UDP, 53),)), Route(upper, denied=True)))
    await world.put(routed)
    for address in ("10.0.0.100", "10.0.0.101", "10.0.0.102", "10.0.0.103"):
        denied = scene.from_shop(replace(OPENING, destination=address))
        await scene.is_refused(scene.shop, denied, Counter.REFUSED_DENIED)
    number = world.device_number(scene.vpcs[0])
    for leads_to in ("10.0.0.100", "10.0.0.99"):  # the endpoint, and nobody
        hint = pack_address(IPv4Address(leads_to))
        world.maps.routes.put(range_key(number, IPv4Network("100.125.0.0/16")), hint)
        stray = scene.from_shop(replace(OPENING, destination="100.125.0.1"))
        await scene.is_refused(scene.shop, stray, Counter.REFUSED_NO_ENDPOINT)
    assert (await world.dataplane.read()).entries[routed.key] == routed


async def test_a_range_leads_to_no_endpoint_that_has_no_routes(scene: Scene) -> None:
    """Nor to one that has taken the address of an endpoint with routes while a packet was on its way to that one."""
    world, number = scene.world, scene.world.device_number(scene.vpcs[0])
    hint = pack_address(scene.endpoint.address)
    world.maps.routes.put(range_key(number, IPv4Network("100.125.0.0/16")), hint)
    stray = scene.from_shop(replace(OPENING, destination="100.125.0.1"))
    await scene.is_refused(scene.shop, stray, Counter.REFUSED_NO_ENDPOINT)
    before = (await world.dataplane.counters())[Counter.FORWARDED]
    await scene.shop.send(scene.from_shop(OPENING))
    await world.counts_more(Counter.FORWARDED, before)


async def test_a_service_without_backends_refuses(scene: Scene) -> None:
    service = await scene.world.publish(scene.vpcs[1], BACKEND)
    await scene.world.lead(scene.vpcs[0], service, "10.0.0.101", "198.19.128.8")
    await scene.world.put(replace(service, backends=()))
    await scene.is_refused(
        scene.shop, scene.from_shop(replace(OPENING, destination="10.0.0.101")), Counter.REFUSED_NO_BACKEND
    )


async def test_nothing_is_forwarded_before_the_first_change_or_after_uninstalling(world: KernelWorld) -> None:
    shop = await world.vpc("shop", CLIENT)
    wire = world.wire(shop)
    await world.counts_one(Counter.REFUSED_NO_ENDPOINT, wire.send_ipv4(OPENING.pack()))
    await world.dataplane.uninstall()
    assert not world.device(shop).up

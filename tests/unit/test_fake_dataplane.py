"""The fake that other tests rely on: packets one by one, and what only a fake can be told."""

import asyncio
from dataclasses import dataclass, replace
from ipaddress import IPv4Address

import pytest

from services.gateway_agent.dataplane.fake import FakeDataplane
from services.gateway_agent.dataplane.fake_kernel import FakeKernel, Flow, Packet, TcpFlags
from services.gateway_agent.dataplane.port import NotReady
from services.gateway_agent.table import (
    Attachment,
    ClientIdentity,
    Endpoint,
    Entry,
    ForwardingTable,
    PortMapping,
    Protocol,
    Put,
    Remove,
    Service,
    Timeouts,
)
from services.gateway_agent.targets import Interface, Netns, Selector
from tests.support.tables import backends

CLIENT, BACKEND = IPv4Address("10.0.0.10"), IPv4Address("10.0.0.20")
SHOP, PAYMENTS = (Attachment(f"vpc-{name}", Netns(name, "sidegate0")) for name in ("shop", "payments"))
SERVICE = Service(
    "web",
    PAYMENTS.vpc,
    (PortMapping(80, 8080, Protocol.TCP), PortMapping(53, 5353, Protocol.UDP)),
    backends(BACKEND),
)
ENDPOINT = Endpoint(
    id="endpoint",
    marker=7,
    vpc=SHOP.vpc,
    address=IPv4Address("10.0.0.100"),
    service=SERVICE.id,
    source_address=IPv4Address("198.19.128.7"),
    admission=1,
)
ENTRIES: list[Entry] = [SHOP, PAYMENTS, SERVICE, ENDPOINT]
FLOW = Flow(SHOP.vpc, Protocol.TCP, CLIENT, 40000, ENDPOINT.address, 80)
QUERY = Flow(SHOP.vpc, Protocol.UDP, CLIENT, 40000, ENDPOINT.address, 53)
OPENING = Packet(FLOW, TcpFlags.SYN)


@dataclass(slots=True)
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def fake(clock: Clock) -> FakeDataplane:
    made = FakeDataplane(clock=clock)
    await made.open()
    for entry in ENTRIES:
        await made.apply(Put(entry))
    return made


async def through(fake: FakeDataplane, packet: Packet) -> Packet:
    sent = await fake.send(packet)
    assert sent is not None
    return sent


async def test_a_packet_comes_out_translated_in_the_other_vpc(fake: FakeDataplane) -> None:
    sent = await through(fake, OPENING)
    flow = sent.flow
    assert (flow.vpc, flow.source, flow.destination) == (PAYMENTS.vpc, ENDPOINT.source_address, BACKEND)
    assert flow.destination_port == 8080
    assert sent.flags == TcpFlags.SYN


async def test_its_answer_comes_out_where_it_was_sent(fake: FakeDataplane) -> None:
    sent = await through(fake, OPENING)
    answer = await through(fake, sent.answer(TcpFlags.SYN | TcpFlags.ACK))
    assert answer == OPENING.answer(TcpFlags.SYN | TcpFlags.ACK)


async def test_two_clients_with_one_address_and_port_keep_apart(fake: FakeDataplane) -> None:
    store = replace(SHOP, vpc="vpc-store", target=Netns("store", "sidegate0"))
    other = replace(ENDPOINT, id="other", vpc=store.vpc)
    for entry in (store, other):
        await fake.apply(Put(entry))
    first, second = (
        await through(fake, OPENING),
        await through(fake, Packet(replace(FLOW, vpc=store.vpc), OPENING.flags)),
    )
    assert first.flow != second.flow
    assert (await through(fake, second.answer())).flow.vpc == store.vpc


async def test_every_prefix_of_building_up_and_taking_down_forwards_less(fake: FakeDataplane) -> None:
    for entry in reversed(ENTRIES):
        await fake.apply(Remove(entry.key))
        assert await fake.send(OPENING) is None
    for entry in ENTRIES:
        assert await fake.send(OPENING) is None
        await fake.apply(Put(entry))
    assert await fake.send(OPENING) is not None


async def test_a_packet_that_does_not_pass_is_counted_by_its_reason(fake: FakeDataplane) -> None:
    assert await fake.send(Packet(FLOW, TcpFlags.ACK)) is None
    assert await fake.send(Packet(replace(FLOW, destination_port=81), TcpFlags.SYN)) is None
    assert await fake.send(Packet(replace(FLOW, destination=BACKEND), TcpFlags.SYN)) is None
    assert await fake.send(Packet(replace(FLOW, vpc="unknown"), TcpFlags.SYN)) is None
    counted = {name: count for name, count in (await fake.counters()).items() if count}
    assert counted == dict.fromkeys(
        ["refused_no_session", "refused_no_port", "refused_no_endpoint", "refused_not_attached"], 1
    )


async def test_sessions_and_table_are_the_kernels_and_not_the_agents(fake: FakeDataplane, clock: Clock) -> None:
    await through(fake, OPENING)
    await fake.close()
    assert await fake.send(Packet(FLOW, TcpFlags.ACK)) is not None
    successor = FakeDataplane(fake.kernel, clock)
    await successor.open()
    assert await successor.read() == ForwardingTable.of(ENTRIES)
    assert await successor.send(Packet(FLOW, TcpFlags.ACK)) is not None


async def test_a_lost_namespace_is_told_and_comes_back_with_the_attachment(fake: FakeDataplane) -> None:
    fake.lose(PAYMENTS.target)
    async with asyncio.timeout(1):
        await fake.wait_for_news()
    assert set(fake.difficulties()) == {PAYMENTS.key, SERVICE.key}
    assert await fake.send(OPENING) is None
    with pytest.raises(NotReady, match="network namespace payments is not there"):
        await fake.apply(Put(PAYMENTS))
    fake.restore(PAYMENTS.target)
    await fake.apply(Put(PAYMENTS))
    assert fake.difficulties() == {}
    assert await fake.send(OPENING) is not None


async def test_two_selectors_of_one_device_never_put_two_vpcs_on_it(fake: FakeDataplane) -> None:
    by_name, by_mac = Interface(Selector.NAME, "eth1"), Interface(Selector.MAC, "02:00:00:00:00:01")
    fake.kernel.devices = {by_name: "eth1", by_mac: "eth1"}
    first, second = Attachment("vpc-first", by_name), Attachment("vpc-second", by_mac)
    await fake.apply(Put(first))
    with pytest.raises(NotReady, match="already carries VPC vpc-first"):
        await fake.apply(Put(second))
    await fake.apply(Remove(first.key))
    await fake.apply(Put(second))
    assert second.key in (await fake.read()).entries


async def test_a_silent_host_is_a_difficulty_only_when_no_other_answers(fake: FakeDataplane) -> None:
    other = IPv4Address("10.0.0.21")
    await fake.apply(Put(replace(SERVICE, backends=backends(BACKEND, other))))
    fake.silence(PAYMENTS.vpc, BACKEND)
    assert fake.difficulties() == {}
    assert (await through(fake, OPENING)).flow.destination == other
    fake.silence(PAYMENTS.vpc, other)
    assert fake.difficulties() == {SERVICE.key: "none of the backends 10.0.0.20, 10.0.0.21 answers"}
    fake.answer(PAYMENTS.vpc, BACKEND)
    assert fake.difficulties() == {}


@pytest.mark.parametrize(
    ("packets", "seconds"),
    [
        pytest.param([], 30, id="half open"),
        pytest.param([TcpFlags.ACK], 350, id="established"),
        pytest.param([TcpFlags.ACK, TcpFlags.FIN | TcpFlags.ACK], 350, id="half closed"),
        pytest.param([TcpFlags.RST], 10, id="reset"),
    ],
)
async def test_a_session_is_over_after_its_timeout(
    fake: FakeDataplane, clock: Clock, packets: list[TcpFlags], seconds: int
) -> None:
    sent = await through(fake, OPENING)
    await through(fake, sent.answer(TcpFlags.SYN | TcpFlags.ACK))
    for flags in packets:
        await through(fake, Packet(FLOW, flags))
    clock.now += seconds - 1
    assert await fake.collect() == 0
    clock.now += 1
    assert await fake.collect() == 1
    assert await fake.send(Packet(FLOW, TcpFlags.ACK)) is None


async def test_a_datagram_that_is_answered_is_kept_longer(fake: FakeDataplane, clock: Clock) -> None:
    sent = await through(fake, Packet(QUERY))
    clock.now += Timeouts().udp_one_way - 1
    assert await fake.collect() == 0
    await through(fake, sent.answer())
    clock.now += Timeouts().udp_two_way - 1
    assert await fake.collect() == 0
    clock.now += 1
    assert await fake.collect() == 1


async def test_a_syn_on_a_closed_session_opens_another(fake: FakeDataplane) -> None:
    sent = await through(fake, OPENING)
    await through(fake, Packet(FLOW, TcpFlags.FIN | TcpFlags.ACK))
    await through(fake, sent.answer(TcpFlags.FIN | TcpFlags.ACK))
    await through(fake, OPENING)
    assert (await fake.counters())["session_new"] == 2


async def test_a_syn_tells_of_the_client_where_its_port_does(fake: FakeDataplane) -> None:
    service = fake.kernel.entries.services()[0]
    ports = tuple(
        replace(each, identity=ClientIdentity.TOA) if each.protocol is Protocol.TCP else each for each in service.ports
    )
    await fake.apply(Put(replace(service, ports=ports)))
    sent = await through(fake, OPENING)
    assert sent.told == (FLOW.source, FLOW.source_port)
    assert (await through(fake, sent.answer(TcpFlags.SYN | TcpFlags.ACK))).told is None
    assert (await through(fake, Packet(FLOW, TcpFlags.ACK))).told is None
    assert (await fake.counters())["toa_added"] == 1


async def test_a_new_kernel_knows_nothing() -> None:
    fake = FakeDataplane(FakeKernel())
    await fake.open()
    assert await fake.read() == ForwardingTable()
    assert await fake.send(OPENING) is None

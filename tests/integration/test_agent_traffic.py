"""What an agent sees pass, what it asks for because of it, and what it shows of it."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest

from services.gateway_agent.dataplane.fake_kernel import FakeKernel, Flow, Packet, TcpFlags
from services.gateway_agent.numbers import GatewayNumbers
from services.gateway_agent.table import Protocol
from services.gateway_agent.traffic import Traffic
from sidegate.api.gateway.v1.traffic_pb2 import GetTrafficRequest, ReportTrafficRequest
from tests.support.agent import BASE, CLIENT, PAYMENTS, SHOP, WEB, Recorded, address, agent, endpoint, eventually, id_of
from tests.support.control_plane import ABSENT, FORWARDING, control_plane
from tests.support.metrics import value

BYTES, SESSIONS = GetTrafficRequest.ORDER_BYTES, GetTrafficRequest.ORDER_SESSIONS
REFUSED, SOURCES = GetTrafficRequest.ORDER_REFUSED, GetTrafficRequest.ORDER_SOURCES


def small() -> FakeKernel:
    """Ten sessions fit in a source address."""
    kernel = FakeKernel()
    kernel.source_ports = range(1024, 1034)
    return kernel


async def opened(dataplane: Recorded, first: int, number: int, name: str = "1") -> list[bool]:
    return [await dataplane.forwards(name, port) for port in range(first, first + number)]


async def test_an_endpoint_that_runs_out_of_source_ports_asks_for_more_addresses_and_uses_them(tmp_path: Path) -> None:
    async with control_plane() as control:
        await control.tell(*BASE, endpoint())
        async with agent(control, small(), tmp_path) as gateway:
            await control.reported(id_of("1"), FORWARDING, sources_wanted=0)
            assert await opened(gateway.dataplane, 40000, 12) == [True] * 10 + [False] * 2
            await control.reported(id_of("1"), FORWARDING, generation=1, sources_wanted=2)
            before = len(gateway.dataplane.changes)
            await control.tell(endpoint("1", 2, sources=2))
            await control.reported(id_of("1"), FORWARDING, generation=2, sources_wanted=0)
            assert len(gateway.dataplane.changes) == before + 1, "it is put in place: nothing is taken out first"
            assert await opened(gateway.dataplane, 50000, 11) == [True] * 10 + [False]
            still = [await gateway.dataplane.forwards(port=port, flags=TcpFlags.ACK) for port in range(40000, 40010)]
            assert all(still), "sessions of before go on"
            sources = {flow.destination for flow in gateway.dataplane.kernel.sessions if flow.vpc == PAYMENTS}
            assert {str(each) for each in sources} == {"198.19.128.1", "198.19.129.1"}


async def test_what_a_gateway_asks_for_is_said_again_to_a_control_plane_that_forgot_it(tmp_path: Path) -> None:
    async with control_plane(lease=0.3) as control:
        await control.tell(*BASE, endpoint())
        async with agent(control, small(), tmp_path) as gateway:
            await control.reported(id_of("1"), FORWARDING)
            await opened(gateway.dataplane, 40000, 11)
            await control.reported(id_of("1"), FORWARDING, sources_wanted=2)
            control.forget()
            await control.joined(2)
            await control.reported(id_of("1"), FORWARDING, sources_wanted=2)


async def test_sessions_of_a_source_address_that_is_gone_are_cut(tmp_path: Path) -> None:
    async with control_plane() as control:
        await control.tell(*BASE, endpoint(sources=2))
        async with agent(control, small(), tmp_path) as gateway:
            await control.reported(id_of("1"), FORWARDING)
            assert all(await opened(gateway.dataplane, 40000, 15))
            await control.tell(endpoint("1", 2, sources=1))
            await control.reported(id_of("1"), FORWARDING, generation=2)
            assert not gateway.dataplane.kernel.sessions, "the address may be another endpoint's by now"
            assert await gateway.dataplane.forwards(port=50000)


async def test_traffic_is_shown_in_the_order_that_is_asked_for(tmp_path: Path) -> None:
    async with control_plane() as control:
        await control.tell(*BASE, endpoint("1"), endpoint("2"), endpoint("3"))
        async with agent(control, small(), tmp_path) as gateway, gateway.table_service() as service:
            await control.reported(id_of("3"), FORWARDING)
            await opened(gateway.dataplane, 40000, 2, "1")
            large = Packet(Flow(SHOP, Protocol.TCP, CLIENT, 40000, address("1"), 80), TcpFlags.ACK, size=9000)
            out = await gateway.dataplane.send(large)
            assert out is not None
            await gateway.dataplane.send(Packet(out.answer().flow, TcpFlags.ACK, size=500))
            await opened(gateway.dataplane, 40000, 4, "2")
            await gateway.dataplane.send(
                Packet(Flow(SHOP, Protocol.TCP, CLIENT, 41000, address("2"), 81), TcpFlags.SYN)
            )
            told = await service.traffic()
            assert [each.endpoint_id for each in told.endpoints] == [id_of("1"), id_of("2")]
            assert (told.left_out, told.session_capacity) == (1, 1_000_000)
            first = told.endpoints[0]
            assert (first.service_id, first.address, first.sources) == (WEB, str(address("1")), 1)
            assert first.source_capacity == 64_512
            passed = first.traffic
            assert (passed.sessions, passed.sessions_made) == (2, 2)
            assert (passed.packets_in, passed.bytes_in) == (3, 2 * 40 + 9000)
            assert (passed.packets_out, passed.bytes_out) == (1, 500)
            assert dict(told.endpoints[1].traffic.refused) == {"no_port": 1}
            assert (told.total.sessions, told.total.bytes_in, dict(told.total.refused)) == (6, 9240, {"no_port": 1})
            for order, most in ((BYTES, "1"), (SESSIONS, "2"), (REFUSED, "2"), (SOURCES, "2")):
                told = await service.traffic(order=order, limit=1)
                assert [each.endpoint_id for each in told.endpoints] == [id_of(most)]
                assert told.left_out == 2


async def test_a_gateway_without_traffic_shows_none(tmp_path: Path) -> None:
    async with control_plane() as control:
        await control.tell(*BASE, endpoint("1"))
        async with agent(control, FakeKernel(), tmp_path) as gateway, gateway.table_service() as service:
            await control.reported(id_of("1"), FORWARDING)
            told = await service.traffic()
            assert (list(told.endpoints), told.left_out, told.total.bytes_in) == ([], 1, 0)


class Uncounted(Recorded):
    """Its counts cannot be read until a test says so."""

    broken = True
    asked = 0

    async def traffic(self) -> Mapping[str, Traffic]:
        self.asked += 1
        if self.broken:
            raise OSError("the map is gone")
        return await super().traffic()


async def test_packets_pass_while_they_cannot_be_counted(tmp_path: Path) -> None:
    async with control_plane() as control:
        await control.tell(*BASE, endpoint("1"), endpoint("2"))
        async with agent(control, small(), tmp_path, dataplane=Uncounted) as gateway:
            dataplane = gateway.dataplane
            assert isinstance(dataplane, Uncounted)
            await control.reported(id_of("2"), FORWARDING)
            await eventually("two attempts to count", lambda: dataplane.asked > 1)
            await opened(dataplane, 40000, 3, "2")
            await control.tell(endpoint("2", 2, removed=True))
            await control.reported(id_of("2"), ABSENT, generation=2)
            await opened(dataplane, 40000, 2, "1")
            dataplane.broken = False
            reading = await gateway.agent.meter.read()
            assert reading.services[WEB].sessions_made == 5, "also of what went meanwhile"


async def test_a_scrape_tells_of_endpoints_and_services_what_passed(tmp_path: Path) -> None:
    async with control_plane() as control:
        await control.tell(*BASE, endpoint("1"), endpoint("2"))
        async with agent(control, small(), tmp_path) as gateway:
            await control.reported(id_of("2"), FORWARDING)
            await opened(gateway.dataplane, 40000, 2, "1")
            await opened(gateway.dataplane, 40000, 3, "2")
            registry = CollectorRegistry()
            registry.register(GatewayNumbers(gateway.agent.figures, asyncio.get_running_loop(), 1))
            text = (await asyncio.to_thread(generate_latest, registry)).decode()
            of = {"endpoint_id": id_of("2"), "service_id": WEB}
            assert value(text, "sidegate_endpoint_connections_total", **of) == 3
            assert value(text, "sidegate_gateway_endpoints_left_out") == 1
            assert value(text, "sidegate_service_act_connections", service_id=WEB) == 5
            assert value(text, "sidegate_service_rx_byte_total", service_id=WEB) == 5 * 40
            assert value(text, "sidegate_gateway_session_capacity") == 1_000_000
            await control.tell(endpoint("2", 2, removed=True))
            await control.reported(id_of("2"), ABSENT, generation=2)
            text = (await asyncio.to_thread(generate_latest, registry)).decode()
            assert value(text, "sidegate_service_rx_byte_total", service_id=WEB) == 5 * 40, "a sum never goes back"
            assert value(text, "sidegate_service_act_connections", service_id=WEB) == 2
            assert value(text, "sidegate_endpoint_connections_total", endpoint_id=id_of("1")) == 2


def packets(request: ReportTrafficRequest, name: str = "1") -> int:
    """Of an endpoint, as it is told; -1 where nothing is."""
    told = [each.traffic.packets_in for each in request.endpoints if each.endpoint_id == id_of(name)]
    return told[-1] if told else -1


async def test_what_passes_is_told_once_and_only_what_has_changed(tmp_path: Path) -> None:
    async with control_plane() as control:
        await control.tell(*BASE, endpoint("1"), endpoint("2"))
        async with agent(control, small(), tmp_path) as gateway:
            await control.reported(id_of("2"), FORWARDING)
            assert await opened(gateway.dataplane, 40000, 3) == [True] * 3
            place = await control.told_traffic(lambda request: packets(request) == 3)
            request = control.traffic[place]
            assert (request.gateway_id, request.counting, request.complete) == ("gw-1", "0", True)
            assert (request.condition.sessions, request.condition.session_capacity) == (3, 1_000_000)
            assert request.condition.version
            assert packets(request, "2") == -1, "nothing was seen of it"
            await control.told_traffic(lambda other: other.number >= request.number + 2)
            assert not [packets(each) for each in control.traffic[place + 1 :] if packets(each) != -1]
            assert all(each.HasField("since_last") for each in control.traffic[place + 1 :])
            numbers = [each.number for each in control.traffic]
            assert numbers == sorted(set(numbers))


async def test_a_report_whose_answer_is_lost_is_told_again_as_it_was(tmp_path: Path) -> None:
    async with control_plane() as control:
        await control.tell(*BASE, endpoint())
        async with agent(control, small(), tmp_path) as gateway:
            await control.reported(id_of("1"), FORWARDING)
            control.lose_traffic_answers = 2
            assert await opened(gateway.dataplane, 40000, 3) == [True] * 3
            place = await control.told_traffic(lambda request: packets(request) == 3)
            number = control.traffic[place].number
            await control.told_traffic(lambda request: request.number > number)
            same = [each for each in control.traffic if each.number == number]
            assert all(each == same[0] for each in same)


async def test_all_is_told_again_after_a_join_and_an_agent_that_begins_anew_goes_on_counting(tmp_path: Path) -> None:
    kernel = small()
    async with control_plane(lease=0.3) as control:
        await control.tell(*BASE, endpoint())
        async with agent(control, kernel, tmp_path) as gateway:
            await control.reported(id_of("1"), FORWARDING)
            await opened(gateway.dataplane, 40000, 3)
            await control.told_traffic(lambda request: packets(request) == 3)
            first = control.sessions[-1]
            control.forget()
            await control.told_traffic(lambda request: packets(request) == 3 and request.session_id != first)
        session = control.sessions[-1]
        async with agent(control, kernel, tmp_path) as gateway:
            place = await control.told_traffic(lambda request: request.session_id not in {first, session})
            assert packets(control.traffic[place]) == 3
            await opened(gateway.dataplane, 50000, 2)
            await control.told_traffic(lambda request: packets(request) == 5)


async def test_of_an_endpoint_that_is_taken_out_the_last_counts_are_told_and_then_none(tmp_path: Path) -> None:
    async with control_plane() as control:
        await control.tell(*BASE, endpoint())
        async with agent(control, small(), tmp_path) as gateway:
            await control.reported(id_of("1"), FORWARDING)
            await opened(gateway.dataplane, 40000, 3)
            await control.tell(endpoint("1", 2, removed=True))
            await control.reported(id_of("1"), ABSENT, generation=2)
            await control.told_traffic(lambda request: packets(request) == 0)
            told = [each.traffic.packets_in for request in control.traffic for each in request.endpoints]
            assert (max(told), told[-1]) == (3, 0)

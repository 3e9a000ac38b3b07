"""What the program in C and the agent in Python must agree on, and what the agent refuses to write."""

import re
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.service_settings import SessionSettings
from services.gateway_agent.dataplane import build, maps, settings_map
from services.gateway_agent.dataplane.bpffs import Pins
from services.gateway_agent.dataplane.entries import MOST_BACKENDS, MOST_LISTED, Entries, check_entry, check_ids
from services.gateway_agent.dataplane.local_numbers import Numbers
from services.gateway_agent.dataplane.maps import Counter
from services.gateway_agent.dataplane.port import DataplaneError
from services.gateway_agent.dataplane.records import MOST_REMOTES, AttachmentRecord
from services.gateway_agent.dataplane.shares import SLOTS
from services.gateway_agent.table import (
    Affinity,
    Attachment,
    Backend,
    ClientIdentity,
    Endpoint,
    Entry,
    HealthCheck,
    HealthProtocol,
    Limits,
    PortMapping,
    Protocol,
    Service,
    Timeouts,
)
from services.gateway_agent.targets import Annex, Interface, Netns, Selector, Target, Vxlan
from tests.support.service_settings import health_checks, session_settings
from tests.support.tables import backends

UUID = "3e428a55-2848-45c1-a30f-ccce9485e15d"
WEB = PortMapping(80, 8080, Protocol.TCP)
ATTACHMENT = Attachment(UUID, Netns("shop", "sidegate0"))
HOST = IPv4Address("192.0.2.10")
INTERFACES = (
    Interface(Selector.NAME, "d" * 15),
    Interface(Selector.MAC, "02:aa:00:00:00:01"),
    Interface(Selector.ADDRESS, "192.168.100.100"),
)
SERVICE = Service(UUID, UUID, (WEB,), backends("10.0.0.20"))
ADDRESS = IPv4Address("10.0.0.1")
ENDPOINT = Endpoint(UUID, 7, UUID, IPv4Address("10.0.0.100"), UUID, IPv4Address("198.19.128.7"), 1)


def vxlan(vni: int = 100, remotes: tuple[IPv4Address, ...] = (HOST,), port: int = 4789, mtu: int = 0) -> Attachment:
    return Attachment(UUID, Vxlan(vni, remotes, port, mtu=mtu))


def asking(said: Timeouts | Limits | HealthCheck) -> Service:
    """A service that asks for this, and otherwise for the usual."""
    match said:
        case Timeouts():
            return replace(SERVICE, timeouts=said)
        case Limits():
            return replace(SERVICE, limits=said)
        case HealthCheck():
            return replace(SERVICE, health_check=said)


addresses = st.builds(IPv4Address, st.integers(0, 2**32 - 1))
macs = st.binary(min_size=6, max_size=6)
words = st.integers(0, 2**32 - 1)
longs = st.integers(0, 2**64 - 1)


def test_counters_have_the_same_names_in_the_same_order_on_both_sides() -> None:
    enum = (build.BPF / "counters.h").read_text().partition("enum counter {")[2].partition("}")[0]
    names = re.findall(r"^\t([A-Z_]+),", enum, re.MULTILINE)
    assert names == [*Counter.__members__, "COUNTERS"]


def test_structs_have_the_sizes_that_the_header_asserts() -> None:
    asserted = re.findall(r"sizeof\(struct (\w+)\) == (\d+)", (build.BPF / "maps.h").read_text())
    sizes = {
        "vpc": maps.VpcDevice.LAYOUT.size,
        "endpoint": maps.EndpointValue.LAYOUT.size,
        "backend": maps.BackendValue.LAYOUT.size,
        "shares": SLOTS,
        "settings": settings_map.Settings.LAYOUT.size,
        "port": maps.PORT_VALUE.size,
    }
    assert {name: int(size) for name, size in asserted} == sizes


@given(words, st.booleans(), macs, st.integers(0, 65535))
def test_a_device_survives_packing(ifindex: int, local_peer: bool, mac: bytes, mtu: int) -> None:
    value = maps.VpcDevice(ifindex, local_peer, mac, mtu)
    assert maps.VpcDevice.unpack(value.pack()) == value


@given(st.builds(maps.EndpointValue, words, words, words, addresses, longs, longs, st.uuids().map(str)))
def test_an_endpoint_survives_packing(value: maps.EndpointValue) -> None:
    assert maps.EndpointValue.unpack(value.pack()) == value


@given(st.builds(Backend, addresses, st.integers(1, 100), st.booleans()), words, macs, st.integers(0, 65535))
def test_a_backend_survives_packing(backend: Backend, vpc: int, mac: bytes, place: int) -> None:
    value = maps.BackendValue(backend, vpc, mac, place)
    assert maps.BackendValue.unpack(value.pack()) == value


identities = st.sampled_from(ClientIdentity)


@given(st.builds(PortMapping, st.integers(1, 65535), st.integers(1, 65535), st.sampled_from(Protocol), identities))
def test_a_port_mapping_survives_packing(mapping: PortMapping) -> None:
    assert maps.read_port(maps.port_key(3, 4, mapping), maps.port_value(mapping, 5)) == (5, mapping)


limits = st.builds(Limits, longs, longs, longs)
health = st.none() | health_checks.map(
    lambda said: HealthCheck(
        HealthProtocol(said.protocol.value),
        said.port,
        said.path,
        said.statuses,
        said.interval,
        said.timeout,
        said.healthy_after,
        said.unhealthy_after,
    )
)


@given(session_settings, limits, health, st.booleans())
def test_whatever_the_contract_lets_a_service_ask_fits_and_survives_packing(
    said: SessionSettings, most: Limits, check: HealthCheck | None, keeps_source: bool
) -> None:
    idle = Timeouts(said.tcp_established, said.tcp_half_open, said.tcp_closed, said.udp_two_way, said.udp_one_way)
    service = replace(
        SERVICE,
        timeouts=idle,
        affinity=Affinity(said.affinity.value),
        limits=most,
        reset_expired=said.reset_expired,
        health_check=check,
        keeps_source=keeps_source and check is None,
    )
    check_entry(service)
    assert settings_map.Settings.unpack(settings_map.Settings.of(service).pack()).given_to(SERVICE) == service


vxlans = st.builds(
    Vxlan,
    st.integers(1, (1 << 24) - 1),
    st.lists(addresses, min_size=1, max_size=MOST_REMOTES, unique=True).map(tuple),
    st.integers(1, 65535),
    st.none() | addresses.filter(int),
    st.integers(0, 65485),
)


@given(st.sampled_from([Netns("shop", "sidegate0"), Netns("n" * 127, "d" * 15), *INTERFACES, Annex(UUID)]) | vxlans)
def test_an_attachment_survives_packing(target: Target) -> None:
    record = AttachmentRecord(3, target)
    assert AttachmentRecord.unpack(record.pack()) == record


def test_an_attachments_record_has_the_size_that_the_header_says() -> None:
    size = re.search(r"#define TARGET_SIZE (\d+)", (build.BPF / "maps.h").read_text())
    assert size
    assert AttachmentRecord.LAYOUT.size == 2 * maps.NUMBER.size + int(size[1])


@pytest.mark.parametrize(
    ("entry", "complaint"),
    [
        (Attachment(UUID, Netns("a/b", "sidegate0")), "is not a name for a network namespace"),
        (Attachment(UUID, Netns("shop", "sixteen-letters-")), "is not a name for a device"),
        (vxlan(vni=0), "VNI 0 is outside 1 to 16777215"),
        (vxlan(vni=1 << 24), "VNI 16777216 is outside"),
        (vxlan(port=0), "port 0 is outside"),
        (vxlan(remotes=()), "needs 1 to 64 remote hosts, each once"),
        (vxlan(remotes=(HOST, HOST)), "each once"),
        (vxlan(remotes=tuple(HOST + number for number in range(65))), "needs 1 to 64"),
        (vxlan(mtu=575), "MTU 575 is outside 576 to 65485"),
        (Attachment(UUID, Interface(Selector.NAME, "a b")), "is not a name for a device"),
        (Attachment(UUID, Interface(Selector.MAC, "02:AA:00:00:00:01")), "is not a MAC address"),
        (Attachment(UUID, Interface(Selector.ADDRESS, "10.0.0")), "is not an IPv4 address"),
        (Service(UUID, UUID, (WEB, PortMapping(80, 81, Protocol.TCP)), ()), "hold one of them twice"),
        (Service(UUID, UUID, (PortMapping(0, 80, Protocol.TCP),), ()), "outside 1 to 65535"),
        (Service(UUID, UUID, (PortMapping(80, 65536, Protocol.TCP),), ()), "outside 1 to 65535"),
        (Service(UUID, UUID, (WEB,) * (MOST_LISTED + 1), ()), "more than the"),
        (Service(UUID, UUID, (PortMapping(53, 53, Protocol.UDP, ClientIdentity.TOA),), ()), "only TCP has room"),
        (replace(asking(HealthCheck(HealthProtocol.TCP, 80)), keeps_source=True), "nobody's address can ask"),
        (Service(UUID, UUID, (), backends("10.0.0.1") * (MOST_BACKENDS + 1)), "more than the 64"),
        (Service(UUID, UUID, (), (Backend(ADDRESS), Backend(ADDRESS, 2))), "hold one of them twice"),
        (Service(UUID, UUID, (), (Backend(ADDRESS, 0),)), "has weight 0, outside 1 to 100"),
        (Service(UUID, UUID, (), (Backend(ADDRESS, 101),)), "has weight 101, outside 1 to 100"),
        (asking(Timeouts(udp_one_way=-1)), "idle limits of service .* are outside 0 to"),
        (asking(Timeouts(tcp_established=1 << 31)), "idle limits of service .* are outside 0 to"),
        (asking(Limits(connections=-1)), "limits of service .* are outside 0 to"),
        (asking(Limits(bits_per_second=1 << 64)), "limits of service .* are outside 0 to"),
        (asking(HealthCheck(HealthProtocol.TCP, 0)), "outside 1 to 65535"),
        (asking(HealthCheck(HealthProtocol.HTTP, 80, "/a b")), "is no path of up to 128"),
        (asking(HealthCheck(HealthProtocol.HTTP, 80, "/" + "x" * 128)), "is no path of up to 128"),
        (asking(HealthCheck(HealthProtocol.HTTP, 80, "/", (300, 299))), "no status is in the range"),
        (asking(HealthCheck(HealthProtocol.TCP, 80, interval=0)), "must be above 0"),
        (asking(HealthCheck(HealthProtocol.TCP, 80, interval=1 << 16)), "times of a health check go to 65535 s"),
        (asking(HealthCheck(HealthProtocol.TCP, 80, unhealthy_after=256)), "thresholds to 255"),
        (Endpoint(UUID, -1, UUID, ENDPOINT.address, UUID, ENDPOINT.source_address, 1), "marker and admission"),
        (
            Endpoint(
                UUID, 1, UUID, ENDPOINT.address, UUID, ENDPOINT.source_address, 1, (IPv4Network("10.0.0.0/8"),) * 2
            ),
            "hold one of them twice",
        ),
    ],
)
def test_what_no_data_plane_can_hold_is_refused_by_name(entry: Entry, complaint: str) -> None:
    with pytest.raises(DataplaneError, match=complaint):
        check_entry(entry)


@pytest.mark.parametrize("text", ["vpc-1", "", UUID.upper(), UUID.replace("-", "")])
def test_an_id_that_is_no_uuid_is_refused(text: str) -> None:
    with pytest.raises(DataplaneError, match="is not a UUID in lower case with hyphens"):
        check_ids(Attachment(text, Netns("shop", "sidegate0")))
    check_ids(ENDPOINT)


@pytest.mark.parametrize("gateway_id", ["", "a.b", "a/b", "x" * 65])
def test_a_gateway_id_that_cannot_be_a_directory_of_pins_is_refused(gateway_id: str, tmp_path: Path) -> None:
    with pytest.raises(DataplaneError, match="gateway id"):
        Pins(tmp_path, gateway_id)


def test_numbers_are_used_again_lowest_first_and_end() -> None:
    numbers = Numbers("things", 5, used=[2])
    assert [numbers.take() for _ in range(3)] == [1, 3, 4]
    with pytest.raises(DataplaneError, match="holds 4 things and no more"):
        numbers.take()
    for number in (3, 1):
        numbers.give_back(number)
    assert [numbers.take(), numbers.take()] == [1, 3]


def test_numbers_that_rest_are_taken_when_they_are_woken() -> None:
    numbers = Numbers("things", 3)
    for number in (numbers.take(), numbers.take()):
        numbers.rest(number)
    resting = [numbers.only_resting]
    with pytest.raises(DataplaneError, match="no more"):
        numbers.take()
    assert numbers.wake() == [1, 2]
    resting.append(numbers.only_resting)
    assert (numbers.take(), numbers.take()) == (1, 2)
    assert [*resting, numbers.only_resting] == [True, False, False]


def test_entries_know_who_needs_whom() -> None:
    entries = Entries()
    with pytest.raises(DataplaneError, match="needs attachment"):
        entries.check_put(SERVICE)
    for entry in (ATTACHMENT, SERVICE, ENDPOINT):
        entries.check_put(entry)
        entries.put(entry)
    assert entries.endpoint_at(UUID, ENDPOINT.address) == ENDPOINT
    assert entries.users(SERVICE.key) == [ENDPOINT]
    with pytest.raises(DataplaneError, match="is needed by endpoint"):
        entries.check_remove(SERVICE.key)
    entries.remove(ENDPOINT.key)
    entries.check_remove(SERVICE.key)
    assert entries.endpoint_at(UUID, ENDPOINT.address) is None


def test_a_change_of_any_source_changes_the_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("forward.bpf.c", "maps.h"):
        (tmp_path / name).write_text("")
    monkeypatch.setattr(build, "BPF", tmp_path)
    empty = build.sources_digest()
    (tmp_path / "maps.h").write_text("struct vpc;")
    changed = build.sources_digest()
    (tmp_path / "maps.h").rename(tmp_path / "renamed.h")
    assert len({empty, changed, build.sources_digest()}) == 3

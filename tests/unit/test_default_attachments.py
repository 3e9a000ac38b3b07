"""Default attachments: what a cell says of new VPCs, what each gets, and how both are stored."""

import json
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.errors import Invalid, QuotaReached
from services.common.eventsourcing.store import NewEvent
from services.common.labels import Tag
from services.registry.domain import vpc
from services.registry.domain.default_attachment import (
    Absent,
    Command,
    DefaultAttachmentDeleted,
    DefaultAttachmentSet,
    Delete,
    Deleted,
    Event,
    Present,
    Set,
    SetFirst,
    State,
    decide,
    evolve,
)
from services.registry.domain.reach import DefaultAttachment, NetnsPattern, VxlanRange, target_claim, target_for
from services.registry.domain.targets import Netns, Vxlan
from services.registry.wire.default_attachments import DefaultAttachmentCodec, parse_template
from services.registry.wire.vpcs import VpcCodec
from sidegate.api.events.v1.registry_events_pb2 import RegistryEvent
from sidegate.api.registry.v1 import vpc_pb2
from tests.support import registry as make
from tests.support.registry import AT
from tests.unit.test_endpoint_wire import recorded

GOLDEN: dict[str, str] = json.loads(Path(__file__).with_name("golden").joinpath("networks.json").read_text())
"""The bytes of stored events since VPCs are attached by default and say more, in hexadecimal. Only added to."""

HOSTS = (IPv4Address("192.0.2.10"),)
NAMESPACES = NetnsPattern("sidegate-{vpc_id}", "sidegate0")
SEGMENTS = VxlanRange(100, 103, 4789, HOSTS, None, 0)
ONE, OTHER = DefaultAttachment("default", NAMESPACES, AT), DefaultAttachment("default", SEGMENTS, AT + 1)
TABLE: list[tuple[State, Command, list[Event]]] = [
    (Absent(), Set(ONE), [DefaultAttachmentSet(ONE)]),
    (Absent(), SetFirst(ONE), [DefaultAttachmentSet(ONE)]),
    (Absent(), Delete(), []),
    (Present(ONE), Set(replace(ONE, set_at=AT + 5)), []),
    (Present(ONE), Set(OTHER), [DefaultAttachmentSet(OTHER)]),
    (Present(ONE), SetFirst(OTHER), []),
    (Present(ONE), Delete(), [DefaultAttachmentDeleted()]),
    (Deleted(ONE), Set(ONE), [DefaultAttachmentSet(ONE)]),
    (Deleted(ONE), SetFirst(OTHER), []),
    (Deleted(ONE), Delete(), []),
]


@pytest.mark.parametrize(("state", "command", "expected"), TABLE)
def test_a_command_does_what_the_table_says(state: State, command: Command, expected: list[Event]) -> None:
    assert decide(command, state) == expected


def test_a_namespace_has_the_vpcs_id_in_its_name_and_nothing_that_a_tenant_chose() -> None:
    assert target_for(ONE, make.uuid(1), ()) == Netns(f"sidegate-{make.uuid(1)}", "sidegate0")


@given(st.uuids(), st.sets(st.integers(100, 103), max_size=3))
def test_a_segment_is_a_free_one_of_the_range(vpc_id: object, taken: set[int]) -> None:
    keys = {target_claim("default", Vxlan(vni, 4789, HOSTS, None, 0)).key for vni in taken}
    segment = target_for(OTHER, str(vpc_id), keys)
    assert isinstance(segment, Vxlan)
    assert segment.vni in {100, 101, 102, 103} - taken


def test_a_range_that_is_used_up_says_whom_to_ask() -> None:
    keys = {target_claim("default", Vxlan(vni, 4789, HOSTS, None, 0)).key for vni in range(100, 104)}
    with pytest.raises(QuotaReached, match="ask the operator"):
        target_for(OTHER, make.uuid(1), keys)


def test_what_is_left_out_is_filled_in_and_an_empty_range_refused() -> None:
    namespaces = vpc_pb2.NetnsPattern(namespace="sidegate-{vpc_id}")
    assert parse_template(vpc_pb2.DefaultAttachment(netns=namespaces)) == NAMESPACES
    segments = vpc_pb2.VxlanRange(first_vni=100, last_vni=103, remotes=["192.0.2.10"])
    assert parse_template(vpc_pb2.DefaultAttachment(vxlan=segments)) == SEGMENTS
    segments.last_vni = 99
    with pytest.raises(Invalid) as refused:
        parse_template(vpc_pb2.DefaultAttachment(vxlan=segments))
    assert refused.value.field == "default_attachment.vxlan.last_vni"


TAGS = (Tag("team", "web"), Tag("kind", ""))
VPC = replace(make.vpc(), description="the window", tags=TAGS)
SUBNET = replace(
    make.subnet(),
    description="the window",
    tags=TAGS,
    dns_servers=(IPv4Address("10.0.0.53"),),
    dhcp_enabled=True,
    availability_zone="az-1",
)
LIFE: list[vpc.Event] = [
    vpc.VpcCreated(VPC),
    vpc.VpcAttached(make.attachment()),
    vpc.SubnetCreated(SUBNET),
    vpc.SubnetChanged(replace(SUBNET, description="", tags=(), dns_servers=(), dhcp_enabled=False)),
    vpc.VpcChanged("store", make.vpc("10.0.0.0/16").cidrs, "", ()),
    vpc.VpcDetached(make.attachment()),
]


def stored() -> dict[str, tuple[NewEvent, Event | vpc.Event]]:
    found: dict[str, tuple[NewEvent, Event | vpc.Event]] = {}
    state: vpc.State = vpc.Absent()
    for event in LIFE:
        state = vpc.evolve(state, event)
        found[type(event).__name__] = VpcCodec().encode(event, state), event
    was_set = DefaultAttachmentSet(replace(OTHER, template=replace(SEGMENTS, local=IPv4Address("192.0.2.1"), mtu=1400)))
    encoded = DefaultAttachmentCodec().encode(was_set, evolve(Absent(), was_set))
    return {**found, "DefaultAttachmentSet, VXLAN": (encoded, was_set)}


STORED = stored()


def test_every_event_that_says_more_has_golden_bytes() -> None:
    assert {name: event.data.hex() for name, (event, _) in STORED.items()} == GOLDEN


@pytest.mark.parametrize("name", GOLDEN)
def test_the_bytes_of_the_first_version_are_read_as_what_they_meant(name: str) -> None:
    new, event = STORED[name]
    old = recorded(NewEvent(new.type, bytes.fromhex(GOLDEN[name])))
    codec = DefaultAttachmentCodec() if "Default" in name else VpcCodec()
    assert codec.decode(old) == event


def test_an_attachment_by_default_is_stored_as_any_other_that_says_so() -> None:
    new, _ = STORED["VpcAttached"]
    assert new.type == "registry.v1.AttachmentCreated"
    assert RegistryEvent.FromString(new.data).attachment.by_default

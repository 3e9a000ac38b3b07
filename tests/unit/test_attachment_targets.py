"""What attachments reach besides namespaces: parsed, stored for ever, claimed, and told to cells."""

import json
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.errors import Invalid
from services.common.eventsourcing.store import Claim, NewEvent
from services.endpoint.domain import forwarding
from services.endpoint.domain import targets as told
from services.endpoint.wire.forwarding import AttachmentCodec as CellCodec
from services.endpoint.wire.targets import target_of as target_for_cell
from services.registry.application.streams import _taken
from services.registry.domain.attachment import Absent, AttachmentCreated, Present, constraints
from services.registry.domain.targets import Interface, Netns, Selector, Target, Vxlan
from services.registry.wire.attachments import AttachmentCodec, attachment_message
from services.registry.wire.targets import parse_target
from sidegate.api.registry.v1 import vpc_pb2
from tests.support import registry as make
from tests.unit.test_endpoint_wire import recorded

GOLDEN: dict[str, str] = json.loads(Path(__file__).with_name("golden").joinpath("attachment_targets.json").read_text())
HOSTS = (IPv4Address("192.0.2.10"), IPv4Address("192.0.2.11"))
VXLAN = Vxlan(100, 4789, HOSTS, None, 0)
NAMED = Interface(Selector.NAME, "eth1")
TARGETS: dict[str, Target] = {
    "vxlan": VXLAN,
    "vxlan, all of it": Vxlan(16777215, 4790, HOSTS, IPv4Address("192.0.2.1"), 1400),
    "interface by name": NAMED,
    "interface by mac": Interface(Selector.MAC, "02:aa:00:00:00:01"),
    "interface by address": Interface(Selector.ADDRESS, "172.30.0.5"),
}


def in_cell(target: Target) -> forwarding.AttachmentChanged:
    """As the endpoint service has it from the registry."""
    target_told = target_for_cell(attachment_message(make.attachment(target=target)))
    return forwarding.AttachmentChanged(forwarding.AttachmentForwarded("default", make.uuid(1), 3, target_told))


def stored(name: str) -> dict[str, NewEvent]:
    attachment, changed = make.attachment(target=TARGETS[name]), in_cell(TARGETS[name])
    return {
        f"registry, {name}": AttachmentCodec().encode(AttachmentCreated(attachment), Present(attachment)),
        f"endpoint, {name}": CellCodec().encode(changed, changed.entry),
    }


def test_there_are_golden_bytes_of_every_target() -> None:
    assert set(GOLDEN) == {key for name in TARGETS for key in stored(name)}


@pytest.mark.parametrize("name", TARGETS)
def test_a_target_is_stored_as_it_always_was(name: str) -> None:
    for key, event in stored(name).items():
        assert event.data.hex() == GOLDEN[key]


@pytest.mark.parametrize("name", TARGETS)
def test_the_bytes_of_the_first_version_are_read_as_what_they_meant(name: str) -> None:
    ours = recorded(
        NewEvent("registry.v1.AttachmentCreated", bytes.fromhex(GOLDEN[f"registry, {name}"])), "attachment-4"
    )
    assert AttachmentCodec().decode(ours) == AttachmentCreated(make.attachment(target=TARGETS[name]))
    theirs = recorded(NewEvent("endpoint.v1.AttachmentChanged", bytes.fromhex(GOLDEN[f"endpoint, {name}"])))
    assert CellCodec().decode(theirs) == in_cell(TARGETS[name])


def test_a_vxlan_is_claimed_by_vni_and_port_whatever_its_remote_hosts() -> None:
    assert str(VXLAN) == str(Vxlan(100, 4789, HOSTS[:1], HOSTS[1], 1400)) == "vxlan/100/4789"
    assert str(Vxlan(100, 4790, HOSTS, None, 0)) == "vxlan/100/4790"
    claims = constraints(Absent(), AttachmentCreated(make.attachment(target=VXLAN))).claims
    assert Claim("attachment-target", "default/vxlan/100/4789") in claims


@given(st.sampled_from(list(TARGETS.values())), st.sampled_from(list(TARGETS.values())))
def test_targets_share_a_claim_only_if_they_are_one_thing(one: Target, other: Target) -> None:
    assert (str(one) == str(other)) == (one == other)


@pytest.mark.parametrize(
    ("target", "words", "field"),
    [
        (Netns("shop", "sidegate0"), "netns shop is attached in cell west already", "attachment.netns"),
        (VXLAN, "vxlan 100 4789 is attached in cell west already", "attachment.vxlan"),
        (NAMED, "interface name eth1 is attached in cell west already", "attachment.interface"),
    ],
)
def test_a_target_that_is_taken_is_named_with_the_way_out(target: Target, words: str, field: str) -> None:
    refused = _taken(Claim("attachment-target", f"west/{target}"))
    assert refused is not None
    assert str(refused).startswith(words)
    assert "sidegate attachment list" in str(refused)
    assert refused.field == field


def test_what_is_left_out_is_filled_in() -> None:
    wanted = vpc_pb2.Attachment(vxlan=vpc_pb2.VxlanTarget(vni=100, remotes=map(str, HOSTS)))
    assert parse_target(wanted) == VXLAN
    mac = vpc_pb2.Attachment(interface=vpc_pb2.InterfaceTarget(mac="02:AA:00:00:00:01"))
    assert parse_target(mac) == Interface(Selector.MAC, "02:aa:00:00:00:01")


@pytest.mark.parametrize("host", ["0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255"])  # noqa: S104 - refused
def test_what_is_no_hosts_address_is_no_remote_host(host: str) -> None:
    for vxlan, field in (
        (vpc_pb2.VxlanTarget(vni=100, remotes=[host]), "attachment.vxlan.remotes"),
        (vpc_pb2.VxlanTarget(vni=100, remotes=["192.0.2.10"], local=host), "attachment.vxlan.local"),
    ):
        with pytest.raises(Invalid, match="is not the address of a host") as refused:
            parse_target(vpc_pb2.Attachment(vxlan=vxlan))
        assert refused.value.field == field


def test_other_remote_hosts_are_told_to_the_cell_and_the_same_are_not() -> None:
    attached = in_cell(VXLAN).entry
    again = forwarding.ReachVpc("default", make.uuid(1), attached.target)
    assert forwarding.decide_attachment(again, attached) == []
    fewer = told.Vxlan(100, 4789, HOSTS[:1], None, 0)
    (changed,) = forwarding.decide_attachment(forwarding.ReachVpc("default", make.uuid(1), fewer), attached)
    assert (changed.entry.version, changed.entry.target) == (4, fewer)

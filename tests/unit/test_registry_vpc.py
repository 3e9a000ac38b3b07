"""A VPC and its subnets."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.addressing import networks_of
from services.common.errors import AlreadyExists, Invalid, NotFound, QuotaReached, Refused, WrongState
from services.common.labels import Tag
from services.registry.domain import vpc
from services.registry.domain.vpc import (
    DECIDER,
    MAX_SUBNETS,
    Absent,
    Deleted,
    Present,
    State,
    SubnetChanged,
    SubnetCreated,
    SubnetDeleted,
    VpcAttached,
    VpcChanged,
    VpcCreated,
    VpcDeleted,
    VpcDetached,
    constraints,
    decide,
    evolve,
)
from services.registry.domain.vpc_commands import (
    Change,
    ChangeSubnet,
    Command,
    Create,
    CreateSubnet,
    Delete,
    DeleteSubnet,
    Detach,
)
from tests.support import registry as make
from tests.support.registry import Ledger


def after(*commands: Command) -> State:
    state: State = Absent()
    for command in commands:
        state = DECIDER.fold(decide(command, state), state)
    return state


EMPTY = after(Create(make.vpc()))
WITH_SUBNET = after(Create(make.vpc()), CreateSubnet(make.subnet()))
GONE = after(Create(make.vpc()), Delete())


def test_a_vpc_is_created_with_its_ranges() -> None:
    assert decide(Create(make.vpc()), Absent()) == [VpcCreated(make.vpc())]
    assert after(Create(make.vpc())) == Present(make.vpc())


def test_ranges_of_a_vpc_that_overlap_are_refused() -> None:
    with pytest.raises(Invalid) as refused:
        decide(Create(make.vpc("10.0.0.0/16", "10.0.4.0/24")), Absent())
    assert refused.value.field == "vpc.cidrs[1]"


def test_a_subnet_is_a_part_of_the_vpc() -> None:
    assert decide(CreateSubnet(make.subnet()), EMPTY) == [SubnetCreated(make.subnet())]


@pytest.mark.parametrize("cidr", ["10.0.1.0/25", "10.0.0.0/23", "192.168.0.0/24"])
def test_a_subnet_outside_the_vpc_is_refused(cidr: str) -> None:
    with pytest.raises(Invalid) as refused:
        decide(CreateSubnet(make.subnet(cidr)), EMPTY)
    assert (refused.value.reason, refused.value.field) == ("CIDR_OUTSIDE_VPC", "subnet.cidr")


@pytest.mark.parametrize("cidr", ["10.0.0.0/25", "10.0.0.0/24", "10.0.0.64/26"])
def test_a_subnet_that_overlaps_another_is_refused(cidr: str) -> None:
    with pytest.raises(Invalid) as refused:
        decide(CreateSubnet(make.subnet(cidr, 3)), WITH_SUBNET)
    assert (refused.value.reason, refused.value.field) == ("CIDR_OVERLAPS", "subnet.cidr")


def test_a_subnets_name_is_unique_in_its_vpc() -> None:
    with pytest.raises(AlreadyExists) as refused:
        decide(CreateSubnet(make.subnet("10.0.0.128/25", 3, "subnet-2")), WITH_SUBNET)
    assert refused.value.field == "subnet.name"


def test_a_vpc_has_no_more_subnets_than_it_may() -> None:
    full = after(
        Create(make.vpc("10.0.0.0/16")),
        *(CreateSubnet(make.subnet(f"10.0.{number}.0/24", number)) for number in range(MAX_SUBNETS)),
    )
    with pytest.raises(QuotaReached):
        decide(CreateSubnet(make.subnet("10.0.255.0/24", 255)), full)


def test_a_vpc_with_subnets_is_not_deleted_and_they_are_named() -> None:
    with pytest.raises(WrongState) as refused:
        decide(Delete(), WITH_SUBNET)
    assert refused.value.blockers == (make.uuid(2),)


def test_an_empty_vpc_is_deleted_and_again() -> None:
    assert decide(Delete(), EMPTY) == [VpcDeleted()]
    assert decide(Delete(), GONE) == []


def test_a_subnet_is_deleted_and_again() -> None:
    assert decide(DeleteSubnet(make.uuid(2)), WITH_SUBNET) == [SubnetDeleted(make.subnet())]
    assert decide(DeleteSubnet(make.uuid(2)), EMPTY) == []
    assert decide(DeleteSubnet(make.uuid(2)), GONE) == []


def test_the_range_and_the_name_of_a_deleted_subnet_are_free_again() -> None:
    freed = DECIDER.fold(decide(DeleteSubnet(make.uuid(2)), WITH_SUBNET), WITH_SUBNET)
    assert decide(CreateSubnet(make.subnet(number=3, name="subnet-2")), freed)


def test_a_deleted_vpc_takes_no_subnet() -> None:
    with pytest.raises(NotFound):
        decide(CreateSubnet(make.subnet()), GONE)


@pytest.mark.parametrize("command", [Delete(), CreateSubnet(make.subnet()), DeleteSubnet(make.uuid(2))])
def test_nothing_can_be_done_with_a_vpc_that_was_never_there(command: Command) -> None:
    with pytest.raises(WrongState):
        decide(command, Absent())


@pytest.mark.parametrize("state", [EMPTY, WITH_SUBNET, GONE])
def test_a_vpc_is_created_once(state: State) -> None:
    with pytest.raises(WrongState):
        decide(Create(make.vpc()), state)


def test_a_stream_cannot_begin_in_the_middle() -> None:
    with pytest.raises(LookupError):
        evolve(Absent(), VpcDeleted())


ATTACHMENT = make.attachment()
ATTACHED = after(Create(make.vpc(), (ATTACHMENT,)))


def test_a_vpc_is_attached_from_the_moment_that_it_is_there() -> None:
    assert decide(Create(make.vpc(), (ATTACHMENT,)), Absent()) == [VpcCreated(make.vpc()), VpcAttached(ATTACHMENT)]
    assert vpc.of(ATTACHED).attachments == (ATTACHMENT,)


def test_what_a_vpc_has_by_default_goes_with_it_or_before() -> None:
    assert decide(Delete(), ATTACHED) == [VpcDetached(ATTACHMENT), VpcDeleted()]
    assert decide(Detach(ATTACHMENT.id), ATTACHED) == [VpcDetached(ATTACHMENT)]
    detached = DECIDER.fold([VpcDetached(ATTACHMENT)], ATTACHED)
    assert decide(Detach(ATTACHMENT.id), detached) == decide(Detach(ATTACHMENT.id), GONE) == []
    assert decide(Delete(), detached) == [VpcDeleted()]


def test_an_attachment_by_default_claims_its_target_and_is_not_in_the_way() -> None:
    ledger = Ledger()
    ledger.apply(constraints(EMPTY, VpcAttached(ATTACHMENT)))
    assert ledger.of("attachment-target") == ["default/netns/payments"]
    assert ledger.of("attachment-vpc") == [f"default/{make.uuid(1)}"]
    assert not ledger.counts
    ledger.apply(constraints(ATTACHED, VpcDetached(ATTACHMENT)))
    assert not ledger.claims


def test_a_vpc_changes_in_what_is_named_and_the_same_again_is_nothing() -> None:
    (changed,) = decide(Change(name="store", tags=(Tag("team", "web"),)), WITH_SUBNET)
    assert changed == VpcChanged("store", make.vpc().cidrs, "", (Tag("team", "web"),))
    state = evolve(WITH_SUBNET, changed)
    assert (vpc.of(state).name, vpc.of(state).subnets) == ("store", (make.subnet(),))
    assert decide(Change(name="store", cidrs=make.vpc().cidrs), state) == []


def test_another_name_of_a_vpc_frees_the_one_before() -> None:
    ledger = Ledger()
    ledger.apply(constraints(Absent(), VpcCreated(make.vpc())))
    ledger.apply(constraints(EMPTY, VpcChanged("store", make.vpc().cidrs, "", ())))
    assert ledger.of("vpc-name") == [f"{make.PAYMENTS}/store"]


BOTH = after(Create(make.vpc("10.0.0.0/24", "fd00:10::/48", "fd00:20::/48")))


def test_a_vpc_has_ranges_of_both_ip_versions_and_each_subnet_is_of_one() -> None:
    state = BOTH
    for number, cidr in enumerate(("10.0.0.0/25", "fd00:10::/64", "fd00:10:0:1::/64", "fd00:20::/48"), 2):
        made = make.subnet(cidr, number)
        (event,) = decide(CreateSubnet(made), state)
        assert event == SubnetCreated(made)
        state = evolve(state, event)
    with pytest.raises(Invalid, match="fd00:10:0:1::/64 of the subnet"):
        decide(Change(cidrs=networks_of(("10.0.0.0/24", "fd00:10::/64", "fd00:20::/48"))), state)


@pytest.mark.parametrize(
    ("cidr", "reason"),
    [
        ("fd00:11::/64", "CIDR_OUTSIDE_VPC"),
        ("fd00:10::/47", "CIDR_OUTSIDE_VPC"),
        ("fd00:10::/63", "CIDR_OVERLAPS"),
        ("fd00:10::8000/120", "CIDR_OVERLAPS"),
    ],
)
def test_an_ipv6_subnet_is_inside_the_vpc_and_apart_from_others(cidr: str, reason: str) -> None:
    there = evolve(BOTH, SubnetCreated(make.subnet("fd00:10::/64")))
    with pytest.raises(Invalid) as refused:
        decide(CreateSubnet(make.subnet(cidr, 3)), there)
    assert (refused.value.reason, refused.value.field) == (reason, "subnet.cidr")


def test_a_range_goes_only_when_no_subnet_is_in_it() -> None:
    more = tuple(map(IPv4Network, ("10.0.0.0/24", "10.1.0.0/24")))
    (grown,) = decide(Change(cidrs=more), WITH_SUBNET)
    with pytest.raises(Invalid) as refused:
        decide(Change(cidrs=more[1:]), evolve(WITH_SUBNET, grown))
    assert (refused.value.reason, refused.value.field) == ("CIDR_IN_USE", "vpc.cidrs")
    with pytest.raises(Invalid, match="overlaps"):
        decide(Change(cidrs=(*more, IPv4Network("10.1.0.0/25"))), WITH_SUBNET)


def test_a_subnet_changes_in_what_is_named_and_the_same_again_is_nothing() -> None:
    change = ChangeSubnet(make.uuid(2), name="front", dhcp_enabled=True, dns_servers=(IPv4Address("10.0.0.53"),))
    changed = replace(make.subnet(), name="front", dhcp_enabled=True, dns_servers=(IPv4Address("10.0.0.53"),))
    assert decide(change, WITH_SUBNET) == [SubnetChanged(changed)]
    assert decide(change, evolve(WITH_SUBNET, SubnetChanged(changed))) == []


def test_a_subnet_does_not_take_the_name_of_another() -> None:
    two = after(Create(make.vpc()), CreateSubnet(make.subnet()), CreateSubnet(make.subnet("10.0.0.128/25", 3)))
    with pytest.raises(AlreadyExists):
        decide(ChangeSubnet(make.uuid(3), name="subnet-2"), two)


@pytest.mark.parametrize("command", [Change(name="x"), ChangeSubnet(make.uuid(2), name="x")])
def test_what_is_deleted_is_not_changed(command: Command) -> None:
    with pytest.raises(NotFound):
        decide(command, GONE)


CIDRS = [f"10.0.{third}.0/{prefix}" for third in range(0, 256, 64) for prefix in (18, 20, 24)]
COMMANDS = st.one_of(
    st.builds(lambda cidrs: Create(make.vpc(*cidrs)), st.just(["10.0.0.0/17", "10.0.128.0/17"])),
    st.builds(
        lambda cidr, number, name: CreateSubnet(make.subnet(cidr, number, f"name-{name}")),
        st.sampled_from(CIDRS),
        st.integers(10, 15),
        st.integers(0, 5),
    ),
    st.builds(lambda number: DeleteSubnet(make.uuid(number)), st.integers(10, 15)),
    st.just(Delete()),
)


@given(st.lists(COMMANDS, max_size=40))
def test_any_commands_keep_subnets_inside_apart_and_named_apart(commands: list[Command]) -> None:
    state: State = Absent()
    ledger, events = Ledger(), 0
    for command in [Create(make.vpc("10.0.0.0/17", "10.0.128.0/17")), *commands]:
        try:
            decided = decide(command, state)
        except Refused:
            continue
        for event in decided:
            ledger.apply(constraints(state, event))
            state, events = evolve(state, event), events + 1
        held = vpc.of(state)
        assert held.revision == events
        assert all(not one.cidr.overlaps(other.cidr) for one, other in combinations(held.subnets, 2))
        assert ledger.of("subnet") == sorted(subnet.id for subnet in held.subnets)
        assert len({subnet.name for subnet in held.subnets}) == len(held.subnets)
        assert ledger.of("vpc") == ([] if isinstance(state, Deleted) else [held.id])
        assert ledger.of("vpc-name") == ([] if isinstance(state, Deleted) else [f"payments/payments-live/{held.name}"])

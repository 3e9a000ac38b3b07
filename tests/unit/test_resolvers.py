"""The resolver of a VPC as a value: an address is held exactly while it is the resolver's."""

from collections import Counter
from dataclasses import replace
from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.errors import NotFound
from services.common.eventsourcing.store import Claim
from services.registry.domain import vpc
from services.registry.domain.network import Place, Resolver
from services.registry.domain.vpc_commands import DeleteResolver, SetResolver
from tests.support import registry as make
from tests.support.registry import AT

SUBNET = make.subnet()
VPC = vpc.DECIDER.fold([vpc.VpcCreated(make.vpc("10.0.0.0/24", "10.1.0.0/16")), vpc.SubnetCreated(SUBNET)])


def resolver(host: int, port: int = 3, at: int = AT) -> Resolver:
    return Resolver(Place(make.uuid(port), SUBNET.id, IPv4Address(int(SUBNET.cidr[0]) + host), at))


COMMANDS = st.lists(
    st.one_of(st.builds(DeleteResolver), st.integers(2, 9).map(lambda host: SetResolver(resolver(host))))
)


@given(COMMANDS)
def test_whatever_happens_a_resolver_holds_its_address_and_no_other(
    commands: list[SetResolver | DeleteResolver],
) -> None:
    state, held, uses = VPC, Counter[Claim](), 0
    for command in commands:
        for event in vpc.decide(command, state):
            means = vpc.constraints(state, event)
            held.update(means.claims)
            held.subtract(means.releases)
            uses += sum(count.delta for count in means.counts)
            before, state = vpc.of(state).revision, vpc.evolve(state, event)
            assert vpc.of(state).revision == before + 1, "etags count events"
            assert set(held.values()) <= {0, 1}
    now = vpc.of(state).resolver
    wanted = {f"{SUBNET.id}/{now.place.address}"} if now else set()
    assert {claim.key for claim, times in held.items() if times} == wanted
    assert uses == len(wanted)


def test_the_same_address_is_the_same_port() -> None:
    state = vpc.DECIDER.fold(vpc.decide(SetResolver(resolver(7)), VPC), VPC)
    assert vpc.decide(SetResolver(resolver(7, port=8, at=AT + 5)), state) == []
    assert vpc.of(state).resolver == resolver(7)


def test_anothers_subnet_is_not_there() -> None:
    stranger = replace(resolver(7), place=replace(resolver(7).place, subnet_id=make.uuid(77)))
    with pytest.raises(NotFound):
        vpc.decide(SetResolver(stranger), VPC)

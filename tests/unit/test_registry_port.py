"""A port's life, and what it holds of its subnet."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.errors import NotFound, Refused, WrongState
from services.registry.domain.port import (
    Absent,
    Command,
    Delete,
    Endpoint,
    Event,
    Machine,
    Port,
    PortReleased,
    PortReserved,
    Release,
    Released,
    Renew,
    Reserve,
    Reserved,
    State,
    constraints,
    decide,
    evolve,
)
from tests.support import registry as make
from tests.support.registry import AT, Ledger

MACHINES = make.port()
ENDPOINTS = make.port(holder=Endpoint(make.uuid(9)))
STATES: dict[str, State] = {
    "absent": Absent(),
    "a machine's": Reserved(MACHINES),
    "an endpoint's": Reserved(ENDPOINTS),
    "released by a machine": Released(MACHINES),
    "released by an endpoint": Released(ENDPOINTS),
}
COMMANDS: dict[str, Command] = {
    "reserve": Reserve(MACHINES),
    "renew": Renew(AT),
    "delete": Delete(),
    "release": Release(),
}
Expected = list[Event] | type[Refused]
TABLE: list[tuple[str, str, Expected]] = [
    ("absent", "reserve", [PortReserved(MACHINES)]),
    ("absent", "renew", WrongState),
    ("absent", "delete", WrongState),
    ("absent", "release", WrongState),
    ("a machine's", "reserve", WrongState),
    ("a machine's", "renew", WrongState),
    ("a machine's", "delete", [PortReleased()]),
    ("a machine's", "release", WrongState),
    ("an endpoint's", "reserve", WrongState),
    ("an endpoint's", "renew", [PortReserved(ENDPOINTS)]),
    ("an endpoint's", "delete", WrongState),
    ("an endpoint's", "release", [PortReleased()]),
    ("released by a machine", "reserve", WrongState),
    ("released by a machine", "renew", NotFound),
    ("released by a machine", "delete", []),
    ("released by a machine", "release", []),
    ("released by an endpoint", "reserve", WrongState),
    ("released by an endpoint", "renew", NotFound),
    ("released by an endpoint", "delete", []),
    ("released by an endpoint", "release", []),
]


def test_the_table_has_every_pair() -> None:
    assert {(state, command) for state, command, _ in TABLE} == {(s, c) for s in STATES for c in COMMANDS}


@pytest.mark.parametrize(("state", "command", "expected"), TABLE)
def test_a_command_does_what_the_table_says(state: str, command: str, expected: Expected) -> None:
    if isinstance(expected, list):
        assert decide(COMMANDS[command], STATES[state]) == expected
    else:
        with pytest.raises(expected):
            decide(COMMANDS[command], STATES[state])


def test_the_endpoint_that_has_an_address_is_named_when_its_port_is_deleted() -> None:
    with pytest.raises(WrongState) as refused:
        decide(Delete(), Reserved(ENDPOINTS))
    assert refused.value.blockers == (make.uuid(9),)


def test_a_renewed_reservation_is_young_again_and_never_older() -> None:
    assert [event.port.created_at for event in _renew(AT + 5)] == [AT + 5]
    assert [event.port.created_at for event in _renew(AT - 5)] == [AT]


def _renew(at: int) -> list[PortReserved]:
    return [event for event in decide(Renew(at), Reserved(ENDPOINTS)) if isinstance(event, PortReserved)]


def test_a_stream_cannot_begin_with_a_release() -> None:
    with pytest.raises(LookupError):
        evolve(Absent(), PortReleased())


@given(
    st.sampled_from([MACHINES, ENDPOINTS]),
    st.lists(
        st.one_of(st.builds(Renew, st.integers(AT, AT + 100)), st.just(Delete()), st.just(Release())), max_size=20
    ),
)
def test_an_address_is_claimed_and_counted_exactly_while_it_is_reserved(port: Port, commands: list[Command]) -> None:
    state: State = Absent()
    ledger = Ledger()
    for command in [Reserve(port), *commands]:
        try:
            decided = decide(command, state)
        except Refused:
            continue
        for event in decided:
            ledger.apply(constraints(state, event))
            state = evolve(state, event)
        held = isinstance(state, Reserved)
        assert ledger.of("address") == ([f"{make.uuid(2)}/10.0.0.10"] if held else [])
        assert ledger.of("endpoint-port") == ([make.uuid(9)] if held and port == ENDPOINTS else [])
        assert ledger.counts["subnet-uses", make.uuid(2)] == int(held)


def test_an_address_is_taken_only_of_a_subnet_that_is_there() -> None:
    required = constraints(Absent(), PortReserved(MACHINES)).requires
    assert [(claim.kind, claim.key) for claim in required] == [("subnet", make.uuid(2))]


def test_holders_read_as_in_the_contract() -> None:
    assert str(Machine("web")) == "machine/web"
    assert str(Endpoint("1")) == "endpoint/1"

"""Gateways of a cell: joined, lost and retired; sessions and leases."""

import pytest

from services.common.errors import NotFound, WrongState
from services.endpoint.domain.gateway import (
    GATEWAY,
    Absent,
    Command,
    Event,
    GatewayJoined,
    GatewayLost,
    GatewayRetired,
    Join,
    Joined,
    Lose,
    Lost,
    Retire,
    Retired,
    State,
    decide,
)
from services.endpoint.domain.membership import Membership

STATES: dict[str, State] = {
    "absent": Absent(),
    "joined": Joined("gw-1", "default"),
    "lost": Lost("gw-1", "default", fenced_at=500),
    "retired": Retired("gw-1", "default"),
}
COMMANDS: dict[str, Command] = {
    "join": Join("gw-1", "default"),
    "move": Join("gw-1", "elsewhere"),
    "lose": Lose(fenced_at=900),
    "retire": Retire("gw-1"),
}
JOINED, MOVED = GatewayJoined("gw-1", "default"), GatewayJoined("gw-1", "elsewhere")
LOST, RETIRED = GatewayLost("gw-1", "default", 900), GatewayRetired("gw-1", "default")
Answer = Event | None | type[Exception]
# fmt: off
TABLE: dict[str, tuple[Answer, ...]] = {
    #          absent    joined      lost        retired
    "join":   (JOINED,   None,       JOINED,     WrongState),
    "move":   (MOVED,    WrongState, WrongState, WrongState),
    "lose":   (None,     LOST,       None,       None),
    "retire": (NotFound, RETIRED,    RETIRED,    None),
}
# fmt: on
PAIRS = [(stage, name, answer) for name, row in TABLE.items() for stage, answer in zip(STATES, row, strict=True)]


@pytest.mark.parametrize(("stage", "name", "answer"), PAIRS, ids=[f"{name}-{stage}" for stage, name, _ in PAIRS])
def test_each_command_in_each_state_of_a_gateway_has_one_answer(stage: str, name: str, answer: Answer) -> None:
    if isinstance(answer, type):
        with pytest.raises(answer):
            decide(COMMANDS[name], STATES[stage])
    else:
        assert list(decide(COMMANDS[name], STATES[stage])) == ([] if answer is None else [answer])


def test_a_gateway_that_comes_back_is_joined_again() -> None:
    assert GATEWAY.fold([JOINED, LOST, JOINED]) == Joined("gw-1", "default")
    assert GATEWAY.fold([JOINED, RETIRED]) == Retired("gw-1", "default")


def test_a_session_is_renewed_by_its_own_id_only() -> None:
    members = Membership(30, [], now=0)
    members.become(Joined("gw-1", "default"))
    members.admit("gw-1", "first", now=0)
    members.admit("gw-1", "second", now=0)
    assert not members.renew("gw-1", "first", now=1)
    assert not members.renew("gw-1", "", now=1)
    assert not members.renew("gw-2", "second", now=1)
    assert members.renew("gw-1", "second", now=1)


def test_a_lease_runs_out_when_nothing_renews_it() -> None:
    members = Membership(30, [], now=0)
    members.become(Joined("gw-1", "default"))
    members.admit("gw-1", "s", now=0)
    assert members.overdue(now=29) == ()
    members.renew("gw-1", "s", now=29)
    assert members.overdue(now=58) == ()
    assert members.overdue(now=59) == ("gw-1",)


def test_after_a_restart_a_gateway_has_one_lease_to_come_back_and_no_session() -> None:
    members = Membership(30, [Joined("gw-1", "default")], now=100)
    assert not members.renew("gw-1", "", now=101)
    assert members.overdue(now=129) == ()
    assert members.overdue(now=130) == ("gw-1",)


def test_the_lost_are_waited_for_until_they_have_fenced_themselves_and_the_retired_never() -> None:
    members = Membership(30, STATES_OF_A_CELL, now=0)
    assert members.joined("default") == {"joined"}
    assert members.unfenced("default", now=499) == {"joined", "lost"}
    assert members.unfenced("default", now=500) == {"joined"}
    assert members.unfenced("elsewhere", now=0) == {"other"}


STATES_OF_A_CELL = (
    Joined("joined", "default"),
    Lost("lost", "default", fenced_at=500),
    Retired("retired", "default"),
    Joined("other", "elsewhere"),
)

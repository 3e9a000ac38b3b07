"""An endpoint service's life: every state against every command, and what holds whatever is commanded."""

from dataclasses import replace
from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.addressing import address_of, networks_of
from services.common.errors import Invalid, NotFound, QuotaReached, Refused, WrongState
from services.common.eventsourcing.store import Constraints
from services.registry.domain import service
from services.registry.domain.publication import MAX_PERMISSIONS, Backend, Ended, Grant, Protocol
from services.registry.domain.service import (
    DECIDER,
    Absent,
    Available,
    Closing,
    Creating,
    Deleted,
    Deleting,
    Failed,
    State,
    constraints,
    decide,
    evolve,
)
from services.registry.domain.service_commands import (
    AddPermissions,
    Change,
    Close,
    Command,
    Create,
    Fail,
    FinishDeletion,
    Open,
    RemovePermissions,
    Reopen,
    StartDeletion,
)
from services.registry.domain.service_events import (
    Event,
    PermissionsAdded,
    PermissionsRemoved,
    ServiceChanged,
    ServiceClosed,
    ServiceCreated,
    ServiceDeleted,
    ServiceDeletionStarted,
    ServiceFailed,
    ServiceOpened,
    ServiceReopened,
)
from tests.support import registry as make
from tests.support.registry import AT, NETWORK, Ledger

SERVICE = make.service()
ADDRESS = IPv4Address("10.0.0.10")
DRAINING = Backend(IPv4Address("10.0.0.20"), 3, draining=True)
NOW, DEADLINE, LATER = AT + 1, AT + 100, AT + 200
SHOP, EVERYBODY = "iam:domain::shop", "iam:domain::*"

STATES: dict[str, State] = {
    "absent": Absent(),
    "creating": Creating(SERVICE),
    "available": Available(SERVICE),
    "closing": Closing(SERVICE, force=False, deadline=DEADLINE),
    "closing by force": Closing(SERVICE, force=True, deadline=DEADLINE),
    "deleting": Deleting(SERVICE),
    "deleted": Deleted(SERVICE),
    "failed": Failed(SERVICE, "no room"),
}
COMMANDS: dict[str, Command] = {
    "create": Create(SERVICE, NETWORK),
    "open": Open(NOW),
    "fail": Fail("no room", NOW),
    "change": Change(NOW, NETWORK, approval_required=False),
    "permit": AddPermissions((SHOP,), NOW),
    "withdraw": RemovePermissions((SHOP,), NOW),
    "withdraw and end": RemovePermissions((SHOP,), NOW, end_connections=True),
    "close": Close(force=False, deadline=LATER, at=NOW),
    "close by force": Close(force=True, deadline=LATER, at=NOW),
    "reopen": Reopen(DEADLINE, "in use", NOW),
    "reopen another attempt": Reopen(LATER, "in use", NOW),
    "delete": StartDeletion(DEADLINE, connected=False, at=NOW),
    "delete with connections": StartDeletion(DEADLINE, connected=True, at=NOW),
    "delete in another attempt": StartDeletion(LATER, connected=False, at=NOW),
    "finish": FinishDeletion(NOW),
}
NOTHING: list[Event] = []
BOTH: list[Event] = [ServiceDeletionStarted(NOW), ServiceDeleted(NOW)]
REOPENED: list[Event] = [ServiceReopened("in use", NOW)]
Expected = list[Event] | type[Refused]

# A pair that is not here is refused with WrongState.
ALLOWED: dict[tuple[str, str], Expected] = {
    ("absent", "create"): [ServiceCreated(SERVICE), ServiceOpened(AT)],
    ("creating", "open"): [ServiceOpened(NOW)],
    ("creating", "fail"): [ServiceFailed("no room", NOW)],
    ("available", "change"): [ServiceChanged(NOW, approval_required=False)],
    ("available", "permit"): [PermissionsAdded((SHOP,), NOW)],
    ("available", "withdraw"): NOTHING,
    ("available", "withdraw and end"): [PermissionsRemoved((), NOW, (SHOP,))],
    ("available", "close"): [ServiceClosed(False, LATER, NOW)],
    ("available", "close by force"): [ServiceClosed(True, LATER, NOW)],
    ("available", "reopen"): NOTHING,
    ("available", "reopen another attempt"): NOTHING,
    ("closing", "close"): NOTHING,
    ("closing", "close by force"): [ServiceClosed(True, LATER, NOW)],
    ("closing", "reopen"): REOPENED,
    ("closing", "reopen another attempt"): NOTHING,
    ("closing", "delete"): BOTH,
    ("closing", "delete with connections"): [ServiceDeletionStarted(NOW)],
    ("closing by force", "close"): NOTHING,
    ("closing by force", "close by force"): NOTHING,
    ("closing by force", "reopen"): REOPENED,
    ("closing by force", "reopen another attempt"): NOTHING,
    ("closing by force", "delete"): BOTH,
    ("closing by force", "delete with connections"): [ServiceDeletionStarted(NOW)],
    ("deleting", "close"): NOTHING,
    ("deleting", "close by force"): NOTHING,
    ("deleting", "reopen"): NOTHING,
    ("deleting", "reopen another attempt"): NOTHING,
    ("deleting", "delete"): NOTHING,
    ("deleting", "delete with connections"): NOTHING,
    ("deleting", "delete in another attempt"): NOTHING,
    ("deleting", "finish"): [ServiceDeleted(NOW)],
    ("deleted", "change"): NotFound,
    ("deleted", "permit"): NotFound,
    ("deleted", "withdraw"): NotFound,
    ("deleted", "withdraw and end"): NotFound,
    ("deleted", "close"): NOTHING,
    ("deleted", "close by force"): NOTHING,
    ("deleted", "reopen"): NOTHING,
    ("deleted", "reopen another attempt"): NOTHING,
    ("deleted", "delete"): NOTHING,
    ("deleted", "delete with connections"): NOTHING,
    ("deleted", "delete in another attempt"): NOTHING,
    ("deleted", "finish"): NOTHING,
    ("failed", "close"): NOTHING,
    ("failed", "close by force"): NOTHING,
    ("failed", "delete"): BOTH,
    ("failed", "delete with connections"): BOTH,
    ("failed", "delete in another attempt"): BOTH,
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("state", STATES)
def test_every_state_answers_every_command(state: str, command: str) -> None:
    expected = ALLOWED.get((state, command), WrongState)
    if isinstance(expected, list):
        decided = decide(COMMANDS[command], STATES[state])
        assert list(decided) == expected
        DECIDER.fold(decided, STATES[state])
    else:
        with pytest.raises(expected):
            decide(COMMANDS[command], STATES[state])


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([], Creating),
        ([ServiceOpened(NOW)], Available),
        ([ServiceFailed("no room", NOW)], Failed),
        ([ServiceOpened(NOW), ServiceClosed(False, DEADLINE, NOW)], Closing),
        ([ServiceOpened(NOW), ServiceClosed(False, DEADLINE, NOW), ServiceReopened("in use", NOW)], Available),
        ([ServiceOpened(NOW), ServiceClosed(False, DEADLINE, NOW), ServiceDeletionStarted(NOW)], Deleting),
        ([ServiceDeletionStarted(NOW), ServiceDeleted(NOW)], Deleted),
    ],
)
def test_events_lead_to_their_stage(events: list[Event], expected: type[State]) -> None:
    assert isinstance(DECIDER.fold([ServiceCreated(SERVICE), *events]), expected)


@pytest.mark.parametrize("event", [ServiceOpened(NOW), ServiceDeleted(NOW), PermissionsAdded((SHOP,), NOW)])
def test_a_stream_cannot_begin_in_the_middle(event: Event) -> None:
    with pytest.raises(LookupError):
        evolve(Absent(), event)


def test_a_refusal_says_in_which_state_the_service_is() -> None:
    with pytest.raises(WrongState, match="the endpoint service is closing: it cannot be changed"):
        decide(COMMANDS["change"], STATES["closing"])


def test_a_change_says_only_what_is_another() -> None:
    command = Change(NOW, NETWORK, SERVICE.backends, (make.mapping(443, 8443),), SERVICE.approval_required)
    assert decide(command, Available(SERVICE)) == [ServiceChanged(NOW, port_mappings=(make.mapping(443, 8443),))]


def test_a_change_to_what_is_there_already_changes_nothing() -> None:
    command = Change(NOW, NETWORK, SERVICE.backends, SERVICE.port_mappings, SERVICE.approval_required)
    assert decide(command, Available(SERVICE)) == []


@pytest.mark.parametrize("other", [Backend(ADDRESS, 7), Backend(ADDRESS, draining=True)], ids=["weight", "draining"])
def test_another_weight_and_draining_are_changes(other: Backend) -> None:
    assert other.address == SERVICE.backends[0].address
    assert decide(Change(NOW, NETWORK, (other,)), Available(SERVICE)) == [ServiceChanged(NOW, (other,))]
    assert decide(Change(NOW, NETWORK, (other,)), Available(replace(SERVICE, backends=(other,)))) == []


def test_all_backends_of_a_service_may_be_draining() -> None:
    draining = replace(SERVICE, backends=(DRAINING,))
    assert decide(Create(draining, NETWORK), Absent())[0] == ServiceCreated(draining)


def test_a_change_shows_in_the_service() -> None:
    changed = evolve(Available(SERVICE), ServiceChanged(NOW, (DRAINING,), (make.mapping(53, 53, Protocol.UDP),)))
    held = service.of(changed)
    assert held.backends == (DRAINING,)
    assert held.port_mappings == (make.mapping(53, 53, Protocol.UDP),)
    assert (held.approval_required, held.updated_at, held.revision) == (True, NOW, 2)


def test_permissions_are_added_once_and_removed_where_they_are() -> None:
    added = DECIDER.fold(decide(AddPermissions((SHOP, EVERYBODY, SHOP), NOW), Available(SERVICE)), Available(SERVICE))
    assert service.of(added).permissions == (SHOP, EVERYBODY)
    assert decide(AddPermissions((SHOP,), NOW), added) == []
    removed = decide(RemovePermissions((SHOP, "iam:domain::other"), NOW), added)
    assert removed == [PermissionsRemoved((SHOP,), NOW)]
    assert service.of(DECIDER.fold(removed, added)).permissions == (EVERYBODY,)


def test_a_permission_keeps_its_description_until_it_gets_another() -> None:
    described = AddPermissions((SHOP, EVERYBODY), NOW, {SHOP: "the shop"})
    state = DECIDER.fold(decide(described, Available(SERVICE)), Available(SERVICE))
    assert service.of(state).grants == (Grant(SHOP, "the shop", NOW), Grant(EVERYBODY, "", NOW))
    assert decide(described, state) == []
    assert decide(AddPermissions((SHOP,), LATER), state) == []
    assert decide(AddPermissions((SHOP,), LATER, {SHOP: ""}), state) == [PermissionsAdded((), LATER, {SHOP: ""})]


def test_connections_that_end_with_a_permission_are_remembered_until_it_is_added_again() -> None:
    ending = RemovePermissions((SHOP, SHOP, EVERYBODY), NOW, end_connections=True)
    state = DECIDER.fold(decide(ending, Available(SERVICE)), Available(SERVICE))
    assert service.of(state).ended == (Ended(SHOP, NOW, 2), Ended(EVERYBODY, NOW, 2))
    state = DECIDER.fold(decide(RemovePermissions((SHOP,), LATER, end_connections=True), state), state)
    assert service.of(state).ended == (Ended(EVERYBODY, NOW, 2), Ended(SHOP, LATER, 3))
    state = DECIDER.fold(decide(AddPermissions((SHOP,), LATER), state), state)
    assert service.of(state).ended == (Ended(EVERYBODY, NOW, 2),)
    for number in range(3):
        more = tuple(f"iam:domain::a{number}-{each}" for each in range(100))
        state = DECIDER.fold(decide(RemovePermissions(more, LATER, end_connections=True), state), state)
    assert len(service.of(state).ended) == 200


def test_a_service_has_no_more_permissions_than_it_may() -> None:
    most = tuple(f"iam:domain::account-{number}" for number in range(MAX_PERMISSIONS))
    full = DECIDER.fold(decide(AddPermissions(most, NOW), Available(SERVICE)), Available(SERVICE))
    assert decide(AddPermissions(most, NOW), full) == []
    with pytest.raises(QuotaReached):
        decide(AddPermissions((SHOP,), NOW), full)


BACKEND = st.builds(Backend, st.sampled_from(list(NETWORK[0])), st.integers(0, 101), st.booleans())
COMMAND = st.one_of(
    st.builds(
        Change,
        st.integers(NOW, LATER),
        st.just(NETWORK),
        st.none() | st.lists(BACKEND, max_size=4).map(tuple),
        st.none() | st.lists(st.builds(make.mapping, st.integers(0, 4), st.integers(0, 4)), max_size=4).map(tuple),
        st.none() | st.booleans(),
    ),
    st.builds(AddPermissions, st.lists(st.sampled_from([SHOP, EVERYBODY])).map(tuple), st.integers(NOW, LATER)),
    st.builds(
        RemovePermissions,
        st.lists(st.sampled_from([SHOP, EVERYBODY])).map(tuple),
        st.integers(NOW, LATER),
        st.booleans(),
    ),
    st.builds(Close, st.booleans(), st.integers(1, 3), st.integers(NOW, LATER)),
    st.builds(Reopen, st.integers(1, 3), st.just("in use"), st.integers(NOW, LATER)),
    st.builds(StartDeletion, st.integers(1, 3), st.booleans(), st.integers(NOW, LATER)),
    st.sampled_from(list(COMMANDS.values())),
)


@given(st.lists(COMMAND, max_size=40))
def test_any_commands_keep_the_services_rules(commands: list[Command]) -> None:
    state: State = Absent()
    ledger, together, count = Ledger(), Ledger(), 0
    for command in [Create(SERVICE, NETWORK), *commands]:
        try:
            decided = decide(command, state)
        except Refused:
            continue
        whole = Constraints()
        for event in decided:
            needed = constraints(state, event)
            ledger.apply(needed)
            whole += needed
            state, count = evolve(state, event), count + 1
        together.apply(whole)
        _check(state, ledger, count)
        assert together == ledger, "an append's constraints are those of its events"


def _check(state: State, ledger: Ledger, count: int) -> None:
    held = service.of(state)
    there = 0 if isinstance(state, Deleted) else 1
    assert held.revision == count
    assert 1 <= len(held.backends) == len({backend.address for backend in held.backends})
    assert all(backend.address in NETWORK[0] and 1 <= backend.weight <= 100 for backend in held.backends)
    assert 1 <= len(held.port_mappings) == len({(each.client_port, each.protocol) for each in held.port_mappings})
    assert len(held.permissions) == len(set(held.permissions))
    assert ledger.of("offer") == ([f"{held.id}/{held.revision}"] if isinstance(state, Available) else [])
    assert ledger.of("service-name") == ["payments/payments-live/web"] * there
    assert ledger.counts["services", "payments/payments-live"] == there
    assert ledger.counts["vpc-uses", make.uuid(1)] == there


@given(st.lists(COMMAND, max_size=40))
def test_a_deleted_service_never_comes_back(commands: list[Command]) -> None:
    state: State = Deleted(SERVICE)
    for command in commands:
        try:
            assert decide(command, state) == []
        except Refused:
            continue


NETWORKS = networks_of(("10.0.0.0/24", "fd00:20::/64"))


@pytest.mark.parametrize(("backend", "version"), [("10.0.0.10", 4), ("fd00:20::a", 6)])
def test_a_service_has_the_ip_version_of_its_backends(backend: str, version: int) -> None:
    made = make.service(backend)
    assert made.ip_version == version
    for said in (0, version):
        assert decide(Create(made, NETWORKS, said), Absent()) == [ServiceCreated(made), ServiceOpened(AT)]
    with pytest.raises(Invalid, match="publish a service for each") as refused:
        decide(Create(made, NETWORKS, 10 - version), Absent())
    assert (refused.value.reason, refused.value.field) == ("IP_VERSION_MISMATCH", "endpoint_service.backends")


@pytest.mark.parametrize(("before", "after"), [("10.0.0.10", "fd00:20::a"), ("fd00:20::a", "10.0.0.10")])
def test_the_ip_version_of_a_service_never_changes(before: str, after: str) -> None:
    there = Available(make.service(before))
    with pytest.raises(Invalid) as refused:
        decide(Change(NOW, NETWORKS, backends=(Backend(address_of(after)),)), there)
    assert refused.value.reason == "IP_VERSION_MISMATCH"
    another = Backend(address_of(before) + 1)
    assert decide(Change(NOW, NETWORKS, backends=(another,)), there) == [ServiceChanged(NOW, backends=(another,))]

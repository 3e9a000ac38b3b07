"""What holds of an endpoint whatever is asked of it, in whatever order, however often and however late."""

from ipaddress import IPv4Address, IPv4Network

from hypothesis import given
from hypothesis import strategies as st

from services.common.errors import Refused
from services.common.eventsourcing.store import Claim
from services.endpoint.domain.endpoint import (
    Absent,
    Accepted,
    ConnectionApproved,
    Creating,
    Deleted,
    Deleting,
    Event,
    Failed,
    Rejected,
    State,
    evolve,
)
from services.endpoint.domain.endpoint_commands import (
    Accept,
    AddSources,
    Change,
    Command,
    ConfirmAbsence,
    ConfirmForwarding,
    Delete,
    EndConnection,
    Expire,
    Lapse,
    LeaseSource,
    Note,
    Reject,
    Request,
    WithdrawService,
)
from services.endpoint.domain.endpoint_constraints import constraints
from services.endpoint.domain.endpoint_decisions import decide
from services.endpoint.domain.facts import SourceLease, Whitelist
from tests.support.endpoint import CONSUMER, ENDPOINT_ID, FACTS, PROVIDER, SERVICE_ID, STRANGER, known_facts

times = st.integers(0, 1_000)
generations = st.integers(0, 12)
drains = st.integers(0, 300)
callers = st.sampled_from([CONSUMER, PROVIDER, STRANGER])
whitelists = st.sampled_from([(), (IPv4Network("10.0.0.0/24"),), (IPv4Network("10.0.0.128/25"),)])
leases = st.builds(
    SourceLease,
    st.sampled_from(["gw-1", "gw-2", "gw-3"]),
    st.integers(1, 5).map(lambda n: IPv4Address("198.19.128.0") + n),
)
commands: st.SearchStrategy[Command] = st.one_of(
    st.builds(Request, st.just(FACTS), st.booleans()),
    st.builds(Accept, times, st.just(PROVIDER), st.just(SERVICE_ID), st.just(ENDPOINT_ID), times),
    st.builds(Accept, times, callers, st.just(SERVICE_ID), st.just(ENDPOINT_ID)),
    st.builds(Reject, times, callers, st.just(SERVICE_ID), st.just(ENDPOINT_ID), drains),
    st.builds(
        Change,
        times,
        callers,
        st.just(ENDPOINT_ID),
        st.none() | st.sampled_from(["a", "b"]),
        st.none() | whitelists,
        whitelist=st.none() | st.sampled_from(Whitelist),
    ),
    st.builds(Delete, times, callers, st.just(ENDPOINT_ID), drains),
    st.builds(ConfirmForwarding, times, generations),
    st.builds(ConfirmAbsence, times, generations),
    st.builds(Expire, times, st.integers(0, 500)),
    st.builds(WithdrawService, times),
    st.builds(LeaseSource, times, leases),
    st.builds(AddSources, times, st.lists(leases, max_size=2).map(tuple), st.integers(0, 2)),
    st.builds(EndConnection, times, times),
    st.builds(Lapse, times),
    st.builds(Note, times, callers, st.just(SERVICE_ID), st.just(ENDPOINT_ID), st.sampled_from(["", "x"])),
)
histories = st.lists(commands, max_size=25)
Step = tuple[State, Event, State]


def lived(history: list[Command]) -> list[Step]:
    """The steps that a history of commands makes, from one that starts with a request."""
    state: State = Absent()
    steps: list[Step] = []
    for command in [Request(FACTS, approval_required=True), *history]:
        try:
            events = decide(command, state)
        except Refused:
            continue
        for event in events:
            after = evolve(state, event)
            steps.append((state, event, after))
            state = after
    return steps


def forwarded(state: State) -> bool:
    return isinstance(state, Creating | Accepted)


@given(histories)
def test_generation_admission_and_version_never_go_back(history: list[Command]) -> None:
    for before, event, after in lived(history)[1:]:
        earlier, later = known_facts(before), known_facts(after)
        assert later.generation >= earlier.generation
        assert later.version == earlier.version + 1
        drained = isinstance(event, ConnectionApproved) and event.at >= earlier.drain_until
        assert later.admission == earlier.admission + drained


@given(histories)
def test_whatever_alters_forwarding_raises_the_generation(history: list[Command]) -> None:
    for before, _, after in lived(history)[1:]:
        earlier, later = known_facts(before), known_facts(after)
        seen = [
            (forwarded(state), facts.admitted, facts.sources, facts.admission, facts.drain_until)
            for state, facts in ((before, earlier), (after, later))
        ]
        if seen[0] != seen[1]:
            assert later.generation > earlier.generation


@given(histories)
def test_packets_pass_only_after_an_approval_that_nothing_has_ended(history: list[Command]) -> None:
    for before, event, after in lived(history):
        if forwarded(after) and not forwarded(before):
            assert isinstance(event, ConnectionApproved)


@given(histories)
def test_sessions_drain_only_from_what_was_forwarded_and_never_for_longer_than_was_said(history: list[Command]) -> None:
    for before, _, after in lived(history)[1:]:
        earlier, later = known_facts(before).drain_until, known_facts(after).drain_until
        if later:
            assert isinstance(after, Rejected | Deleting)
            assert forwarded(before) or 0 < later <= earlier


@given(histories)
def test_what_is_failed_deleting_or_deleted_never_comes_back(history: list[Command]) -> None:
    ends = {Failed: (Failed, Deleting), Deleting: (Deleting, Deleted), Deleted: ()}
    for before, _, after in lived(history):
        if type(before) in ends:
            assert isinstance(after, ends[type(before)])


@given(histories)
def test_a_rejected_endpoint_comes_back_by_an_approval_only(history: list[Command]) -> None:
    for before, event, after in lived(history):
        if isinstance(before, Rejected) and forwarded(after):
            assert isinstance(event, ConnectionApproved)


@given(histories, generations, times)
def test_a_stale_report_changes_nothing(history: list[Command], generation: int, at: int) -> None:
    for _, _, state in lived(history):
        if generation < known_facts(state).generation:
            assert decide(ConfirmForwarding(at, generation), state) == []
            assert decide(ConfirmAbsence(at, generation), state) == []


@given(histories, commands)
def test_asked_again_it_answers_the_same_and_changes_nothing(history: list[Command], command: Command) -> None:
    steps = lived(history)
    state = steps[-1][2]
    try:
        events = decide(command, state)
    except Refused:
        return
    for event in events:
        state = evolve(state, event)
    assert decide(command, state) == []


@given(histories)
def test_strangers_change_nothing(history: list[Command]) -> None:
    theirs = [command for command in history if getattr(command, "by", STRANGER) != STRANGER]
    unasked = [command for command in history if not hasattr(command, "by") or command in theirs]
    assert lived(history) == lived(unasked)


@given(histories)
def test_what_is_claimed_is_what_the_endpoint_holds(history: list[Command]) -> None:
    held: set[Claim] = set()
    counted = 0
    for before, event, after in lived(history):
        meant = constraints(before, event)
        held = (held - set(meant.releases)) | set(meant.claims)
        counted += sum(count.delta for count in meant.counts)
        assert counted == (not isinstance(after, Deleted))
        sources = {claim for claim in held if claim.kind == "source-address"}
        assert len(sources) == (
            0 if isinstance(after, Deleted) else len({s.address for s in known_facts(after).sources})
        )
        assert Claim("marker", "4711") in held

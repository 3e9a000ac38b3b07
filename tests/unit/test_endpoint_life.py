"""Every pair of a state and a command: what happens, or the words of the refusal."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

import pytest

from services.common.addressing import address_of, networks_of
from services.common.errors import AlreadyExists, Invalid, NotFound, Refused, WrongState
from services.common.eventsourcing.store import Claim, Constraints, Count
from services.common.labels import Tag
from services.common.principal import Principal
from services.endpoint.domain.endpoint import (
    Accepted,
    ConnectionApproved,
    ConnectionNoted,
    ConnectionRejected,
    Creating,
    Deleted,
    DrainEnded,
    EndpointActivated,
    EndpointChanged,
    EndpointDeleted,
    EndpointDeletionRequested,
    EndpointFailed,
    EndpointRequested,
    Event,
    SourceAddressLeased,
    SourcesAdded,
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
from services.endpoint.domain.endpoint_decisions import SECOND, decide
from services.endpoint.domain.facts import Facts, SourceLease, Whitelist
from services.endpoint.domain.whitelists import NOBODY
from tests.support.endpoint import (
    CONSUMER,
    ENDPOINT_ID,
    FACTS,
    PROVIDER,
    SERVICE_ID,
    STATES,
    STRANGER,
    after,
    known_facts,
)

NOW = 10_000
WIDER = (IPv4Network("10.0.0.0/24"),)
LEASE = SourceLease("gw-2", IPv4Address("198.19.128.10"))
MORE = tuple(SourceLease("gw-1", IPv4Address(f"198.19.128.{number}")) for number in (20, 21))

ACCEPT, REJECT = Accept(NOW, PROVIDER, SERVICE_ID, ENDPOINT_ID), Reject(NOW, PROVIDER, SERVICE_ID, ENDPOINT_ID)
DELETE = Delete(NOW, CONSUMER, ENDPOINT_ID)

COMMANDS: dict[str, Command] = {
    "request": Request(replace(FACTS, created_at=NOW), approval_required=True),
    "accept": ACCEPT,
    "reject": REJECT,
    "change": Change(NOW, CONSUMER, ENDPOINT_ID, "other", WIDER),
    "delete": DELETE,
    "forwarding": ConfirmForwarding(NOW, generation=2),
    "absence": ConfirmAbsence(NOW, generation=2),
    "expire": Expire(NOW, deadline=NOW - 2_000),
    "withdraw": WithdrawService(NOW),
    "lease": LeaseSource(NOW, LEASE),
    "add": AddSources(NOW, MORE, beside=1),
    "lapse": Lapse(NOW),
    "end": EndConnection(NOW, before=9_000),
    "end earlier": EndConnection(NOW, before=1_000),
    "note": Note(NOW, PROVIDER, SERVICE_ID, ENDPOINT_ID, "ticket 1"),
}

Answer = Event | None | type[Refused]
APPROVED, REJECTED = ConnectionApproved(NOW), ConnectionRejected(NOW)
CHANGED, DELETION = EndpointChanged(NOW, "other", WIDER), EndpointDeletionRequested(NOW)
GONE, LEASED = EndpointFailed(NOW, "service deleted"), SourceAddressLeased(NOW, LEASE)
ADDED = SourcesAdded(NOW, MORE)
REQUESTED = EndpointRequested(replace(FACTS, created_at=NOW))
LATE = EndpointFailed(NOW, "its gateways did not forward it within 0 s")
ENDED = ConnectionRejected(NOW, "the permission to connect was removed")
NOTED = ConnectionNoted(NOW, "ticket 1", unseen=True)
ACTIVATED, DELETED = EndpointActivated(NOW, 2), EndpointDeleted(NOW)

# fmt: off
STAGES = ("absent", "pending", "creating", "accepted", "rejected", "failed", "deleting", "deleted")
EXIST, WRONG = AlreadyExists, WrongState
TABLE: dict[str, tuple[Answer, ...]] = {
    #              absent     pending   creating   accepted  rejected  failed    deleting  deleted
    "request":    (REQUESTED, EXIST,    EXIST,     EXIST,    EXIST,    EXIST,    EXIST,    EXIST),
    "accept":     (NotFound,  APPROVED, None,      None,     APPROVED, WRONG,    WRONG,    NotFound),
    "reject":     (NotFound,  REJECTED, REJECTED,  REJECTED, None,     WRONG,    WRONG,    NotFound),
    "change":     (NotFound,  CHANGED,  CHANGED,   CHANGED,  CHANGED,  WRONG,    WRONG,    NotFound),
    "delete":     (NotFound,  DELETION, DELETION,  DELETION, DELETION, DELETION, None,     None),
    "forwarding": (None,      None,     ACTIVATED, None,     None,     None,     None,     None),
    "absence":    (None,      None,     None,      None,     None,     None,     DELETED,  None),
    "expire":     (None,      None,     LATE,      None,     None,     None,     None,     None),
    "withdraw":   (None,      GONE,     GONE,      GONE,     GONE,     None,     None,     None),
    "lease":      (None,      LEASED,   LEASED,    LEASED,   LEASED,   None,     None,     None),
    "add":        (None,      None,     ADDED,     ADDED,    None,     None,     None,     None),
    "lapse":      (None,      None,     None,      None,     None,     None,     None,     None),
    "end":        (None,      ENDED,    ENDED,     ENDED,    None,     None,     None,     None),
    "end earlier": (None,     None,     None,      None,     None,     None,     None,     None),
    "note":       (NotFound,  NOTED,    NOTED,     NOTED,    NOTED,    NOTED,    NOTED,    NotFound),
}
# fmt: on
PAIRS = [(stage, name, answer) for name, row in TABLE.items() for stage, answer in zip(STAGES, row, strict=True)]


@pytest.mark.parametrize(("stage", "name", "answer"), PAIRS, ids=[f"{name}-{stage}" for stage, name, _ in PAIRS])
def test_each_command_in_each_state_has_one_answer(stage: str, name: str, answer: Answer) -> None:
    if isinstance(answer, type):
        with pytest.raises(answer):
            decide(COMMANDS[name], STATES[stage])
    else:
        assert list(decide(COMMANDS[name], STATES[stage])) == ([] if answer is None else [answer])


def test_the_table_holds_every_command_and_every_state() -> None:
    assert set(TABLE) == set(COMMANDS)
    assert set(STAGES) == set(STATES)


def test_a_request_that_needs_no_approval_is_creating_at_once() -> None:
    events = decide(Request(FACTS, approval_required=False), STATES["absent"])
    assert events == [EndpointRequested(FACTS), ConnectionApproved(FACTS.created_at)]
    assert isinstance(after(*events), Creating)


@pytest.mark.parametrize("stage", [stage for stage in STAGES if stage != "absent"])
@pytest.mark.parametrize("by", [STRANGER, PROVIDER, Principal(CONSUMER.account, "other"), Principal("other", "shop")])
def test_to_all_but_its_owner_an_endpoint_is_as_if_it_were_not_there(stage: str, by: Principal) -> None:
    for command in (Change(NOW, by, ENDPOINT_ID, "x"), Delete(NOW, by, ENDPOINT_ID)):
        assert _refusal(command, stage) == _refusal(command, "absent")


@pytest.mark.parametrize("stage", [stage for stage in STAGES if stage != "absent"])
@pytest.mark.parametrize("by", [STRANGER, CONSUMER, Principal(PROVIDER.account, "other")])
def test_to_all_but_the_services_owner_a_connection_is_as_if_it_were_not_there(stage: str, by: Principal) -> None:
    noted = Note(NOW, by, SERVICE_ID, ENDPOINT_ID, "x")
    for command in (Accept(NOW, by, SERVICE_ID, ENDPOINT_ID), Reject(NOW, by, SERVICE_ID, ENDPOINT_ID), noted):
        assert _refusal(command, stage) == _refusal(command, "absent")


def test_a_connection_of_another_service_of_the_same_owner_is_not_there() -> None:
    command = Accept(NOW, PROVIDER, "another-service", ENDPOINT_ID)
    assert _refusal(command, "pending") == _refusal(command, "absent")


def _refusal(command: Command, stage: str) -> tuple[type[Refused], str, str]:
    with pytest.raises(Refused) as refused:
        decide(command, STATES[stage])
    return type(refused.value), refused.value.reason, refused.value.text


@pytest.mark.parametrize("stage", ["failed", "deleting"])
def test_a_refusal_names_the_state(stage: str) -> None:
    for name in ("accept", "reject", "change"):
        with pytest.raises(WrongState, match=stage):
            decide(COMMANDS[name], STATES[stage])


def test_a_change_that_changes_nothing_is_no_event() -> None:
    same = Change(NOW, CONSUMER, ENDPOINT_ID, FACTS.name, FACTS.allowed)
    assert decide(same, STATES["accepted"]) == []


def test_only_a_whitelist_raises_the_generation_and_a_name_does_not() -> None:
    accepted = STATES["accepted"]
    renamed = after(EndpointChanged(NOW, "other", None), state=accepted)
    widened = after(EndpointChanged(NOW, None, WIDER), state=accepted)
    assert known_facts(renamed).generation == known_facts(accepted).generation
    assert known_facts(widened).generation == known_facts(accepted).generation + 1
    assert isinstance(renamed, Accepted)
    assert isinstance(widened, Accepted)


@pytest.mark.parametrize(
    ("whitelist", "allowed", "admitted"),
    [
        (Whitelist.AS_LISTED, (), ()),
        (Whitelist.AS_LISTED, WIDER, WIDER),
        (Whitelist.ENABLED, (), NOBODY),
        (Whitelist.ENABLED, WIDER, WIDER),
        (Whitelist.DISABLED, (), ()),
        (Whitelist.DISABLED, WIDER, ()),
    ],
)
def test_a_whitelist_that_is_switched_alters_forwarding_where_it_lets_others_in(
    whitelist: Whitelist, allowed: tuple[IPv4Network, ...], admitted: tuple[IPv4Network, ...]
) -> None:
    before = after(EndpointChanged(NOW, allowed=allowed), state=STATES["accepted"])
    now = known_facts(after(EndpointChanged(NOW, whitelist=whitelist), state=before))
    assert (now.admitted, now.allowed) == (admitted, allowed)
    raised = now.generation - known_facts(before).generation
    assert raised == (known_facts(before).admitted != admitted)


FACTS_V6 = replace(FACTS, address=address_of("fd00:10::7"), allowed=networks_of(("fd00:10::/64",)))


@pytest.mark.parametrize(
    ("facts", "nobody"), [(FACTS, ("255.255.255.255/32",)), (FACTS_V6, ("ff02::1/128",))], ids=["IPv4", "IPv6"]
)
def test_a_whitelist_that_lets_nobody_in_is_of_the_addresss_ip_version(facts: Facts, nobody: tuple[str, ...]) -> None:
    closed = replace(facts, allowed=(), whitelist=Whitelist.ENABLED)
    assert closed.admitted == networks_of(nobody)


@pytest.mark.parametrize("facts", [FACTS, FACTS_V6], ids=["IPv4", "IPv6"])
def test_a_whitelist_of_the_other_ip_version_is_refused(facts: Facts) -> None:
    stranger = (FACTS_V6 if facts is FACTS else FACTS).allowed
    with pytest.raises(Invalid, match=r"give ranges of IPv[46] alone$") as refused:
        decide(Request(replace(facts, allowed=(*facts.allowed, *stranger)), approval_required=True), STATES["absent"])
    assert (refused.value.reason, refused.value.field) == ("CIDR_IP_VERSION", "endpoint.allowed_cidrs[1]")
    there = after(EndpointRequested(facts))
    with pytest.raises(Invalid) as refused:
        decide(Change(NOW, CONSUMER, ENDPOINT_ID, allowed=stranger), there)
    assert refused.value.field == "endpoint.allowed_cidrs[0]"
    assert decide(Change(NOW, CONSUMER, ENDPOINT_ID, allowed=()), there) == [EndpointChanged(NOW, allowed=())]


def test_what_is_said_of_an_endpoint_alters_nothing_of_its_forwarding() -> None:
    said = Change(NOW, CONSUMER, ENDPOINT_ID, None, None, "mine", (Tag("a", "b"),), None, '{"a":1}', True)
    accepted = STATES["accepted"]
    now = after(*decide(said, accepted), state=accepted)
    assert known_facts(now).generation == known_facts(accepted).generation
    assert decide(said, now) == []


def test_a_note_alters_nothing_of_forwarding_and_the_same_again_is_no_event() -> None:
    noted = after(*decide(COMMANDS["note"], STATES["accepted"]), state=STATES["accepted"])
    assert (known_facts(noted).note, known_facts(noted).generation) == ("ticket 1", 2)
    assert decide(COMMANDS["note"], noted) == []


def test_a_connection_ends_by_itself_where_its_services_rules_say_so() -> None:
    limited = replace(FACTS, pending_for=500, accepted_for=700, expires_at=FACTS.created_at + 500)
    pending = after(EndpointRequested(limited))
    assert decide(Lapse(1_499), pending) == []
    assert decide(Lapse(1_500), pending) == [ConnectionRejected(1_500, "it was not decided in time")]
    creating = after(ConnectionApproved(1_400), state=pending)
    accepted = after(EndpointActivated(1_450, 2), state=creating)
    for state in (creating, accepted):
        assert decide(Lapse(2_099), state) == []
        assert decide(Lapse(2_100), state) == [ConnectionRejected(2_100, "it was accepted until now")]
    rejected = after(ConnectionRejected(2_100, "it was accepted until now"), state=accepted)
    assert (known_facts(rejected).expires_at, decide(Lapse(9_000), rejected)) == (0, [])
    again = after(*decide(Accept(3_000, PROVIDER, SERVICE_ID, ENDPOINT_ID, until=3_100), rejected), state=rejected)
    assert known_facts(again).expires_at == 3_100
    for ending in (EndpointDeletionRequested(3_050), EndpointFailed(3_050, "x")):
        assert known_facts(after(ending, state=again)).expires_at == 0


def drained(command: Command, stage: str = "accepted") -> Facts:
    return known_facts(after(*decide(command, STATES[stage]), state=STATES[stage]))


@pytest.mark.parametrize("stage", ["creating", "accepted"])
def test_established_sessions_drain_until_a_moment_where_a_rejection_or_a_deletion_says_so(stage: str) -> None:
    reject, delete = replace(REJECT, drain=30), replace(DELETE, drain=20)
    assert list(decide(reject, STATES[stage])) == [ConnectionRejected(NOW, drain_until=NOW + 30)]
    assert list(decide(delete, STATES[stage])) == [EndpointDeletionRequested(NOW, NOW + 20)]
    assert (drained(reject, stage).drain_until, drained(delete, stage).drain_until) == (NOW + 30, NOW + 20)


@pytest.mark.parametrize("stage", ["pending", "rejected", "failed"])
def test_where_no_packet_passes_nothing_drains(stage: str) -> None:
    assert drained(replace(DELETE, drain=20), stage).drain_until == 0
    if stage != "failed":
        assert drained(replace(REJECT, drain=20), stage).drain_until == 0


DRAINING = {
    "rejected": after(ConnectionRejected(NOW, drain_until=NOW + 30), state=STATES["accepted"]),
    "deleting": after(EndpointDeletionRequested(NOW, NOW + 30), state=STATES["accepted"]),
}


@pytest.mark.parametrize("stage", DRAINING)
def test_a_drain_can_be_shortened_and_ended_and_is_never_lengthened(stage: str) -> None:
    again, state = REJECT if stage == "rejected" else DELETE, DRAINING[stage]
    assert decide(replace(again, at=NOW + 10, drain=30), state) == []
    for drain, until in ((5, NOW + 15), (0, 0)):
        shortened = after(*decide(replace(again, at=NOW + 10, drain=drain), state), state=state)
        assert (type(shortened), known_facts(shortened).drain_until) == (type(state), until)
        assert known_facts(shortened).generation == known_facts(state).generation + 1


@pytest.mark.parametrize(("drain", "until"), [(0, 0), (5, NOW + 15), (60, NOW + 30)])
def test_a_rejected_endpoint_that_drains_can_be_deleted_at_once_or_drain_as_long_at_the_most(
    drain: int, until: int
) -> None:
    events = list(decide(replace(DELETE, at=NOW + 10, drain=drain), DRAINING["rejected"]))
    assert events == [EndpointDeletionRequested(NOW + 10, until)]


@pytest.mark.parametrize("stage", DRAINING)
def test_a_drain_ends_at_its_moment_and_once(stage: str) -> None:
    state = DRAINING[stage]
    assert decide(Lapse(NOW + 29), state) == []
    assert list(decide(Lapse(NOW + 30), state)) == [DrainEnded(NOW + 30)]
    ended = after(DrainEnded(NOW + 30), state=state)
    assert (type(ended), known_facts(ended).drain_until) == (type(state), 0)
    assert known_facts(ended).generation == known_facts(state).generation + 1
    assert decide(Lapse(NOW + 90), ended) == []


@pytest.mark.parametrize(("at", "raised"), [(NOW + 29, 0), (NOW + 30, 1)])
def test_an_approval_while_sessions_drain_keeps_them_and_one_afterwards_does_not(at: int, raised: int) -> None:
    state = DRAINING["rejected"]
    approved = after(*decide(replace(ACCEPT, at=at), state), state=state)
    assert isinstance(approved, Creating)
    assert known_facts(approved).admission == known_facts(state).admission + raised
    assert known_facts(approved).drain_until == 0


def test_a_service_that_is_gone_ends_drains_too() -> None:
    rejected, deleting = DRAINING["rejected"], DRAINING["deleting"]
    assert known_facts(after(*decide(WithdrawService(NOW + 5), rejected), state=rejected)).drain_until == 0
    assert list(decide(WithdrawService(NOW + 5), deleting)) == [DrainEnded(NOW + 5)]


def test_what_is_deleted_drains_no_more() -> None:
    deleting = DRAINING["deleting"]
    gone = after(*decide(ConfirmAbsence(NOW, known_facts(deleting).generation), deleting), state=deleting)
    assert (type(gone), known_facts(gone).drain_until) == (Deleted, 0)


def test_an_approval_after_a_rejection_is_another_admission_with_the_same_address_and_marker() -> None:
    again = after(ConnectionRejected(4_000), ConnectionApproved(5_000), state=STATES["accepted"])
    before, now = known_facts(STATES["accepted"]), known_facts(again)
    assert now.admission == before.admission + 1
    assert (now.address, now.marker) == (before.address, before.marker)


def test_a_report_of_an_earlier_generation_changes_nothing() -> None:
    approved_again = after(ConnectionApproved(5_000), state=STATES["rejected"])
    assert decide(ConfirmForwarding(NOW, generation=2), approved_again) == []
    assert decide(ConfirmAbsence(NOW, generation=1), STATES["deleting"]) == []


def test_an_endpoint_within_its_deadline_does_not_expire() -> None:
    assert decide(Expire(at=2_000 + 120 * SECOND - 1, deadline=120 * SECOND), STATES["creating"]) == []


def test_a_gateway_gets_one_source_address_for_an_endpoint() -> None:
    leased = after(SourceAddressLeased(NOW, LEASE), state=STATES["accepted"])
    another = SourceLease(LEASE.gateway, IPv4Address("198.19.128.11"))
    assert decide(LeaseSource(NOW, another), leased) == []


def test_more_source_addresses_come_behind_those_that_a_gateway_has_and_cut_nothing() -> None:
    before = known_facts(after(SourceAddressLeased(NOW, LEASE), state=STATES["accepted"]))
    facts = known_facts(after(SourceAddressLeased(NOW, LEASE), ADDED, state=STATES["accepted"]))
    assert [str(lease.address) for lease in facts.sources_of("gw-1")] == [
        "198.19.128.9",
        "198.19.128.20",
        "198.19.128.21",
    ]
    assert facts.sources_of("gw-2") == (LEASE,)
    assert (facts.generation, facts.admission) == (before.generation + 1, before.admission)
    assert facts.revision == before.revision + 1, "its owner is shown another generation"


def test_addresses_that_were_meant_for_fewer_or_more_than_there_are_now_are_not_added() -> None:
    grown = after(ADDED, state=STATES["accepted"])
    assert decide(AddSources(NOW, MORE, beside=1), grown) == []
    assert decide(AddSources(NOW, (), beside=3), grown) == []
    assert decide(AddSources(NOW, (LEASE,), beside=1), grown) == [], "gw-2 has none to begin with"
    assert decide(AddSources(NOW, MORE, beside=3), grown) == [ADDED]


def test_addresses_that_are_added_are_claimed_and_go_with_the_endpoint() -> None:
    vpc = FACTS.placement.provider_vpc
    added = tuple(Claim("source-address", f"{vpc}/198.19.128.{number}") for number in (20, 21))
    assert constraints(STATES["accepted"], ADDED) == Constraints(claims=added)
    deleting = after(ADDED, EndpointDeletionRequested(NOW), state=STATES["accepted"])
    first = Claim("source-address", f"{vpc}/198.19.128.9")
    assert constraints(deleting, EndpointDeleted(NOW)).releases == (first, *added)


def test_a_request_claims_its_marker_and_source_addresses_and_counts() -> None:
    vpc = FACTS.placement.provider_vpc
    assert constraints(STATES["absent"], EndpointRequested(FACTS)) == Constraints(
        claims=(Claim("marker", "4711"), Claim("source-address", f"{vpc}/198.19.128.9")),
        counts=(Count("endpoints", "shop-account/shop", 1),),
    )


def test_a_deletion_releases_every_source_address_and_keeps_the_marker() -> None:
    vpc = FACTS.placement.provider_vpc
    deleting = after(SourceAddressLeased(NOW, LEASE), EndpointDeletionRequested(NOW), state=STATES["accepted"])
    assert constraints(deleting, EndpointDeleted(NOW)) == Constraints(
        releases=(
            Claim("source-address", f"{vpc}/198.19.128.9"),
            Claim("source-address", f"{vpc}/198.19.128.10"),
        ),
        counts=(Count("endpoints", "shop-account/shop", -1),),
    )


def test_a_removal_ends_what_relied_on_an_earlier_version_whatever_clocks_say() -> None:
    """A request may be stamped later than the removal that came after its reservation."""
    requested = replace(FACTS, created_at=9_500, service_version=6)
    pending = after(EndpointRequested(requested))
    approved = after(EndpointRequested(requested), ConnectionApproved(9_500))
    for state in (pending, approved):
        assert decide(EndConnection(NOW, before=9_000, version=7), state) == [ENDED]
        assert decide(EndConnection(NOW, before=9_000, version=6), state) == []
    decided = after(EndpointRequested(requested), ConnectionApproved(9_600))
    assert decide(EndConnection(NOW, before=9_000, version=7), decided) == [], "its owner accepted it afterwards"
    unknown = after(EndpointRequested(replace(requested, service_version=0)))
    assert decide(EndConnection(NOW, before=9_000, version=7), unknown) == []

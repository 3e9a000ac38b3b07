"""What an endpoint's owner reads of a packet's way, and what nobody but the operator does."""

from dataclasses import replace
from ipaddress import IPv4Address

import pytest

from services.common.principal import Principal
from services.endpoint.domain.endpoint import Accepted, Known, PendingAcceptance, Rejected
from services.endpoint.domain.facts import Facts, Placement
from services.endpoint.domain.passage import PassageStep, Subject, for_owner, passes
from services.endpoint.domain.reachability import Finding
from services.endpoint.domain.traced import Met, Opening, Outcome, Traced, TracedStep
from services.endpoint.wire.passage import traced_message, traced_of

FACTS = Facts(
    id="e1",
    owner=Principal("shop", "default"),
    name="",
    service="s1",
    service_full_name="local.web.s1",
    subnet="n1",
    vpc="v1",
    address=IPv4Address("10.0.0.2"),
    port="p1",
    marker=7,
    placement=Placement("c1", Principal("payments", "default"), "v2"),
    created_at=1,
    updated_at=1,
    generation=3,
)
PACKET = Opening("10.0.0.5", 40000, 80, "tcp")
SECRETS = ("10.9.9.1", "198.19.128.7", "sg-device", "v2", "8080", "12 that take", "slot 4")
"""What the service's network, the gateway's machine and the size of the service are known by."""

WAY = (
    TracedStep(Met.DEVICE, Outcome.PASSED, "sg-device faces VPC v1"),
    TracedStep(Met.ENDPOINT, Outcome.PASSED, "slot 4"),
    TracedStep(Met.DRAIN, Outcome.PASSED, "it is not draining"),
    TracedStep(Met.WHITELIST, Outcome.PASSED, "0.0.0.0/0 has it"),
    TracedStep(Met.PORT, Outcome.PASSED, "leads to port 8080"),
    TracedStep(Met.LIMITS, Outcome.PASSED, "3 of 12"),
    TracedStep(Met.BACKEND, Outcome.PASSED, "10.9.9.1, one of 12 that take new sessions"),
    TracedStep(Met.SOURCE, Outcome.PASSED, "the backend sees 198.19.128.7"),
    TracedStep(Met.WAY_OUT, Outcome.PASSED, "sg-device faces VPC v2"),
)
PASSES = Traced(PACKET, "10.0.0.2", WAY, "forwarded", "forwarded", "tag", "10.9.9.1", 8080, "198.19.128.7", 2000)
READ_OF = {
    Met.DEVICE: Subject.ENDPOINT,
    Met.ENDPOINT: Subject.ENDPOINT,
    Met.DRAIN: Subject.ENDPOINT,
    Met.WHITELIST: Subject.WHITELIST,
    Met.PORT: Subject.PORT,
    Met.LIMITS: Subject.BACKEND,
    Met.BACKEND: Subject.BACKEND,
    Met.SOURCE: Subject.BACKEND,
    Met.WAY_OUT: Subject.BACKEND,
}


def ending_at(met: Met) -> Traced:
    steps = [replace(step, outcome=Outcome.REFUSED) if step.met is met else step for step in WAY]
    reason = f"refused_{met.name.lower()}"
    return replace(PASSES, steps=tuple(steps), verdict=reason, foreseen=reason, backend="", seen_as="")


def read(*traces: Traced | None, state: Known | None = None) -> tuple[PassageStep, ...]:
    found = {f"g{number}": Finding(40, 3, has_it=True, trace=trace) for number, trace in enumerate(traces)}
    return for_owner(state or Accepted(FACTS), found, found, PACKET)


def test_a_packet_that_passes_is_said_to_pass_in_four_sentences() -> None:
    assert passes(read(PASSES))
    assert [step.message for step in read(PASSES)] == [
        "it is forwarded",
        "its whitelist has 10.0.0.5",
        "the service publishes tcp port 80",
        "the service takes new sessions",
    ]


def test_of_an_endpoint_with_routes_its_owner_reads_of_the_policy_too() -> None:
    for outcome, message in (
        (Outcome.PASSED, "its policy allows 100.125.0.1"),
        (Outcome.REFUSED, "its policy denies tcp port 80 of 100.125.0.1"),
    ):
        denied = outcome is Outcome.REFUSED
        verdict = "refused_denied" if denied else "forwarded"
        way = (*WAY[:4], TracedStep(Met.ROUTE, outcome, "100.125.0.0/16 has it"), *WAY[4:])
        steps = read(replace(PASSES, steps=way, address="100.125.0.1", verdict=verdict))
        assert passes(steps) is not denied
        assert [step.subject for step in steps] == list(Subject)
        assert steps[2] == PassageStep(Subject.POLICY, outcome, message)


@pytest.mark.parametrize("met", list(READ_OF), ids=lambda met: met.name.lower())
def test_where_it_ends_is_said_and_nothing_of_the_services_side(met: Met) -> None:
    steps = read(ending_at(met))
    assert not passes(steps)
    assert [step.subject for step in steps if step.outcome is Outcome.REFUSED] == [READ_OF[met]]
    text = " ".join(step.message for step in (*steps, *read(PASSES)))
    assert not [secret for secret in SECRETS if secret in text]


def test_why_the_service_takes_no_session_cannot_be_told_from_the_words() -> None:
    """A limit, backends that are away, and ports that are used up look the same."""
    assert len({read(ending_at(met)) for met, subject in READ_OF.items() if subject is Subject.BACKEND}) == 1


def test_of_several_gateways_the_one_where_it_comes_least_far_is_told_of() -> None:
    steps = read(PASSES, ending_at(Met.BACKEND), ending_at(Met.PORT))
    assert [step.outcome for step in steps] == [
        Outcome.PASSED,
        Outcome.PASSED,
        Outcome.REFUSED,
        Outcome.NOT_REACHED,
    ]


@pytest.mark.parametrize(
    ("state", "found", "message"),
    [
        (PendingAcceptance(FACTS), {}, "the service's owner has yet to accept it"),
        (Rejected(FACTS), {}, "the service's owner rejected it"),
        (Accepted(FACTS), {}, "a gateway of its cell did not answer"),
        (Accepted(FACTS), {"g1": Finding(40, 3, has_it=False, hindrance="10.9.9.1 is on fire")}, "a gateway is not"),
        (Accepted(FACTS), {"g1": Finding(40, 3, has_it=True)}, "a gateway of its cell cannot tell"),
        (Accepted(FACTS), {"g1": Finding(40, 2, has_it=True, trace=PASSES)}, "a gateway has yet to take in"),
    ],
    ids=["pending", "rejected", "silent", "hindered", "older", "behind"],
)
def test_where_no_gateway_can_tell_that_is_what_is_said(state: Known, found: dict[str, Finding], message: str) -> None:
    steps = for_owner(state, {"g1"}, found, PACKET)
    assert steps[0].outcome is Outcome.REFUSED
    assert steps[0].message.startswith(message)
    assert {step.outcome for step in steps[1:]} == {Outcome.NOT_REACHED}


def test_a_trace_is_the_same_after_the_wire() -> None:
    for trace in (PASSES, *map(ending_at, READ_OF)):
        assert traced_of(traced_message(trace)) == trace

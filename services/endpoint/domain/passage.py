"""What becomes of a client's packet, from what gateways made of it; and what its owner may read of it. Pure.

The operator reads all; the endpoint's owner whether it passes, and at which of a few things it ends. Of the service's
network, how many backends there are and what else holds a session up, nothing is in that.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from services.endpoint.domain.endpoint import Accepted, Creating, Known
from services.endpoint.domain.facts import Facts
from services.endpoint.domain.presence import public_reason
from services.endpoint.domain.reachability import Finding, of_state
from services.endpoint.domain.traced import Met, Opening, Outcome, Traced


class Subject(Enum):
    """What the endpoint's owner reads of, in the order of a packet's way."""

    ENDPOINT = auto()
    WHITELIST = auto()
    POLICY = auto()
    PORT = auto()
    BACKEND = auto()


SUBJECTS = tuple(Subject)
PLAIN = tuple(subject for subject in Subject if subject is not Subject.POLICY)
"""Of an endpoint without routes."""

READ_AS = {
    Met.DEVICE: Subject.ENDPOINT,
    Met.SESSION: Subject.ENDPOINT,
    Met.ENDPOINT: Subject.ENDPOINT,
    Met.DRAIN: Subject.ENDPOINT,
    Met.WHITELIST: Subject.WHITELIST,
    Met.ROUTE: Subject.POLICY,
    Met.PORT: Subject.PORT,
}
"""All else is the service's side."""


@dataclass(frozen=True, slots=True)
class PassageStep:
    """One thing that must be so for a packet to pass, and whether it is, in a sentence."""

    subject: Subject
    outcome: Outcome
    message: str


def for_owner(
    state: Known, joined: Collection[str], found: Mapping[str, Finding], opening: Opening
) -> tuple[PassageStep, ...]:
    """As the endpoint's owner may read it: of several gateways, the one where the packet comes least far."""
    if hindrance := _hindrance(state, joined, found):
        return _steps(Subject.ENDPOINT, {Subject.ENDPOINT: hindrance}, PLAIN)
    traces = [each.trace for each in found.values() if each.trace is not None]
    least = min(traces, key=lambda trace: SUBJECTS.index(end) if (end := ends(trace)) else len(SUBJECTS))
    ends_at, asked = ends(least), f"{opening.protocol} port {least.opening.port}"
    said = {
        Subject.ENDPOINT: ("it is forwarded", "no session opens: it is cut, or drains"),
        Subject.WHITELIST: (f"its whitelist has {opening.source}", f"its whitelist does not have {opening.source}"),
        Subject.POLICY: (f"its policy allows {least.address}", f"its policy denies {asked} of {least.address}"),
        Subject.PORT: (f"the service publishes {asked}", f"the service does not publish {asked}"),
        Subject.BACKEND: ("the service takes new sessions", "the service takes no new session from it now"),
    }
    subjects = SUBJECTS if any(step.met is Met.ROUTE for step in least.steps) else PLAIN
    return _steps(ends_at, {subject: texts[subject is ends_at] for subject, texts in said.items()}, subjects)


def ends(trace: Traced) -> Subject | None:
    """Where the packet ends, as the endpoint's owner may read it; None if it passes."""
    if trace.passes:
        return None
    refusing = next((step.met for step in trace.steps if step.outcome is Outcome.REFUSED), Met.BACKEND)
    return READ_AS.get(refusing, Subject.BACKEND)


def passes(steps: Sequence[PassageStep]) -> bool:
    return all(step.outcome is Outcome.PASSED for step in steps)


def _hindrance(state: Known, joined: Collection[str], found: Mapping[str, Finding]) -> str:
    """Why no gateway can be believed; empty where each has said what becomes of the packet."""
    if not isinstance(state, Creating | Accepted):
        return of_state(state).message
    if not joined:
        return "no gateway is there to carry it"
    if any(gateway not in found for gateway in joined):
        return "a gateway of its cell did not answer"
    for each in found.values():
        if not each.has_it:
            return public_reason(each.hindrance)
        if each.trace is None:
            return "a gateway of its cell cannot tell"
    return _behind(state.facts, found)


def _behind(facts: Facts, found: Mapping[str, Finding]) -> str:
    behind = any(each.generation < facts.generation for each in found.values())
    return "a gateway has yet to take in its last change" if behind else ""


def _steps(
    ends_at: Subject | None, said: Mapping[Subject, str], subjects: Sequence[Subject]
) -> tuple[PassageStep, ...]:
    steps, outcome = [], Outcome.PASSED
    for subject in subjects:
        refuses = subject is ends_at
        here = Outcome.REFUSED if refuses else outcome
        steps.append(PassageStep(subject, here, "" if here is Outcome.NOT_REACHED else said[subject]))
        outcome = Outcome.NOT_REACHED if refuses else outcome
    return tuple(steps)

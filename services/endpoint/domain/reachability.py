"""What stands in the way of an endpoint's packets, step by step, from what gateways found. Pure.

The consumer reads nothing of the service's network in it, and the service's owner nothing of the consumer's.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, IntEnum

from services.endpoint.domain.endpoint import Accepted, Creating, Failed, Known, PendingAcceptance, Rejected
from services.endpoint.domain.facts import Facts
from services.endpoint.domain.presence import public_reason
from services.endpoint.domain.traced import Traced

OF_THE_SERVICE = ("backends of the service", "the service ")
"""How hindrances begin that the service's owner may read."""


class PortOutcome(IntEnum):
    """What a gateway found of a port of a backend, the best first."""

    OPEN = 1
    PRESENT = 2
    NO_PROXY = 3
    REFUSED = 4
    SILENT = 5
    UNRESOLVED = 6


@dataclass(frozen=True, slots=True)
class Port:
    """A port of a backend."""

    address: str
    port: int
    protocol: str


@dataclass(frozen=True, slots=True)
class Finding:
    """What a gateway found. `claimants` are MAC addresses of others who say that the endpoint's address is theirs."""

    position: int
    generation: int
    has_it: bool
    hindrance: str = ""
    answers_arp: bool = False
    mac: str = ""
    claimants: tuple[str, ...] = ()
    ports: Mapping[Port, PortOutcome] | None = None
    trace: Traced | None = None


class Subject(Enum):
    """What is looked at, in the order of a packet's way."""

    STATE = "state"
    ADDRESS = "address"
    GATEWAYS = "gateways"
    ARP = "arp"
    BACKENDS = "backends"


class Outcome(Enum):
    PASSED = "passed"
    FAILED = "failed"
    NOT_TRIED = "not tried"


@dataclass(frozen=True, slots=True)
class Step:
    """What was looked at, and what came of it, in a sentence."""

    subject: Subject
    outcome: Outcome
    message: str


NOT_FORWARDED = "no gateway forwards it in this state"
NOT_ANSWERED = "no gateway that has it has answered"
NO_PROXY = "the service's backend ended the connection when it was told of the client: its owner must put that right"
NO_PROXY_PROVIDER = (
    "the service's backend does not speak the PROXY protocol: it ended the connection, or complained, when it was sent "
    "a header. Have it expect PROXY protocol version 2 on this port, or publish the port with another client identity"
)


def for_consumer(state: Known, joined: Collection[str], found: Mapping[str, Finding]) -> tuple[Step, ...]:
    """All the steps, as the endpoint's owner may read them."""
    address = _passed(Subject.ADDRESS, _addressed(state.facts))
    if not isinstance(state, Creating | Accepted):
        skipped = (Subject.GATEWAYS, Subject.ARP, Subject.BACKENDS)
        return (of_state(state), address, *(Step(each, Outcome.NOT_TRIED, NOT_FORWARDED) for each in skipped))
    having = [each for each in found.values() if each.has_it]
    gateways = _gateways(state.facts, joined, found, public_reason)
    return (of_state(state), address, gateways, _arp(state.facts, joined, having), _backends(having, NO_PROXY))


def for_provider(state: Known, joined: Collection[str], found: Mapping[str, Finding]) -> tuple[Step, ...]:
    """The steps on the service's side."""
    if not isinstance(state, Creating | Accepted):
        skipped = (Subject.GATEWAYS, Subject.BACKENDS)
        return (of_state(state), *(Step(each, Outcome.NOT_TRIED, NOT_FORWARDED) for each in skipped))
    having = [each for each in found.values() if each.has_it]
    gateways = _gateways(state.facts, joined, found, _service_reason)
    return (of_state(state), gateways, _backends(having, NO_PROXY_PROVIDER))


def worst(found: Iterable[Finding]) -> Mapping[Port, PortOutcome]:
    """Each port as the gateway that fared worst with it found it."""
    ports: dict[Port, PortOutcome] = {}
    for finding in found:
        for port, outcome in (finding.ports or {}).items():
            ports[port] = max(outcome, ports.get(port, outcome))
    return ports


def passed(steps: Sequence[Step]) -> bool:
    return all(step.outcome is Outcome.PASSED for step in steps)


def of_state(state: Known) -> Step:
    match state:
        case Accepted():
            return _passed(Subject.STATE, "the connection is accepted")
        case Creating():
            return _passed(Subject.STATE, "the connection is approved, and gateways are about to carry it")
        case PendingAcceptance():
            return _failed(Subject.STATE, "the service's owner has yet to accept it")
        case Rejected(reason=reason):
            return _failed(Subject.STATE, reason or "the service's owner rejected it")
        case Failed(reason=reason):
            return _failed(Subject.STATE, f"it has failed: {reason}")
        case _:
            return _failed(Subject.STATE, "it is being deleted")


def _gateways(
    facts: Facts, joined: Collection[str], found: Mapping[str, Finding], readable: Callable[[str], str]
) -> Step:
    subject = Subject.GATEWAYS
    if not joined:
        return _failed(subject, "no gateway is there to carry it")
    if silent := [gateway for gateway in joined if gateway not in found]:
        return _failed(subject, f"{_silent(len(silent), len(joined))} of its cell did not answer")
    for each in found.values():
        if not each.has_it:
            return _failed(subject, readable(each.hindrance))
        if each.generation < facts.generation:
            return _failed(subject, "a gateway has yet to take in its last change")
    position = min(each.position for each in found.values())
    text = f"{_gateways_are(joined)} of its cell carry it as of generation {facts.generation}, position {position}"
    return _passed(subject, text if len(joined) > 1 else text.replace("carry it", "carries it"))


def _addressed(facts: Facts) -> str:
    if facts.routing is None:
        return f"{facts.address} is reserved for it in its subnet"
    return f"its route tables lead {_reached_by(facts)} to it"


def _reached_by(facts: Facts) -> str:
    """Of one with routes, all its public prefixes: gateways answer for every address of theirs."""
    return str(facts.address) if facts.routing is None else ", ".join(map(str, facts.routing.prefixes))


def _arp(facts: Facts, joined: Collection[str], having: Sequence[Finding]) -> Step:
    subject, address = Subject.ARP, _reached_by(facts)
    if not having:
        return Step(subject, Outcome.NOT_TRIED, NOT_ANSWERED)
    if not all(each.answers_arp for each in having):
        return _failed(subject, f"a gateway does not answer for {address} in its VPC, or does not reach it")
    ours = {each.mac for each in having}
    others = sorted({mac for each in having for mac in each.claimants} - ours)
    if others and len(having) == len(joined):  # else it may be a gateway that has not said which its own is
        return _failed(subject, f"another machine in its VPC ({others[0]}) says that {address} is its own")
    return _passed(subject, f"{address} is answered for in its VPC")


def _backends(having: Sequence[Finding], no_proxy: str) -> Step:
    """Every published port must have a backend for each gateway; how many backends there are is nobody's to know."""
    subject = Subject.BACKENDS
    if not having:
        return Step(subject, Outcome.NOT_TRIED, NOT_ANSWERED)
    best = [outcome for each in having for outcome in _best_of_each_port(each)]
    if not best:
        return _failed(subject, "the service has no backend")
    outcome = max(best)
    where = " on some of its ports" if min(best) < PortOutcome.NO_PROXY <= outcome else ""
    match outcome:
        case PortOutcome.OPEN:
            return _passed(subject, "the service's backend takes connections")
        case PortOutcome.PRESENT:
            return _passed(subject, "the service's backend is there; whether UDP is answered cannot be told from here")
        case PortOutcome.NO_PROXY:
            return _failed(subject, no_proxy)
        case PortOutcome.REFUSED:
            return _failed(subject, f"the service's backend refused{where}")
        case _:
            return _failed(subject, f"no backend of the service answers{where}")


def _best_of_each_port(finding: Finding) -> Iterable[PortOutcome]:
    best: dict[tuple[int, str], PortOutcome] = {}
    for port, outcome in (finding.ports or {}).items():
        key = (port.port, port.protocol)
        best[key] = min(outcome, best.get(key, outcome))
    return best.values()


def _gateways_are(joined: Collection[str]) -> str:
    return "the one gateway" if len(joined) == 1 else f"the {len(joined)} gateways"


def _silent(silent: int, joined: int) -> str:
    return "the one gateway" if joined == 1 else f"{silent} of {joined} gateways"


def _service_reason(reason: str) -> str:
    return reason if reason.startswith(OF_THE_SERVICE) else "a gateway is not ready to carry it"


def _passed(subject: Subject, message: str) -> Step:
    return Step(subject, Outcome.PASSED, message)


def _failed(subject: Subject, message: str) -> Step:
    return Step(subject, Outcome.FAILED, message)

"""Whether backends are well: what a check finds, what follows for new sessions, and how it is said. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from services.gateway_agent.table import Address, HealthCheck


class Condition(StrEnum):
    """What is thought of a backend; the best first."""

    WELL = "well"
    UNKNOWN = "unknown"  # it was not asked yet, or has not failed often enough
    UNHEALTHY = "unhealthy"


class Failure(StrEnum):
    """What a check that failed met with."""

    UNRESOLVED = "unresolved"  # the machine does not answer ARP
    REFUSED = "refused"
    UNREACHABLE = "unreachable"  # a machine on the way says so, by ICMP
    SILENT = "silent"  # nothing within the timeout
    CLOSED = "closed"  # the connection ended before there was an answer
    STATUS = "status"  # HTTP with another status than those that are wanted
    NOT_HTTP = "not_http"


@dataclass(frozen=True, slots=True)
class Answer:
    """What one check found: well if there is no failure. `seconds` it took; `status` is HTTP's, 0 without one."""

    failure: Failure | None = None
    status: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Health:
    """A backend's condition, and how many answers in a row speak against it."""

    condition: Condition = Condition.UNKNOWN
    against: int = 0

    def after(self, answer: Answer, check: HealthCheck) -> "Health":
        """A first success tells enough of a backend that nothing is known of; for the rest the thresholds count."""
        failed = answer.failure is not None
        match self.condition:
            case Condition.UNHEALTHY:
                return self._turned(not failed, check.healthy_after, Condition.WELL)
            case Condition.UNKNOWN if not failed:
                return Health(Condition.WELL)
            case _:
                return self._turned(failed, check.unhealthy_after, Condition.UNHEALTHY)

    def _turned(self, speaks_against: bool, enough: int, to: Condition) -> "Health":
        against = self.against + 1 if speaks_against else 0
        return Health(to) if against >= enough else Health(self.condition, against)


def preferred(conditions: Mapping[Address, Condition]) -> frozenset[Address]:
    """Of backends that could take new sessions, those that do: the well ones, or else those that nothing is known of.

    Where all are unhealthy all take them: a check that is wrong (a path that moved, a firewall in its way) must not
    make an outage of backends that serve, and clients of those that do not are no worse off refused by them than here.
    """
    for condition in Condition:
        if found := frozenset(address for address, each in conditions.items() if each is condition):
            return found
    return frozenset()


@dataclass(frozen=True, slots=True)
class BackendHealth:
    """How a backend is. Moments are nanoseconds since the epoch, 0 for never; `median` is of the last checks that it
    answered, in seconds. `takes_sessions`: new ones go to it.
    """

    address: Address
    condition: Condition = Condition.UNKNOWN
    since: int = 0
    takes_sessions: bool = False
    draining: bool = False
    failure: Failure | None = None  # the last one, however long ago
    error: str = ""  # the same in words that name no address
    failed_at: int = 0
    median: float | None = None
    checks: int = 0  # made since it is asked


@dataclass(frozen=True, slots=True)
class ServiceHealth:
    """How the backends of a service are that asks for health checks, in the order in which it lists them."""

    service: str
    backends: tuple[BackendHealth, ...] = ()

    @property
    def none_is_well(self) -> bool:
        """Whether new sessions go to backends that are known to be unhealthy, because there are no others."""
        takers = [each for each in self.backends if each.takes_sessions]
        return bool(takers) and all(each.condition is Condition.UNHEALTHY for each in takers)


@dataclass(frozen=True, slots=True)
class HealthFigures:
    """Counted over all services: checks by outcome since the agent began, backends by condition now."""

    checks: Mapping[str, int] = field(default_factory=dict)
    backends: Mapping[Condition, int] = field(default_factory=dict)


WELL = "well"
OUTCOMES = (WELL, *(failure.value for failure in Failure))
"""What a check can come to, as metrics name it."""


def outcome(answer: Answer) -> str:
    return answer.failure.value if answer.failure else WELL


def words(answer: Answer, check: HealthCheck) -> str:
    """What an answer says in words that name no address, and nothing that a backend said; empty if it is well."""
    match answer.failure:
        case None:
            return ""
        case Failure.UNRESOLVED:
            return "it does not answer ARP"
        case Failure.REFUSED:
            return f"connection refused at port {check.port}"
        case Failure.UNREACHABLE:
            return f"port {check.port} is said to be unreachable"
        case Failure.SILENT:
            return f"no answer from port {check.port} within {check.timeout} s"
        case Failure.CLOSED:
            return f"connection to port {check.port} closed before there was an answer"
        case Failure.STATUS:
            return f"HTTP status {answer.status} from port {check.port}"
        case Failure.NOT_HTTP:
            return f"no HTTP from port {check.port}"


def why_none_is_well(health: ServiceHealth) -> str | None:
    """What is wrong with those backends that take new sessions; None where one of them is not known to be unhealthy."""
    if not health.none_is_well:
        return None
    reasons = [f"{each.address}: {each.error}" for each in health.backends if each.takes_sessions]
    if len(reasons) == 1:
        return f"backend {reasons[0]}"
    return f"none of the backends is well: {'; '.join(reasons)}"

"""What gateways have reported of endpoints, and what it says of an endpoint. Kept in memory: agents report anew."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from enum import Enum

from services.endpoint.domain.endpoint import Accepted, Creating, Failed, Known, PendingAcceptance, Rejected

SHOWN_REASONS = frozenset(
    {
        "a gateway cannot set it up yet",
        "a gateway has not heard of the service yet",
        "a gateway is starting the proxy anew that tells backends of the service who a client is",
        "a gateway lacks HAProxy, which tells backends of the service who a client is: its operator must install the "
        "package haproxy there",
        "backends of the service cannot be reached from a gateway",
        "backends of the service do not answer a gateway",
        "its VPC cannot be reached from a gateway",
        "the service takes no new connections at present",
        "this gateway has no source address for it yet",
    }
)
"""The words in which gateways say what hinders, as far as an endpoint's owner may read them."""


NOT_WELL = "backends of the service fail their health checks"

WAITING: Mapping[type[Known], str] = {
    PendingAcceptance: "the service's owner has yet to accept it",
    Rejected: "the service's owner rejected it",
}
"""Why no packet passes in these states."""


class Presence(Enum):
    """What a gateway can have of an endpoint."""

    FORWARDING = "packets pass"
    ABSENT = "nothing of it is left"
    HINDERED = "it should be forwarded, and something hinders"


@dataclass(frozen=True, slots=True)
class Statement:
    """What a gateway says of an endpoint at a generation; `reason` is what hinders.

    `sources_wanted` is how many source addresses its sessions need in all; 0: it has enough.
    """

    gateway: str
    endpoint: str
    generation: int
    presence: Presence
    reason: str = ""
    sources_wanted: int = 0


@dataclass(frozen=True, slots=True)
class Report:
    """What is kept of a statement. `since` is when presence or reason last changed (nanoseconds)."""

    generation: int
    presence: Presence
    reason: str
    since: int
    applied: int

    @property
    def forwarding(self) -> bool:
        return self.presence is Presence.FORWARDING


@dataclass(frozen=True, slots=True)
class Standing:
    """As much of an endpoint as its readiness depends on; `failure` is why it failed, if it did."""

    endpoint: str
    stage: type[Known]
    generation: int
    updated_at: int
    failure: str = ""


def standing(state: Known) -> Standing:
    facts, failure = state.facts, state.reason if isinstance(state, Failed) else ""
    return Standing(facts.id, type(state), facts.generation, facts.updated_at, failure)


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether packets pass, and if not, why: in words that name nothing of the other side."""

    status: bool
    reason: str
    since: int
    applied_generation: int


class Reports:
    """The last report of each gateway on each endpoint."""

    def __init__(self) -> None:
        self._by_endpoint: dict[str, dict[str, Report]] = {}

    def note(self, said: Statement, at: int) -> None:
        """Takes in a statement, unless the gateway has spoken of a later generation."""
        reports = self._by_endpoint.setdefault(said.endpoint, {})
        before = reports.get(said.gateway)
        if before and said.generation < before.generation:
            return
        same = before is not None and (before.presence, before.reason) == (said.presence, said.reason)
        reports[said.gateway] = Report(
            said.generation,
            said.presence,
            said.reason,
            since=before.since if before and same else at,
            applied=_applied(before, said),
        )

    def forget_gateway(self, gateway: str) -> None:
        """It begins anew: what it said before is void."""
        for reports in self._by_endpoint.values():
            reports.pop(gateway, None)

    def forget_endpoint(self, endpoint: str) -> None:
        self._by_endpoint.pop(endpoint, None)

    def all_forward(self, endpoint: str, generation: int, joined: Collection[str]) -> bool:
        """Whether there are gateways, and each of them forwards this generation."""
        return bool(joined) and self._all(endpoint, generation, joined, Presence.FORWARDING)

    def none_has(self, endpoint: str, generation: int, unfenced: Collection[str]) -> bool:
        """Whether each gateway that might have something of the endpoint has said that it has not."""
        return self._all(endpoint, generation, unfenced, Presence.ABSENT)

    def _all(self, endpoint: str, generation: int, gateways: Collection[str], presence: Presence) -> bool:
        reports = self._by_endpoint.get(endpoint, {})
        return all(
            (report := reports.get(gateway)) is not None
            and report.presence is presence
            and report.generation == generation
            for gateway in gateways
        )

    def readiness(self, standing: Standing, joined: Collection[str]) -> Readiness:
        reports = self._by_endpoint.get(standing.endpoint, {})
        heard = [reports[gateway] for gateway in joined if gateway in reports]
        complete = bool(joined) and len(heard) == len(joined)
        applied = min(report.applied for report in heard) if complete else 0
        reason = _hindrance(standing, heard, bool(joined), complete)
        telling = heard if not reason else [report for report in heard if report.presence is Presence.HINDERED]
        since = max((standing.updated_at, *(report.since for report in telling))) if telling else standing.updated_at
        return Readiness(not reason, reason, since, applied)


def _applied(before: Report | None, said: Statement) -> int:
    if said.presence is Presence.HINDERED:
        return before.applied if before else 0
    return said.generation


def _hindrance(standing: Standing, heard: Collection[Report], any_joined: bool, complete: bool) -> str:
    """Why no packet passes; empty where they pass."""
    if standing.stage not in (Creating, Accepted):
        return standing.failure or WAITING.get(standing.stage, "it is being deleted")
    hindered = [report for report in heard if report.presence is Presence.HINDERED]
    if hindered:
        return public_reason(hindered[0].reason)
    if not any_joined:
        return "no gateway is there to carry it"
    current = standing.stage is Accepted or all(report.generation == standing.generation for report in heard)
    passing = complete and current and all(report.forwarding for report in heard)
    return "" if passing else "its gateways have yet to confirm it"


def behind(readiness: Readiness, failing_since: int) -> Readiness:
    """What is behind an endpoint counts, too: packets pass to backends none of which has been well since then (0: some
    are).
    """
    if not readiness.status or not failing_since:
        return readiness
    return replace(readiness, status=False, reason=NOT_WELL, since=max(readiness.since, failing_since))


def public_reason(reason: str) -> str:
    """What the consumer reads: words of a gateway that are not known to name nothing of the provider's stay here."""
    return reason if reason in SHOWN_REASONS else "a gateway is not ready to carry it"

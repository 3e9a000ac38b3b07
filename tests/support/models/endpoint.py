"""Endpoints by their rules: both sides of each connection, gateways with their leases and reports, and what time does.

Times are seconds. What follows from a command or from time is drawn by `settle`, as the law's table has it.
"""

from collections.abc import Iterator, Set
from dataclasses import dataclass, field

from services.common.errors import NotFound, QuotaReached, Refused, WrongState
from services.common.principal import Principal

Refusals = Set[type[Refused]]
FINE: Refusals = frozenset()

PENDING, CREATING, ACCEPTED, REJECTED = "PENDING_ACCEPTANCE", "CREATING", "ACCEPTED", "REJECTED"
FAILED, DELETING, DELETED = "FAILED", "DELETING", "DELETED"
LIVE = {PENDING, CREATING, ACCEPTED, REJECTED}
CONNECTED = {PENDING, CREATING, ACCEPTED}
PASSES = {CREATING, ACCEPTED}
"""The states in which gateways are told to let packets pass."""

JOINED, LOST, RETIRED = "joined", "lost", "retired"
FORWARDING, ABSENT = "forwarding", "absent"
LEASE, FENCE, CREATION = 30, 3600, 120


@dataclass
class Service:
    """`accepts` is a tag with which nobody is asked; 0 is for ever, and no limit."""

    approval: bool = True
    accepts: str = ""
    pending_for: int = 0
    accepted_for: int = 0
    per_account: int = 0
    gone: bool = False


@dataclass
class Endpoint:
    """`generation` is what the service says that it is: it is compared with reports, and with nothing else."""

    owner: Principal
    service: str
    state: str
    requested_at: int
    approved_at: int = 0
    by_owner: bool = False
    expires_at: int = 0
    drain_until: int = 0
    name: str = ""
    note: str = ""
    generation: int = 1
    reports: dict[str, tuple[int, str]] = field(default_factory=dict)


@dataclass
class Gateway:
    cell: str
    stage: str = JOINED
    lease_ends: int = 0
    fenced_at: int = 0
    session: str = ""


@dataclass
class Endpoints:
    provider: Principal
    quota: int
    now: int = 0
    attached: bool = True
    services: dict[str, Service] = field(default_factory=dict)
    endpoints: dict[str, Endpoint] = field(default_factory=dict)
    gateways: dict[str, Gateway] = field(default_factory=dict)

    def there(self) -> Iterator[tuple[str, Endpoint]]:
        return ((id_, each) for id_, each in self.endpoints.items() if each.state != DELETED)

    # what consumers ask

    def request(self, who: Principal, service: str) -> Refusals:
        found = self.services.get(service)
        if found is None or found.gone:
            return {NotFound}
        if not self.attached:
            return {WrongState}
        theirs = [each for _, each in self.there() if each.owner == who]
        at_this = [each for _, each in self.there() if (each.owner.account, each.service) == (who.account, service)]
        full = len(theirs) >= self.quota or (found.per_account and len(at_this) >= found.per_account)
        return {QuotaReached} if full else FINE

    def requested(self, id_: str, who: Principal, service: str, tag: str) -> None:
        made, published = Endpoint(who, service, PENDING, self.now), self.services[service]
        made.expires_at = self.now + published.pending_for if published.pending_for else 0
        self.endpoints[id_] = made
        if not published.approval or (tag and tag == published.accepts):
            self._approve(made)

    def _owned(self, who: Principal, id_: str, *, even_gone: bool = False) -> Refusals:
        found = self.endpoints.get(id_)
        seen = found is not None and found.owner == who and (even_gone or found.state != DELETED)
        return FINE if seen else {NotFound}

    def look(self, who: Principal, id_: str) -> Refusals:
        return self._owned(who, id_)

    def change(self, who: Principal, id_: str) -> Refusals:
        if hidden := self._owned(who, id_):
            return hidden
        return FINE if self.endpoints[id_].state in LIVE else {WrongState}

    def delete(self, who: Principal, id_: str) -> Refusals:
        """Again, and of what is gone, is not an error."""
        return self._owned(who, id_, even_gone=True)

    def deleted(self, id_: str, drain: int = 0) -> None:
        if self.endpoints[id_].state != DELETED:
            self._end(self.endpoints[id_], DELETING, drain)

    # what the service's owner asks

    def look_at_connection(self, who: Principal, service: str, id_: str) -> Refusals:
        found = self.endpoints.get(id_)
        seen = found is not None and (who, service) == (self.provider, found.service) and found.state != DELETED
        return FINE if seen else {NotFound}

    def decide(self, who: Principal, service: str, id_: str) -> Refusals:
        """To accept and to reject: what has ended by itself, or is being deleted, is decided on no more."""
        if hidden := self.look_at_connection(who, service, id_):
            return hidden
        return FINE if self.endpoints[id_].state in LIVE else {WrongState}

    def accepted(self, id_: str, until: int = 0) -> None:
        if (endpoint := self.endpoints[id_]).state not in PASSES:
            self._approve(endpoint, until)
            endpoint.by_owner = True

    def rejected(self, id_: str, drain: int = 0) -> None:
        self._end(self.endpoints[id_], REJECTED, drain)

    def _end(self, endpoint: Endpoint, state: str, drain: int) -> None:
        """What is under way is not lengthened, and where no packet passed there is nothing to drain."""
        until = self.now + drain if drain else 0
        drained = until if endpoint.state in PASSES else min(until, endpoint.drain_until)
        self._become(endpoint, state)
        endpoint.drain_until = drained

    def _approve(self, endpoint: Endpoint, until: int = 0) -> None:
        for_ = self.services[endpoint.service].accepted_for
        endpoint.approved_at, endpoint.state, endpoint.drain_until = self.now, CREATING, 0
        endpoint.expires_at = until or (self.now + for_ if for_ else 0)

    def _become(self, endpoint: Endpoint, state: str) -> None:
        endpoint.state, endpoint.expires_at, endpoint.drain_until = state, 0, 0

    # what the registry tells

    def withdrawn(self, service: str) -> None:
        self.services[service].gone = True
        for _, endpoint in self.there():
            if endpoint.service == service and endpoint.state in LIVE:
                self._become(endpoint, FAILED)
            if endpoint.service == service:
                endpoint.drain_until = 0

    def forbidden(self, service: str, account: str) -> None:
        """A permission is removed with the connections that it had let in; not with what its owner accepts just now."""
        for _, endpoint in self.there():
            if (endpoint.service, endpoint.owner.account) == (service, account) and account != self.provider.account:
                accepted_now = endpoint.by_owner and endpoint.requested_at < endpoint.approved_at == self.now
                if endpoint.state == PENDING or (endpoint.state in PASSES and not accepted_now):
                    self._become(endpoint, REJECTED)

    # gateways

    def join(self, gateway: str, cell: str) -> Refusals:
        known = self.gateways.get(gateway)
        return {WrongState} if known and (known.stage == RETIRED or known.cell != cell) else FINE

    def joined(self, gateway: str, cell: str, session: str) -> None:
        """It begins anew: what it has said before is void."""
        self.gateways[gateway] = Gateway(cell, JOINED, self.now + LEASE, session=session)
        for endpoint in self.endpoints.values():
            endpoint.reports.pop(gateway, None)

    def retire(self, gateway: str) -> Refusals:
        return FINE if gateway in self.gateways else {NotFound}

    def heard(self, gateway: str, session: str) -> bool:
        """Whether it may speak; then its lease begins anew."""
        known = self.gateways.get(gateway)
        if known is None or known.stage != JOINED or not session or known.session != session:
            return False
        known.lease_ends = self.now + LEASE
        return True

    def reported(self, gateway: str, id_: str, generation: int, presence: str) -> None:
        """An older report than the last one changes nothing."""
        if (endpoint := self.endpoints.get(id_)) is not None and endpoint.state != DELETED:
            before = endpoint.reports.get(gateway, (0, ""))
            if generation >= before[0]:
                endpoint.reports[gateway] = (generation, presence)

    def restarted(self) -> None:
        """Sessions and reports were in memory; who is a member has one lease to come back."""
        for gateway in self.gateways.values():
            gateway.session, gateway.lease_ends = "", self.now + LEASE
        for endpoint in self.endpoints.values():
            endpoint.reports.clear()

    def members(self, *, lost: bool = False) -> set[str]:
        """The joined; with `lost` also those that may forward still, since they have not fenced themselves yet."""
        return {
            id_
            for id_, each in self.gateways.items()
            if each.cell == "default"
            and (each.stage == JOINED or (lost and each.stage == LOST and each.fenced_at > self.now))
        }

    # what follows

    def settle(self) -> None:
        for gateway in self.gateways.values():
            if gateway.stage == JOINED and gateway.lease_ends <= self.now:
                gateway.stage, gateway.fenced_at = LOST, self.now + FENCE
        for _, endpoint in self.there():
            self._conclude(endpoint)
            if endpoint.state in CONNECTED and 0 < endpoint.expires_at <= self.now:
                self._become(endpoint, REJECTED)
            if endpoint.drain_until <= self.now:
                endpoint.drain_until = 0

    def _conclude(self, endpoint: Endpoint) -> None:
        if endpoint.state == CREATING:
            if self.members() and self._all(endpoint, self.members(), FORWARDING):
                endpoint.state = ACCEPTED
            elif self.now - endpoint.approved_at >= CREATION:
                self._become(endpoint, FAILED)
        elif endpoint.state == DELETING and self._all(endpoint, self.members(lost=True), ABSENT):
            endpoint.state = DELETED

    def _all(self, endpoint: Endpoint, gateways: set[str], presence: str) -> bool:
        return all(endpoint.reports.get(gateway) == (endpoint.generation, presence) for gateway in gateways)

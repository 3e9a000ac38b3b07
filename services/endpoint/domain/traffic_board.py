"""What has passed for endpoints and services, summed over gateways: as they have told since this program began. Pure.

Kept in memory alone. What a gateway had counted before it was first heard is in nothing of it.
"""

import heapq
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TypeVar

from services.endpoint.domain.traffic import NOTHING, UNCOUNTED, Counted, since
from services.endpoint.domain.traffic_rates import Rate, rate
from services.endpoint.domain.traffic_series import Room
from services.endpoint.domain.traffic_tallies import (
    SECOND,
    Condition,
    EndpointTally,
    GatewayTally,
    Owned,
    Passing,
    ServiceTally,
    Tally,
    Told,
)

MOST_ENDPOINTS, MOST_SERVICES = 4000, 1000
"""Of so many there are samples: 15 kB each, and at the very worst 50."""

GONE_FOR = 60 * SECOND
"""So long after an endpoint is gone gateways may still tell what passed at last."""

K = TypeVar("K")
Changes = dict[str, Tally]
"""What comes for services, with one report."""


class Board:
    """`began_at` (nanoseconds since the epoch) is when it began to count."""

    def __init__(self, began_at: int, endpoints: int = MOST_ENDPOINTS, services: int = MOST_SERVICES) -> None:
        self.began_at, self.reports = began_at, 0
        self._gateways: dict[str, GatewayTally] = {}
        self._endpoints: dict[str, EndpointTally] = {}
        self._services: dict[str, ServiceTally] = {}
        self._owners: dict[str, dict[str, EndpointTally]] = {}
        self._providers: dict[str, dict[str, ServiceTally]] = {}
        self._gone: dict[str, int] = {}  # endpoints, and when they went, in that order
        self.of_endpoints, self.of_services = Room(endpoints), Room(services)

    # ---- what gateways tell

    def unknown(self, told: Told) -> list[str]:
        """Endpoints of a report of which it is not known whose they are."""
        return [id_ for id_, counted in told.endpoints if id_ not in self._endpoints and not counted.is_nothing]

    def take(self, gateway: str, cell: str, told: Told, owned: Mapping[str, Owned], now: int) -> None:
        """Takes in a report, once. Endpoints of another cell are left out, and those that nobody owns."""
        tally = self._gateways.setdefault(gateway, GatewayTally(now))
        if told.session != tally.session:
            tally.session, tally.number, tally.fresh, tally.told, tally.coming = told.session, 0, True, set(), Passing()
        if told.number <= tally.number:
            return
        tally.number, self.reports = told.number, self.reports + 1
        if told.counting != tally.counting:
            self._begin_anew(tally, told.counting, now)
        changes: Changes = {}
        for id_, counted in told.endpoints:
            endpoint = self._endpoints.get(id_) or self._begun(owned.get(id_), counted)
            if endpoint is not None and endpoint.of.cell == cell:
                self._count(tally, endpoint, counted, changes, now)
                if tally.fresh:
                    tally.told.add(id_)
        if told.complete and tally.fresh:
            for id_ in tally.counted.keys() - tally.told:
                self._count(tally, self._endpoints[id_], UNCOUNTED, changes, now)
        self._change_services(changes, now)
        came = tally.coming.add_services(changes)
        tally.total.add(came.passed, came.refused, 0)
        if told.complete:
            self._finish(tally, told, now)

    def lose(self, gateway: str, now: int) -> None:
        """Nothing is heard of it: its sessions are none, until it is back."""
        if tally := self._gateways.get(gateway):
            self._end_sessions(tally, now)
            tally.counted = {id_: replace(counted, sessions=0) for id_, counted in tally.counted.items()}
            tally.passing, tally.total.sessions = Passing(), 0

    def retire(self, gateway: str, now: int) -> None:
        """It is gone for good."""
        self.lose(gateway, now)
        self._gateways.pop(gateway, None)

    def forget(self, endpoint: str, now: int) -> None:
        """The endpoint is gone. For a while gateways may still tell of it."""
        tally = self._endpoints.get(endpoint)
        if tally is None or endpoint in self._gone:
            return
        self._gone[endpoint] = now
        _drop(self._owners, tally.of.owner, endpoint)
        service = self._services[tally.of.service]
        del service.endpoints[endpoint]
        service.going += 1

    def _begin_anew(self, tally: GatewayTally, counting: str, now: int) -> None:
        """Other counters count, from 0 on."""
        self._end_sessions(tally, now)
        tally.counted, tally.counting, tally.condition = {}, counting, Condition()

    def _begun(self, of: Owned | None, counted: Counted) -> EndpointTally | None:
        if of is None or counted.is_nothing:
            return None
        tally = self._endpoints[of.endpoint] = EndpointTally(of=of)
        service = self._services.setdefault(of.service, ServiceTally(provider=of.provider))
        service.endpoints[of.endpoint] = tally
        self._owners.setdefault(of.owner, {})[of.endpoint] = tally
        self._providers.setdefault(of.provider, {})[of.service] = service
        return tally

    def _count(
        self, tally: GatewayTally, endpoint: EndpointTally, counted: Counted, changes: Changes, now: int
    ) -> None:
        id_ = endpoint.of.endpoint
        known = tally.counted.get(id_)
        before = known or UNCOUNTED
        passed, refused = (NOTHING, {}) if known is None and tally.learning else since(before, counted)
        if counted.is_nothing:
            tally.counted.pop(id_, None)
        else:
            tally.counted[id_] = counted
        if passed is not NOTHING or refused:
            tally.coming.add(id_, passed, refused)
        sessions = counted.sessions - before.sessions
        if sessions or refused or passed is not NOTHING:
            self._add(endpoint, Tally(sessions, passed, {**refused}), changes, now)

    def _add(self, endpoint: EndpointTally, change: Tally, changes: Changes, now: int) -> None:
        of = endpoint.of
        endpoint.join(change)
        self.of_endpoints.add(of.endpoint, now, change.passed, change.refused, endpoint.sessions)
        if of.service in changes:
            changes[of.service].join(change)
        else:
            changes[of.service] = change

    def _change_services(self, changes: Changes, now: int) -> None:
        for id_, change in changes.items():
            service = self._services[id_]
            service.join(change)
            self.of_services.add(id_, now, change.passed, change.refused, service.sessions)

    def _end_sessions(self, tally: GatewayTally, now: int) -> None:
        changes: Changes = {}
        for id_, counted in tally.counted.items():
            if counted.sessions:
                self._add(self._endpoints[id_], Tally(-counted.sessions), changes, now)
        self._change_services(changes, now)

    def _finish(self, tally: GatewayTally, told: Told, now: int) -> None:
        tally.hear(told.condition)
        tally.learning = tally.fresh = False
        tally.told, tally.heard_at = set(), now
        tally.passing, tally.coming = tally.coming, Passing()
        tally.passing.interval = told.interval
        self._purge(now)

    def _purge(self, now: int) -> None:
        while self._gone and now - next(iter(self._gone.values())) > GONE_FOR:
            id_ = next(iter(self._gone))
            del self._gone[id_]
            self._leave(self._endpoints.pop(id_))

    def _leave(self, endpoint: EndpointTally) -> None:
        """Nothing of it is kept, and nothing of its service where it was the last."""
        of, service = endpoint.of, self._services[endpoint.of.service]
        self.of_endpoints.forget(of.endpoint)
        for tally in self._gateways.values():
            tally.counted.pop(of.endpoint, None)
        service.sessions -= endpoint.sessions
        service.going -= 1
        if not service.endpoints and not service.going:
            del self._services[of.service]
            self.of_services.forget(of.service)
            _drop(self._providers, of.provider, of.service)

    # ---- what there is to read

    def __len__(self) -> int:
        return len(self._endpoints)

    def endpoint(self, id_: str) -> EndpointTally | None:
        return None if id_ in self._gone else self._endpoints.get(id_)

    def service(self, id_: str, provider: str) -> ServiceTally | None:
        """None where it is another's, too."""
        found = self._services.get(id_)
        return found if found is not None and found.provider == provider else None

    def gateway(self, id_: str) -> GatewayTally | None:
        return self._gateways.get(id_)

    def rate_of_endpoint(self, id_: str, now: int) -> Rate:
        return rate((each.passing.endpoints.get(id_), each.passing.interval) for each in self._heard(now))

    def rate_of_service(self, id_: str, now: int) -> Rate:
        return rate((each.passing.services.get(id_), each.passing.interval) for each in self._heard(now))

    def passing(self, project: str, after: str, limit: int, now: int) -> list[EndpointTally]:
        """Endpoints of the project and of its services with sessions, or packets of late, behind an id, in order."""
        heard = list(self._heard(now))
        groups = [self._owners.get(project, {})]
        groups += [service.endpoints for service in self._providers.get(project, {}).values()]
        found = {
            id_
            for group in groups
            for id_, tally in group.items()
            if id_ > after and (tally.sessions or any(id_ in each.passing.endpoints for each in heard))
        }
        return [self._endpoints[id_] for id_ in heapq.nsmallest(limit, found)]

    def _heard(self, now: int) -> Iterator[GatewayTally]:
        return (tally for tally in self._gateways.values() if tally.is_heard(now))


def _drop(index: dict[str, dict[str, K]], key: str, id_: str) -> None:
    group = index.get(key, {})
    group.pop(id_, None)
    if not group:
        index.pop(key, None)

"""What passes for entries that annexes have put into a table, told as what passes for whom they are there for. Pure.

An endpoint's own traffic is what its clients send and get: what a proxy makes of it is the same once more.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Self

from services.gateway_agent.annexes import inner_id
from services.gateway_agent.sources import NO_SOURCE_PORT
from services.gateway_agent.table import Endpoint, Entry, ForwardingTable, Key, Kind, Service
from services.gateway_agent.traffic import Traffic


def is_beside(endpoint: Endpoint, leads_to: Entry | None) -> bool:
    """Whether it is no endpoint that anybody has asked for: a proxy's, or a resolver's."""
    return endpoint.proxy == endpoint.service or (isinstance(leads_to, Service) and leads_to.keeps_source)


@dataclass(frozen=True, slots=True)
class Beside:
    """The ids of a table's endpoints that nobody has asked for, and by endpoint the one that its proxy connects to."""

    hidden: frozenset[str] = frozenset()
    inner: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, table: ForwardingTable) -> Self:
        entries = table.entries
        endpoints = [entry for entry in entries.values() if isinstance(entry, Endpoint)]
        hidden = [each for each in endpoints if is_beside(each, entries.get(Key(Kind.SERVICE, each.service)))]
        told = [each for each in endpoints if each.proxy and each.proxy != each.service]
        return cls(frozenset(each.id for each in hidden), {each.id: inner_id(each.id) for each in told})

    def own(self, traffic: Mapping[str, Traffic]) -> Mapping[str, Traffic]:
        """What has passed for the endpoints that somebody has asked for. Where an endpoint's proxy is refused a source
        port, the endpoint is."""
        if not self.hidden:
            return traffic
        own = {id_: passed for id_, passed in traffic.items() if id_ not in self.hidden}
        for endpoint, inner in self.inner.items():
            refused = traffic[inner].refused.get(NO_SOURCE_PORT, 0) if inner in traffic else 0
            if refused and (passed := own.get(endpoint)) is not None:
                added = Counter(passed.refused) + Counter({NO_SOURCE_PORT: refused})
                own[endpoint] = replace(passed, refused=dict(added))
        return own

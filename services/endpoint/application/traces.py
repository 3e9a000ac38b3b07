"""Asking gateways what becomes of a client's packet: for the operator in full, for the endpoint's owner in part."""

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address

from services.common.errors import Invalid, NotFound
from services.common.principal import Principal
from services.endpoint.application.reachability import Reachability
from services.endpoint.domain import passage
from services.endpoint.domain.endpoint import Accepted, Creating
from services.endpoint.domain.facts import Facts
from services.endpoint.domain.passage import PassageStep
from services.endpoint.domain.reachability import Finding
from services.endpoint.domain.traced import Opening


@dataclass(frozen=True, slots=True)
class Traces:
    """What became of a packet, by gateway: None for one that did not answer."""

    facts: Facts
    found: Mapping[str, Finding | None]


class PacketTraces:
    """Traces count among the tests of a project: see Reachability."""

    def __init__(self, reachability: Reachability) -> None:
        self._reachability = reachability

    async def of_packet(self, endpoint: str, opening: Opening, gateway: str, by: Principal) -> Traces:
        """For the operator, whatever state the endpoint is in. Raises NotFound."""
        state = await self._reachability.state(endpoint)
        if state is None:
            raise NotFound("endpoint", endpoint)
        _check_family(state.facts, opening)
        joined = self._reachability.joined(state)
        if gateway and gateway not in joined:
            raise NotFound("gateway", gateway)
        asked = [gateway] if gateway else sorted(joined)
        found = await self._reachability.ask(state, by, asked, opening)
        return Traces(state.facts, {each: found.get(each) for each in asked})

    async def of_endpoint(self, endpoint: str, opening: Opening, by: Principal) -> tuple[PassageStep, ...]:
        """For the endpoint's owner. Raises NotFound for anybody else."""
        state = await self._reachability.state(endpoint)
        if state is None or state.facts.owner != by:
            raise NotFound("endpoint", endpoint)
        _check_family(state.facts, opening)
        joined, found = self._reachability.joined(state), {}
        if isinstance(state, Creating | Accepted):
            found = dict(await self._reachability.ask(state, by, joined, opening))
        return passage.for_owner(state, joined, found, opening)


def _check_family(facts: Facts, opening: Opening) -> None:
    """Raises Invalid where the client's address is of another family than the endpoint's."""
    if ip_address(opening.source).version != facts.address.version:
        text = f"{opening.source} cannot be a client of {facts.address}: one is IPv4, the other IPv6"
        raise Invalid("WRONG_FAMILY", text, field="opening.source")

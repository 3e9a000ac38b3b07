"""What becomes of a gateway-type endpoint's routes when its tables, their subnets, its policy or its service change."""

from dataclasses import dataclass, replace

from services.common.addressing import Network
from services.common.errors import Invalid
from services.endpoint.domain import policy
from services.endpoint.domain.facts import Facts, Whitelist
from services.endpoint.domain.routes import Port, Routing


@dataclass(frozen=True, slots=True)
class Rerouting:
    """What is known now of an endpoint's route tables and of its service. None is as it was.

    Without ports it is not known what the service publishes: then the routes stay as long as the policy does.
    """

    tables: tuple[str, ...] | None = None
    subnets: tuple[Network, ...] | None = None
    ports: frozenset[Port] | None = None


def rerouted(facts: Facts, known: Rerouting | None, document: str | None = None) -> Routing:
    """The routing that an endpoint has from now on, with this policy (None: its own). Raises Invalid."""
    before = facts.routing
    if before is None:
        raise not_a_gateway()
    known = known or Rerouting()
    after = policy.routing(
        before.tables if known.tables is None else known.tables,
        before.prefixes,
        before.subnets if known.subnets is None else known.subnets,
        policy.Held(facts.policy if document is None else document, facts.owner.account, known.ports or frozenset()),
    )
    same_policy = document is None or document == facts.policy
    return replace(after, routes=before.routes) if known.ports is None and same_policy else after


def check_fitting(facts: Facts) -> None:
    """Refuses what an endpoint without an address cannot have."""
    if facts.routing is None:
        return
    if facts.allowed or facts.whitelist is Whitelist.ENABLED:
        text = "an endpoint that is routes has no whitelist: who may use it are the subnets of its route tables"
        field = "endpoint.allowed_cidrs" if facts.allowed else "endpoint.whitelist"
        raise Invalid("WHITELIST_OF_GATEWAY", text, field=field)
    if facts.dns:
        text = "an endpoint that is routes has no name: clients use the service's own addresses, and its own names"
        raise Invalid("DNS_OF_GATEWAY", text, field="endpoint.dns_enabled")


def not_a_gateway() -> Invalid:
    text = "the endpoint has an address in a subnet: only endpoints of services of type gateway are in route tables"
    return Invalid("ROUTE_TABLES_OF_INTERFACE", text, field="endpoint.route_tables")

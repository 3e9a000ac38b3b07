"""What is said of the parts of a graph, in the words that pictures and text share."""

from sidegate.topology.graph import Attachment, Backend, Connection, Endpoint, Service, Subnet, Vpc

SHORT_ID = 8


def vpc(found: Vpc) -> tuple[str, str]:
    """A title and what comes below it."""
    resolver = f"resolver {found.resolver}" if found.resolver else ""
    return f"VPC {found.name}", joined(*found.cidrs, found.owner, resolver)


def subnet(found: Subnet) -> str:
    table = f"route table {found.route_table}" if found.route_table else ""
    return joined(f"subnet {found.name}", found.cidr, table)


def endpoint(found: Endpoint) -> tuple[str, tuple[str, ...]]:
    """A title, and lines below it."""
    routes = f"routes to {', '.join(found.public_prefixes)}" if found.public_prefixes else ""
    tables = f"for {', '.join(found.route_tables)}" if found.route_tables else ""
    clients = f"for {', '.join(found.clients)}" if found.clients else ""
    lines = (found.address or routes, tables, clients, *found.dns_names)
    return f"endpoint {found.name or found.id[:SHORT_ID]}", tuple(filter(None, lines))


def service(found: Service) -> tuple[str, tuple[str, ...]]:
    owner = f"of {found.owner}" if found.owner else "of another account"
    lines = (
        joined(*found.ports),
        joined(owner, found.kind, found.client_identity),
        ", ".join(found.public_prefixes),
        found.private_name,
        "each connection needs approval" if found.approval else "",
        found.state,
    )
    return f"service {found.name}", tuple(filter(None, lines))


def connection(found: Connection) -> tuple[str, ...]:
    """Lines: the state first."""
    lines = (found.state, found.reason, f"marker {found.marker}" if found.marker else "")
    return tuple(filter(None, lines))


def backend(found: Backend) -> str:
    """What there is to say of it but where it is."""
    weight = f"weight {found.weight}" if found.weight > 1 else ""
    return joined(found.health, found.reason, "draining" if found.draining else "", weight)


def attachment(found: Attachment) -> str:
    return joined(found.target, f"cell {found.cell}")


def joined(*said: str) -> str:
    return " · ".join(filter(None, said))

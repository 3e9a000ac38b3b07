"""From what was told to the graph. Pure: the same answers give the same graph, in whatever order they came."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from ipaddress import ip_network

from sidegate.api.endpoint.v1.backend_health_pb2 import BackendHealth
from sidegate.api.endpoint.v1.endpoint_pb2 import Endpoint as EndpointMessage
from sidegate.api.endpoint.v1.gateways_service_pb2 import Gateway as Known
from sidegate.api.gateway.v1.gateway_service_pb2 import GetStatusResponse
from sidegate.api.registry.v1 import vpc_pb2
from sidegate.api.registry.v1.endpoint_service_pb2 import Backend as BackendMessage
from sidegate.api.registry.v1.endpoint_service_pb2 import ConnectableService, EndpointService, PortMapping, PrivateName
from sidegate.topology import states
from sidegate.topology.gather import Seen
from sidegate.topology.graph import (
    Attachment,
    Backend,
    Cell,
    Connection,
    Endpoint,
    Gateway,
    Graph,
    Port,
    Service,
    Subnet,
    Tone,
    Vpc,
)

PLATFORMS_OWN = ("endpoint/", "gateway/")
"""Holders of ports that are drawn as what they are, not as machines."""

GATEWAY = "GATEWAY"


def build(seen: Seen) -> Graph:
    return _Building(seen).graph()


class _Building:
    def __init__(self, seen: Seen) -> None:
        self._seen = seen
        self._ports = {(port.vpc_id, port.address): port for port in seen.ports}
        self._own = {service.id: service for service in seen.services}
        self._tables = {
            subnet: table.name for table in seen.route_tables if not table.by_default for subnet in table.subnet_ids
        }
        self._table_names = {table.id: table.name for table in seen.route_tables}

    def graph(self) -> Graph:
        seen = self._seen
        endpoints = tuple(map(self._endpoint, sorted(seen.endpoints, key=lambda each: each.id)))
        return Graph(
            seen.viewer,
            tuple(map(self._vpc, sorted(seen.vpcs.values(), key=_by_name))),
            tuple(
                sorted([*map(self._service, seen.services), *self._foreign()], key=lambda each: (each.name, each.id))
            ),
            endpoints,
            tuple(self._connections(endpoints)),
            tuple(self._cells()),
        )

    def _vpc(self, vpc: vpc_pb2.Vpc) -> Vpc:
        subnets = sorted((each for each in self._seen.subnets if each.vpc_id == vpc.id), key=_by_name)
        others = {
            backend.address
            for service in self._seen.services
            if service.vpc_id == vpc.id
            for backend in service.backends
            if (vpc.id, backend.address) not in self._ports
        }
        attachments = sorted(
            (each for each in self._seen.attachments if each.vpc_id == vpc.id), key=lambda each: each.cell
        )
        return Vpc(
            vpc.id,
            vpc.name,
            f"{vpc.account}/{vpc.project}",
            tuple(vpc.cidrs),
            vpc.resolver.address,
            tuple(map(self._subnet, subnets)),
            tuple(sorted(others)),
            tuple(Attachment(each.id, each.cell, target(each)) for each in attachments),
        )

    def _subnet(self, subnet: vpc_pb2.Subnet) -> Subnet:
        ports = [each for each in self._seen.ports if each.subnet_id == subnet.id]
        shown = [Port(each.id, _holder(each), each.address) for each in ports if not _is_the_platforms(each)]
        table = self._tables.get(subnet.id, "")
        return Subnet(subnet.id, subnet.name, subnet.cidr, table, tuple(sorted(shown, key=lambda each: each.address)))

    def _service(self, service: EndpointService) -> Service:
        word, tone = states.SERVICES.get(service.state, states.UNKNOWN)
        return Service(
            service.id,
            service.name or service.id,
            service.full_name,
            f"{service.account}/{service.project}",
            service.vpc_id,
            _kind(service.service_type, states.SERVERS.get(service.server_type, "")),
            tuple(map(published, service.port_mappings)),
            tuple(service.public_prefixes),
            _private(service.private_name),
            states.IDENTITIES.get(service.client_identity, ""),
            service.approval_required,
            word,
            tone,
            tuple(self._backend(service, each) for each in service.backends),
        )

    def _backend(self, service: EndpointService, backend: BackendMessage) -> Backend:
        found = [each for each in self._healths(service.id) if each.address == backend.address]
        worst = next((each for each in found if each.condition == BackendHealth.CONDITION_UNHEALTHY), None)
        told = worst or next(iter(found), None)
        word, tone = states.HEALTH.get(told.condition, states.UNKNOWN) if told else ("", Tone.PLAIN)
        if service.HasField("health_check") and not told:
            word, tone = states.UNKNOWN
        port = self._ports.get((service.vpc_id, backend.address))
        return Backend(
            backend.address,
            port.id if port else "",
            backend.weight or 1,
            backend.draining,
            word,
            Tone.WAITING if backend.draining else tone,
            worst.last_error if worst else "",
        )

    def _healths(self, service_id: str) -> Iterator[BackendHealth]:
        health = self._seen.health.get(service_id)
        for gateway in health.gateways if health else ():
            yield from gateway.backends

    def _foreign(self) -> Iterator[Service]:
        """Services that only endpoints name."""
        named = {each.service: each.service_full_name for each in self._seen.endpoints if each.service not in self._own}
        for id_, full_name in named.items():
            found = self._seen.lookups.get(id_, ConnectableService())
            yield Service(
                id_,
                _short(full_name, id_),
                full_name,
                "",
                "",
                _kind(found.service_type, ""),
                tuple(map(published, found.port_mappings)),
                tuple(found.public_prefixes),
                found.private_name,
                "",
                found.approval_required,
                "",
                Tone.PLAIN,
                (),
            )

    def _endpoint(self, endpoint: EndpointMessage) -> Endpoint:
        word, tone, reason = states.of_endpoint(endpoint)
        clients = () if endpoint.whitelist == EndpointMessage.WHITELIST_DISABLED else tuple(endpoint.allowed_cidrs)
        return Endpoint(
            endpoint.id,
            endpoint.name,
            f"{endpoint.account}/{endpoint.project}",
            endpoint.vpc_id,
            endpoint.subnet_id,
            endpoint.address,
            endpoint.service,
            endpoint.marker_id,
            clients,
            tuple(_outside(clients, self._seen.vpcs.get(endpoint.vpc_id))),
            tuple(endpoint.public_prefixes),
            tuple(self._table_names.get(each, each) for each in endpoint.route_tables),
            tuple(endpoint.dns_names),
            word,
            tone,
            reason,
        )

    def _connections(self, endpoints: Sequence[Endpoint]) -> Iterator[Connection]:
        """Each once: as the consumer sees it where he looks, and with what its service's owner sees of it."""
        seen_by_owner = {each.endpoint_id: each for each in self._seen.connections}
        drawn = {}
        for each in endpoints:
            drawn[each.id] = Connection(each.id, each.service_id, "", each.marker, each.state, each.tone, each.reason)
        for id_, told in seen_by_owner.items():
            word, tone = states.CONNECTIONS.get(told.state, states.UNKNOWN)
            if id_ in drawn:
                drawn[id_] = replace(drawn[id_], account=told.account)
            else:
                drawn[id_] = Connection(id_, told.service_id, told.account, told.marker_id, word, tone, told.rejection)
        yield from (drawn[id_] for id_ in sorted(drawn))

    def _cells(self) -> Iterator[Cell]:
        gateways: dict[str, list[Gateway]] = {each.cell: [] for each in self._seen.attachments}
        for each in self._seen.gateways:
            gateways.setdefault(each.cell, []).append(Gateway(each.gateway_id, *_heard(each)))
        for name in sorted(gateways):
            yield Cell(name, tuple(sorted(gateways[name], key=lambda each: each.id)))


def _heard(gateway: Known | GetStatusResponse) -> tuple[str, Tone]:
    if isinstance(gateway, Known) and gateway.state == Known.STATE_LOST:
        return "lost", Tone.BAD
    return ("in sync", Tone.GOOD) if gateway.in_sync else ("not in sync", Tone.WAITING)


def target(attachment: vpc_pb2.Attachment) -> str:
    """What an attachment reaches: netns shop, VXLAN 100, interface eth1."""
    match attachment.WhichOneof("target"):
        case "netns":
            return f"netns {attachment.netns.namespace}"
        case "vxlan":
            return f"VXLAN {attachment.vxlan.vni}"
        case "interface":
            chosen = attachment.interface
            return f"interface {chosen.name or chosen.mac or chosen.address}"
        case _:
            return ""


def published(mapping: PortMapping) -> str:
    """As the command line takes it: 80:8080/tcp; without the server port where that is not told."""
    protocol = "udp" if mapping.protocol == PortMapping.PROTOCOL_UDP else "tcp"
    server = f":{mapping.server_port}" if mapping.server_port else ""
    identity = states.IDENTITIES.get(mapping.client_identity, "")
    return f"{mapping.client_port}{server}/{protocol}{f' {identity}' if identity else ''}"


def _kind(service_type: EndpointService.ServiceType.ValueType, server_type: str) -> str:
    routes = service_type == EndpointService.SERVICE_TYPE_GATEWAY
    return " ".join(filter(None, (server_type, GATEWAY * routes)))


def _private(name: PrivateName) -> str:
    proven = not name.name or name.state == PrivateName.STATE_VERIFIED
    return name.name if proven else f"{name.name} (not verified)"


def _by_name(found: vpc_pb2.Vpc | vpc_pb2.Subnet) -> tuple[str, str]:
    return found.name, found.id


def _holder(port: vpc_pb2.Port) -> str:
    return port.holder.partition("/")[2] or port.holder


def _is_the_platforms(port: vpc_pb2.Port) -> bool:
    return port.holder.startswith(PLATFORMS_OWN)


def _short(full_name: str, id_: str) -> str:
    """web, of local.web.d81ee0c1-...: what people call it."""
    parts = full_name.split(".")
    return parts[1] if len(parts) > 2 else full_name or id_


def _outside(clients: Sequence[str], vpc: vpc_pb2.Vpc | None) -> Iterator[str]:
    """Ranges that lie beyond the VPC's own: a data centre's, for instance."""
    if vpc is None or not clients:
        return
    own = [ip_network(each) for each in vpc.cidrs]
    for client in clients:
        found = ip_network(client, strict=False)
        if not any(found.version == each.version and found.overlaps(each) for each in own):
            yield client


def only(graph: Graph, vpc_ids: Collection[str]) -> Graph:
    """What touches these VPCs: they, what leads out of them and into them, and the VPCs at the other ends."""
    wanted = set(vpc_ids)
    home = {each.id: each.vpc_id for each in graph.endpoints}
    places = {each.id: each.vpc_id for each in graph.services}
    connections = [
        each for each in graph.connections if {home.get(each.endpoint_id), places.get(each.service_id)} & wanted
    ]
    services = {each.service_id for each in connections} | {id_ for id_, vpc in places.items() if vpc in wanted}
    endpoints = {each.endpoint_id for each in connections} | {id_ for id_, vpc in home.items() if vpc in wanted}
    vpcs = wanted | {places.get(id_) for id_ in services} | {home.get(id_) for id_ in endpoints}
    kept = tuple(each for each in graph.vpcs if each.id in vpcs)
    cells = {attachment.cell for each in kept for attachment in each.attachments}
    return replace(
        graph,
        vpcs=kept,
        services=tuple(each for each in graph.services if each.id in services),
        endpoints=tuple(each for each in graph.endpoints if each.id in endpoints),
        connections=tuple(connections),
        cells=tuple(each for each in graph.cells if each.name in cells),
    )

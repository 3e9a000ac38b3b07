"""Where resolvers listen: in the annexes of their VPCs."""

from services.gateway_agent.dataplane.annex_sockets import annex_identity, open_in_annex
from services.gateway_agent.resolving.resolvers import OpenSockets
from services.gateway_agent.resolving.server import Sockets
from services.gateway_agent.table import Resolver


def in_annexes(gateway_id: str) -> OpenSockets:
    """Of this gateway."""

    def open_sockets(resolver: Resolver) -> Sockets:
        vpc = resolver.vpc
        there = annex_identity(gateway_id, vpc)
        udp, tcp = open_in_annex(gateway_id, vpc, resolver.address.version)
        return Sockets(udp, tcp, stale=lambda: annex_identity(gateway_id, vpc) != there)

    return open_sockets

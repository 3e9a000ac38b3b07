"""Sockets in the annex of a VPC, at the address where its resolver's clients arrive."""

import socket

from services.gateway_agent.dataplane.annex import in_annex
from services.gateway_agent.dataplane.namespaces import namespace_identity
from services.gateway_agent.dataplane.naming import Naming
from services.gateway_agent.dataplane.port import NotReady
from services.gateway_agent.table import Address
from services.gateway_agent.targets import RESOLVER, RESOLVER_V6

PORT = 53
BACKLOG = 128


def resolver_address(version: int) -> Address:
    """Where the resolver of a VPC is in its annex, for clients of this IP version."""
    return RESOLVER if version == RESOLVER.version else RESOLVER_V6


def annex_identity(gateway_id: str, vpc: str) -> object:
    """What tells the VPC's annex from one that is made after it; None where there is none."""
    return namespace_identity(Naming(gateway_id).annex(vpc))


def open_in_annex(gateway_id: str, vpc: str, version: int) -> tuple[socket.socket, socket.socket]:
    """A UDP socket and one that listens for TCP. Raises NotReady."""
    family = socket.AF_INET6 if version == RESOLVER_V6.version else socket.AF_INET
    where = (str(resolver_address(version)), PORT)

    def bind() -> tuple[socket.socket, socket.socket]:
        made = [socket.socket(family, kind | socket.SOCK_NONBLOCK) for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM)]
        udp, tcp = made
        try:
            tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)  # a proxy may have port 53 of all other addresses
            for each in made:
                each.bind(where)
            tcp.listen(BACKLOG)
        except OSError as error:
            for each in made:
                each.close()
            raise NotReady(f"the resolver cannot listen at {where[0]} in its annex: {error.strerror}") from error
        return udp, tcp

    return in_annex(gateway_id, vpc, bind)

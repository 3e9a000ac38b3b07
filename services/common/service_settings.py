"""What a service asks of gateways: how they keep its sessions, and ask its backends whether they are well. Pure.

The contract has the limits of all values, `services/common/rpc/service_settings.py` what stands for what is not said.
"""

from dataclasses import dataclass
from enum import StrEnum


class Affinity(StrEnum):
    """What a new session's backend depends on: its addresses and ports, or the client's address and the endpoint."""

    NONE = "none"
    SOURCE_ADDRESS = "source_address"


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """Seconds without a packet after which a session is removed, and what else holds for sessions."""

    tcp_established: int = 350
    tcp_half_open: int = 30
    tcp_closed: int = 10
    udp_two_way: int = 120
    udp_one_way: int = 30
    affinity: Affinity = Affinity.NONE
    reset_expired: bool = False


USUAL = SessionSettings()


class HealthProtocol(StrEnum):
    TCP = "tcp"
    HTTP = "http"


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """How backends are asked; `interval` and `timeout` in seconds.

    `port` 0 is the server port of the first port mapping for TCP. `path` and `statuses` (first and last) count for HTTP
    alone: of TCP they are always these.
    """

    protocol: HealthProtocol = HealthProtocol.TCP
    port: int = 0
    path: str = "/"
    statuses: tuple[int, int] = (200, 399)
    interval: int = 5
    timeout: int = 2
    healthy_after: int = 2
    unhealthy_after: int = 2

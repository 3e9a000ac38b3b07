"""What the operator sets."""

from dataclasses import dataclass

from services.common.clock import SECOND
from services.common.name_servers import NOBODY, AllowedServers

UNLIMITED = -1


@dataclass(frozen=True, slots=True)
class Settings:
    """`services` is how many a project may have (-1: any number).

    A deletion that is not decided within `closing_for` (nanoseconds) is given up. Resolvers of VPCs may ask
    `allowed_forwarders`, and no others.
    """

    region: str = "local"
    services: int = 20
    closing_for: int = 30 * SECOND
    allowed_forwarders: AllowedServers = NOBODY

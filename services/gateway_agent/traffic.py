"""What has passed for an endpoint, and what has not."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Traffic:
    """Since the endpoint's entry was put into this gateway's table. Bytes are those of IP packets.

    `refused` counts packets of the endpoint by reason, as `Counter` names them without its prefix `refused_`.
    """

    sessions: int = 0  # that are there now
    sessions_made: int = 0
    packets_in: int = 0  # from the consumer
    bytes_in: int = 0
    packets_out: int = 0  # to the consumer
    bytes_out: int = 0
    refused: Mapping[str, int] = field(default_factory=dict)

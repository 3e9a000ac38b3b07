"""The cell's log folded from its beginning into an empty table: what should have been forwarded at any moment."""

from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from math import inf

from services.gateway_agent.control_plane import ControlPlane
from services.gateway_agent.desired import Desired
from services.gateway_agent.table import ForwardingTable, Key, Resolver
from services.gateway_agent.wire import news_of_event


@dataclass(frozen=True, slots=True)
class Replayed:
    """The table, the position that it is for, how many events it is made of, and what is no part of it."""

    table: ForwardingTable
    position: int
    events: int
    resolvers: tuple[Resolver, ...] = ()
    names: Mapping[Key, Sequence[str]] = field(default_factory=dict)


async def replay(control: ControlPlane, through: int = 0, until: float = inf) -> Replayed:
    """Replays up to a position (0 is all of the log), and no event recorded after `until` (ns since the epoch)."""
    desired, count = Desired(), 0
    async with aclosing(control.events(0, through)) as events:
        async for event in events:
            if event.recorded_at > until:
                break
            count, desired.position = count + 1, event.position
            if (news := news_of_event(event.data, control.gateway)) is not None:
                desired.hear(news)
    table = desired.table()
    names = {key: desired.names(key) for key in table.entries}
    return Replayed(table, desired.position, count, tuple(desired.resolvers()), names)

"""An agent that is killed between any two writes of a change: nothing passes wrongly, and the next agent heals it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network
from unittest.mock import patch
from uuid import uuid4

import pytest

from services.gateway_agent.dataplane.libbpf import Map, Pair, Words
from services.gateway_agent.dataplane.maps import Counter
from services.gateway_agent.table import Change, Endpoint, Entry, ForwardingTable, Kind, PortMapping, Protocol, Put, Remove, Service
from tests.support.wire import Segment, Seen, Wire
from tests.support.worlds import KernelWorld, Vpc

pytestmark = pytest.mark.root

CLIENT, OTHER_CLIENT, STRANGER = "10.0.0.77", "10.0.0.78", "192.0.2.1"
BACKEND, OTHER_BACKEND = "10.0.0.20", "10.0.0.21"
MOST_WRITES = 40


class Killed(BaseException):
    """In the place of kill -9."""


@contextmanager
def killed_before_write(number: int) -> Iterator[None]:
    """The next writes to maps succeed up to this one, which does not happen and is the last thing that does not."""
    written = 0

    def counted(write: Callable[..., object]) -> Callable[..., object]:
        def wrapper(*arguments: object) -> object:
            nonlocal written
            written += 1
            if written >= number:
                raise Killed
            return write(*arguments)

        return wrapper

    with (
        patch.object(Map, "put", counted(Map.put)),
        patch.object(Map, "delete", counted(Map.delete)),
        patch.object(Words, "__setitem__", counted(Words.__setitem__)),
    ):
        yield


@dataclass(slots=True)
class Scene:
    world: KernelWorld
    shop: Vpc
    payments: Vpc
    from_shop: Wire
    to_payments: Wire
    service: Service
    endpoint: Endpoint
    source_port: int = 10_000

    @property
    def attachments(self) -> list[Entry]:
        return [self.shop.attachment, self.payments.attachment]

    async def converge(self, wanted: Sequence[Entry]) -> None:
        """What an agent does: what is there and not wanted goes, users first; then what is missing comes."""
        table = await self.world.dataplane.read()
        order = list(Kind)
        unwanted = [entry for key, entry in table.entries.items() if key not in {entry.key for entry in wanted}]
        await self.world.remove(*sorted(unwanted, key=lambda entry: -order.index(entry.key.kind)))
        await self.world.put(*(entry for entry in wanted if table.entries.get(entry.key) != entry))
        assert await self.world.dataplane.read() == ForwardingTable.of(wanted)

    async def outcome(self, segment: Segment) -> Seen | None:
        """What comes out of it in `payments`, if it passes."""
        before = await self.world.dataplane.counters()
        ...

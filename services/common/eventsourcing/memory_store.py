"""An event store that lives as long as its process: the port's rules and nothing else."""

import uuid
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

from services.common.eventsourcing.holdings import Holdings
from services.common.eventsourcing.ledger import Ledger
from services.common.eventsourcing.limits import require_limits
from services.common.eventsourcing.snapshots import Kept, Snapshot
from services.common.eventsourcing.store import Append, Appended, Head, RecordedEvent, RequestKey, Unavailable
from services.common.eventsourcing.tail_watch import TailWatch

FIRST_EPOCH = 1


class MemoryStore:
    """An EventStore in memory: nothing is awaited between a check and what follows from it."""

    def __init__(self) -> None:
        self._ledger = Ledger(str(uuid.uuid4()))
        self._epoch = FIRST_EPOCH
        self._streams: defaultdict[str, list[RecordedEvent]] = defaultdict(list)
        self._partitions: defaultdict[str, list[RecordedEvent]] = defaultdict(list)
        self._checkpoints: dict[str, int] = {}
        self._snapshots: dict[int, Snapshot] = {}
        self._watch = TailWatch(self._position)
        self._closed = False

    @property
    def continuity(self) -> int:
        return 0  # nobody else writes

    async def append(self, append: Append) -> Appended:
        self._require_open()
        require_limits(append)
        before = len(self._ledger.recorded)
        appended = self._ledger.append(append)
        for event in self._ledger.recorded[before:]:
            self._streams[event.stream].append(event)
            self._partitions[event.partition].append(event)
        self._watch.saw(self._ledger.tail.position)
        return appended

    async def recall(self, key: RequestKey, command_hash: bytes) -> Appended | None:
        self._require_open()
        answered = self._ledger.requests.get(key)
        return None if answered is None else answered.again(command_hash)

    async def load(self, stream: str, after: int = 0) -> Sequence[RecordedEvent]:
        self._require_open()
        return self._streams.get(stream, [])[after:]

    async def read(self, after: int, limit: int, partition: str | None = None) -> Sequence[RecordedEvent]:
        self._require_open()
        events = self._ledger.recorded if partition is None else self._partitions.get(partition, [])
        start = bisect_right(events, after, key=lambda event: event.position)
        return events[start : start + limit]

    async def head(self) -> Head:
        self._require_open()
        tail = self._ledger.tail
        return Head(self._ledger.log_id, self._epoch, tail.position, tail.hash)

    async def holders(self, kind: str, prefix: str) -> Mapping[str, str]:
        self._require_open()
        claims = self._ledger.holdings.claims.items()
        return {claim.key: stream for claim, stream in claims if claim.kind == kind and claim.key.startswith(prefix)}

    async def count(self, kind: str, key: str) -> int:
        self._require_open()
        return self._ledger.holdings.counters.get((kind, key), 0)

    async def holdings(self) -> Holdings:
        """All claims and counters, to be compared with what a rebuild gives."""
        self._require_open()
        holdings = self._ledger.holdings
        return Holdings(dict(holdings.claims), dict(holdings.counters))

    async def checkpoint(self, name: str) -> int:
        self._require_open()
        return self._checkpoints.get(name, 0)

    async def save_checkpoint(self, name: str, position: int) -> None:
        self._require_open()
        self._checkpoints[name] = position

    async def begin_epoch(self, epoch: int) -> Head:
        if self._epoch == epoch:
            self._epoch += 1
        return await self.head()

    async def wait_beyond(self, position: int) -> None:
        self._require_open()
        await self._watch.beyond(position)

    async def snapshot(self, reducer: int, position: int) -> Snapshot | None:
        self._require_open()
        fit = [each for each in self._snapshots.values() if each.reducer == reducer and each.position <= position]
        return max(fit, key=lambda each: each.position, default=None)

    async def save_snapshot(self, snapshot: Snapshot) -> None:
        self._require_open()
        self._snapshots[snapshot.position] = snapshot

    async def snapshots(self) -> Sequence[Kept]:
        self._require_open()
        return [Kept(position, kept.reducer) for position, kept in sorted(self._snapshots.items())]

    async def drop_snapshots(self, positions: Collection[int]) -> None:
        self._require_open()
        for position in positions:
            self._snapshots.pop(position, None)

    async def events_at(self, positions: Collection[int]) -> Sequence[RecordedEvent]:
        self._require_open()
        end = self._ledger.tail.position
        return [self._ledger.recorded[position - 1] for position in sorted(set(positions)) if 0 < position <= end]

    async def close(self) -> None:
        self._closed = True
        self._watch.close()

    async def _position(self) -> int:
        self._require_open()
        return self._ledger.tail.position

    def _require_open(self) -> None:
        if self._closed:
            raise Unavailable("the log is closed")

"""A log as a JetStream stream: its name, its subjects, its configuration."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType, StreamConfig, StreamInfo

from services.common.messaging.subjects import REST

DEDUPLICATION = 120.0
"""Seconds; the server wants one, not above max_age. Nothing here relies on it: a relay may be away for longer."""


@dataclass(frozen=True, slots=True)
class LogEpoch:
    """Which log, and which of its histories: a log that was restored from a backup goes on in another epoch."""

    log_id: str
    epoch: int


def metadata_of(log: LogEpoch) -> dict[str, str]:
    """What stands beside a stream, and beside a consumer of it."""
    return {"log_id": log.log_id, "epoch": str(log.epoch)}


def log_of(metadata: Mapping[str, str]) -> LogEpoch | None:
    """The log that stands there; None if none does."""
    epoch = metadata.get("epoch", "")
    return LogEpoch(metadata.get("log_id", ""), int(epoch)) if epoch.isdecimal() else None


@dataclass(frozen=True, slots=True)
class StreamState:
    """A stream as it was seen. `live` is whether it still takes the log's subjects: a retired one does not."""

    name: str
    log: LogEpoch
    last: int
    live: bool


@dataclass(frozen=True, slots=True)
class Topic:
    """Where a program's log is published: one stream per epoch, named `<prefix>-<epoch>`. `max_age` is in seconds.

    `taken` are its subjects; without any, all that begin with the program's name.
    """

    prefix: str
    program: str
    max_age: float = 7 * 86400.0
    replicas: int = 1
    taken: tuple[str, ...] = ()

    @property
    def subjects(self) -> tuple[str, ...]:
        return self.taken or (f"{self.program}.v1.{REST}",)

    def stream(self, epoch: int) -> str:
        return f"{self.prefix}-{epoch}"

    def epoch_of(self, stream: str) -> int | None:
        """The epoch that a stream's name tells; None if it is not one of ours."""
        found = re.fullmatch(rf"{re.escape(self.prefix)}-([1-9][0-9]{{0,17}})", stream, re.ASCII)
        return int(found[1]) if found else None

    def config(self, log: LogEpoch) -> StreamConfig:
        """What the stream of an epoch is made with: always the same, so that making it twice is harmless."""
        return StreamConfig(
            name=self.stream(log.epoch),
            subjects=list(self.subjects),
            storage=StorageType.FILE,
            retention=RetentionPolicy.LIMITS,
            discard=DiscardPolicy.OLD,
            max_age=self.max_age,
            num_replicas=self.replicas,
            first_seq=1,
            duplicate_window=min(DEDUPLICATION, self.max_age),
            deny_delete=True,
            allow_atomic=True,
            allow_direct=True,
            metadata=metadata_of(log),
        )

    def state(self, info: StreamInfo) -> StreamState | None:
        """What the server tells of a stream; None if it is not one of ours."""
        epoch = self.epoch_of(info.config.name or "")
        if epoch is None:
            return None
        return StreamState(
            name=self.stream(epoch),
            log=LogEpoch((info.config.metadata or {}).get("log_id", ""), epoch),
            last=info.state.last_seq,
            live=set(self.subjects) <= set(info.config.subjects or []),
        )


REGISTRY = Topic("REG", "registry")
ENDPOINT = Topic("EP", "endpoint")

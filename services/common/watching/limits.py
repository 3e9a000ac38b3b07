"""How much watching there may be."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from prometheus_client import Gauge

from services.common.errors import QuotaReached
from services.common.telemetry.metrics import REGISTRY

WATCHERS = Gauge("sidegate_watchers", "Watches that are being answered.", registry=REGISTRY)


@dataclass(frozen=True, slots=True)
class WatchLimits:
    """`history` is how many events back a watch may begin; `waiting` how many changes may wait for a slow reader.

    `bookmark_seconds` without an answer are followed by one that only names the position.
    """

    history: int = 1_000_000
    in_all: int = 5_000
    per_account: int = 500
    waiting: int = 1_000
    bookmark_seconds: float = 5.0


class Seats:
    """Who watches, counted."""

    def __init__(self, limits: WatchLimits) -> None:
        self._limits = limits
        self._taken: Counter[str] = Counter()
        self._all = 0

    def __len__(self) -> int:
        return self._all

    @contextmanager
    def taken_by(self, account: str) -> Iterator[None]:
        """One seat for as long as the block takes. Raises QuotaReached."""
        self._require_room(account)
        self._taken[account] += 1
        self._all += 1
        WATCHERS.inc()
        try:
            yield
        finally:
            self._all -= 1
            WATCHERS.dec()
            self._taken[account] -= 1
            if not self._taken[account]:
                del self._taken[account]

    def _require_room(self, account: str) -> None:
        for taken, limit, whose in (
            (self._taken[account], self._limits.per_account, f"account {account}"),
            (self._all, self._limits.in_all, "this program"),
        ):
            if taken >= limit:
                text = f"{whose} has {limit} watchers, as many as it may"
                raise QuotaReached("TOO_MANY_WATCHERS", text, metadata={"limit": str(limit)})

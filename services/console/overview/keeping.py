"""What a session sees, kept between two looks: asked for again when it has changed, by whoever looks next."""

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field

from services.console.live.hub import BACK, Hub, Listener
from services.console.live.routes import hub_of
from services.console.sessions.session import Session
from sidegate import errors
from sidegate.api.registry.v1.quota_pb2 import Quota
from sidegate.client import Client
from sidegate.topology.build import build
from sidegate.topology.gather import ALL, POLLED, TRAFFIC, WATCHED, Gathering, Seen
from sidegate.topology.graph import Graph

POLL_SECONDS = 1.9
"""A page asks every two seconds."""

SHARE = 0.1
"""Of the time, how much goes into asking again by the clock: what takes long is asked for less often."""

FORGET_SECONDS = 30.0
EVERYTHING = ALL | {TRAFFIC}
BY_THE_CLOCK = POLLED | {TRAFFIC}


@dataclass(frozen=True, eq=False)
class View:
    """What was seen: another `version` is another. `drawn` is by language."""

    version: str
    seen: Seen
    quotas: Mapping[str, Quota]
    graph: Graph
    drawn: dict[str, bytes] = field(default_factory=dict)


class Kept:
    """Of one client. Where nobody looks for a while, it stops watching, and begins anew when somebody does."""

    def __init__(self, client: Client, hub: Hub, *, tenant: bool, clock: Callable[[], float] = time.monotonic) -> None:
        self._client, self._hub, self._tenant, self._clock = client, hub, tenant, clock
        self._turn = asyncio.Lock()
        self._listening = ExitStack()
        self._listener: Listener | None = None
        self._gathering = Gathering(client)
        self._owed: frozenset[str] = frozenset()
        self._sure = False
        self._next_poll, self._count = 0.0, 0
        self._forgetting: asyncio.TimerHandle | None = None
        self.latest: View | None = None

    async def look(self, seen: str = "") -> View:
        """As it is now, for a page that shows this version. Raises SidegateError where that cannot be asked for."""
        self._remember()
        async with self._turn:
            kinds = self._due(seen)
            if self.latest is None or kinds:
                self.latest = await self._asked(kinds)
            return self.latest

    def begin(self) -> None:
        """Has the first look begin before somebody waits for it."""
        if self.latest is None and not self._turn.locked():
            _hold(asyncio.create_task(self._tried()))

    async def _tried(self) -> None:
        with suppress(errors.SidegateError):
            await self.look()

    def _due(self, seen: str) -> frozenset[str]:
        """What is to be asked for. What was seen before the watches had begun may have changed unheard: it is asked for
        again, but who has not even seen that much does not wait for it.
        """
        if self._listener is None:
            self._listener, self._sure = self._listening.enter_context(self._hub.listening()), False
            self._listener.heard()
            return EVERYTHING
        heard, by_now = self._listener.heard(), self._clock() >= self._next_poll
        unsure = not self._sure and self._hub.watching
        shown = self.latest is not None and seen == self.latest.version
        if (BACK in heard and self._sure) or (unsure and (by_now or shown)):
            return EVERYTHING
        return (heard & WATCHED) | self._owed | (BY_THE_CLOCK if by_now else frozenset())

    async def _asked(self, kinds: frozenset[str]) -> View:
        began, self._owed, sure = self._clock(), kinds, self._hub.watching
        seen, quotas = await asyncio.gather(self._gathering.refresh(kinds), self._quotas())
        self._owed, now = frozenset(), self._clock()
        self._sure = self._sure or (sure and kinds == EVERYTHING)
        self._next_poll = now + max(POLL_SECONDS, (now - began) / SHARE)
        # Of many thousands of things this takes so long that others would wait: in threads, which take turns with them.
        if self.latest is not None and await asyncio.to_thread(_same, self.latest, seen, quotas):
            return self.latest
        self._count += 1
        return View(f"{id(self):x}-{self._count}", seen, quotas, await asyncio.to_thread(build, seen))

    async def _quotas(self) -> Mapping[str, Quota]:
        """Of a project; the operator has none of its own."""
        if not self._tenant:
            return {}
        services, endpoints = await asyncio.gather(self._client.quotas.services(), self._client.quotas.endpoints())
        return {"service": services, "endpoint": endpoints}

    def _remember(self) -> None:
        if self._forgetting is not None:
            self._forgetting.cancel()
        self._forgetting = asyncio.get_running_loop().call_later(FORGET_SECONDS, self._forget)

    def _forget(self) -> None:
        self._listening.close()
        self._listening, self._listener = ExitStack(), None
        closing, self._gathering = self._gathering, Gathering(self._client)
        _hold(asyncio.create_task(_close(closing)))


def _same(view: View, seen: Seen, quotas: Mapping[str, Quota]) -> bool:
    return (view.seen, view.quotas) == (seen, quotas)


_HELD: set[asyncio.Task[None]] = set()
"""Or they would be collected before they have ended."""


def _hold(task: asyncio.Task[None]) -> None:
    _HELD.add(task)
    task.add_done_callback(_HELD.discard)


async def _close(gathering: Gathering) -> None:
    with suppress(errors.SidegateError):
        await gathering.aclose()


def kept_of(session: Session) -> Kept:
    """The one of its client of the moment: who acts for another sees another's."""
    kept = session.kept.get("overview")
    if not isinstance(kept, tuple) or kept[0] is not session.client:
        made = Kept(session.client, hub_of(session), tenant=session.is_tenant)
        kept = session.kept["overview"] = (session.client, made)
    found = kept[1]
    assert isinstance(found, Kept)  # noqa: S101 # it was put there above
    return found

"""Keeps the proxies of annexes as the table wants them: told of endpoints, started again when they end."""

import asyncio
import os
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

import structlog

from services.gateway_agent.annexes import Proxied
from services.gateway_agent.dataplane.port import DataplaneError, ProxyMissing
from services.gateway_agent.pace import Pace
from services.gateway_agent.retries import Retries
from services.gateway_agent.table import Key, Kind

STEADY_SECONDS = 10.0
"""Who has run for so long and ends has not ended again and again."""

PROXY_MISSING = (
    "a gateway lacks HAProxy, which tells backends of the service who a client is: its operator must install the "
    "package haproxy there"
)
PROXY_AWAY = "a gateway is starting the proxy anew that tells backends of the service who a client is"

log = structlog.get_logger(__name__)


class Runner(Protocol):
    """Runs proxies. What it does may take a while, and is done on a thread of its own."""

    def put(self, vpc: str, proxied: Collection[Proxied]) -> int:
        """Has the proxy of a VPC's annex know these endpoints alone; gives its process. Raises DataplaneError."""

    def stop(self, vpc: str) -> None: ...

    def keep_only(self, vpcs: Collection[str]) -> None:
        """Forgets all others."""


@dataclass(frozen=True, slots=True)
class Hindrance:
    """Why a proxy cannot do what it should: in the operator's words, and in those for an endpoint's owner."""

    operator: str
    owner: str


class Proxying(Protocol):
    """What facts are told of proxies."""

    def has(self, proxied: Proxied) -> bool:
        """Whether the proxy has been told of the endpoint as it is here, and runs."""

    def hindrance(self, vpc: str) -> Hindrance | None: ...


class NoProxies:
    """Where packets are not real."""

    def has(self, proxied: Proxied) -> bool:
        return True

    def hindrance(self, vpc: str) -> Hindrance | None:
        return None


class Proxies:
    """`changed` is called whenever a proxy has done what it should, or cannot; `begun` is whether `aim` was."""

    def __init__(self, runner: Runner, pace: Pace, clock: Callable[[], float] = time.monotonic) -> None:
        self._runner, self._clock = runner, clock
        self._retries = Retries(*pace.retry)
        self._wanted: dict[str, frozenset[Proxied]] = {}
        self._done: dict[str, frozenset[Proxied]] = {}
        self._hindrances: dict[str, Hindrance] = {}
        self._due: dict[str, None] = {}
        self._news: dict[Key, None] = {}
        self._watched: dict[str, tuple[int, int, float]] = {}  # process, its descriptor, when it was put
        self._wake = asyncio.Event()
        self.begun, self._serving = False, ""
        self.changed: Callable[[], None] = lambda: None

    def aim(self, proxied: Mapping[str, frozenset[Proxied]]) -> None:
        """From now on the proxies of these VPCs' annexes should know these. Who is not named at first has none."""
        for vpc, wanted in proxied.items():
            self._wanted[vpc] = wanted
            self._done[vpc] = self._done.get(vpc, frozenset()) & wanted
            self._due[vpc] = None
        if proxied or not self.begun:
            self.begun = True
            self._wake.set()

    def look_again(self, vpc: str) -> None:
        """The VPC's annex was made anew: what ran in it does not any more."""
        if self._wanted.get(vpc):
            self._done[vpc] = frozenset()
            self._due[vpc] = None
            self._wake.set()

    def has(self, proxied: Proxied) -> bool:
        return proxied in self._done.get(proxied.vpc, ())

    def hindrance(self, vpc: str) -> Hindrance | None:
        return self._hindrances.get(vpc)

    def difficulties(self) -> Mapping[Key, str]:
        """By proxy in the table, for the operator."""
        return {
            each.service: hindrance.operator
            for vpc, hindrance in self._hindrances.items()
            for each in self._wanted.get(vpc, ())
        }

    def take_news(self) -> Collection[Key]:
        """The endpoints that a proxy has been told of since the last call, or can no longer serve."""
        news, self._news = self._news, {}
        return news.keys()

    async def run(self) -> None:
        """Until cancelled; proxies go on."""
        try:
            await self._wake.wait()
            await asyncio.to_thread(self._runner.keep_only, [vpc for vpc, wanted in self._wanted.items() if wanted])
            while True:
                self._wake.clear()
                for key in self._retries.due(self._clock()):
                    self._due[key.id] = None
                while self._due:
                    vpc, _ = self._due.popitem()
                    await self._serve(vpc)
                await self._rest()
        finally:
            for vpc in tuple(self._watched):
                self._unwatch(vpc)

    async def _rest(self) -> None:
        wait = self._retries.wait(self._clock())
        with suppress(TimeoutError):
            async with asyncio.timeout(None if wait == float("inf") else wait):
                await self._wake.wait()

    async def _serve(self, vpc: str) -> None:
        wanted = self._wanted.get(vpc)
        if not wanted:
            await self._stop(vpc)
            return
        self._serving = vpc
        try:
            pid = await asyncio.to_thread(self._runner.put, vpc, wanted)
            self._watch(vpc, pid)
        except (DataplaneError, OSError) as error:
            self._fail(vpc, str(error), PROXY_MISSING if isinstance(error, ProxyMissing) else PROXY_AWAY)
        else:
            self._serving = ""
            self._hindrances.pop(vpc, None)
            self._tell(wanted - self._done[vpc])
            self._done[vpc] = wanted & self._wanted.get(vpc, frozenset())
        self.changed()

    def _tell(self, proxied: Collection[Proxied]) -> None:
        self._news.update(dict.fromkeys(Key(Kind.ENDPOINT, each.endpoint) for each in proxied))

    async def _stop(self, vpc: str) -> None:
        self._unwatch(vpc)
        self._retries.succeeded(_key(vpc))
        self._wanted.pop(vpc, None)
        self._done.pop(vpc, None)
        self._hindrances.pop(vpc, None)
        await asyncio.to_thread(self._runner.stop, vpc)

    def _fail(self, vpc: str, why: str, owner: str) -> None:
        self._serving = ""
        self._unwatch(vpc)
        self._tell(self._wanted.get(vpc, frozenset()))
        self._done[vpc] = frozenset()
        self._hindrances[vpc] = Hindrance(why, owner)
        if self._retries.failed(_key(vpc), self._clock()):  # said once, not at every attempt
            log.error("a VPC's annex is without its proxy, trying again", vpc=vpc, why=why)

    def _watch(self, vpc: str, pid: int) -> None:
        """Raises OSError if the process has ended already."""
        known = self._watched.get(vpc)
        if known and known[0] == pid:
            return
        self._unwatch(vpc)
        handle = os.pidfd_open(pid)
        self._watched[vpc] = pid, handle, self._clock()
        asyncio.get_running_loop().add_reader(handle, self._ended, vpc)

    def _unwatch(self, vpc: str) -> None:
        if (known := self._watched.pop(vpc, None)) is not None:
            asyncio.get_running_loop().remove_reader(known[1])
            os.close(known[1])
            with suppress(ChildProcessError):  # it is ours where the agent is a container's first process
                os.waitpid(known[0], os.WNOHANG)

    def _ended(self, vpc: str) -> None:
        pid, _, since = self._watched[vpc]
        if vpc == self._serving or not self._wanted.get(vpc):  # another takes its place, or it is to go
            self._unwatch(vpc)
            return
        if self._clock() - since > STEADY_SECONDS:
            self._retries.succeeded(_key(vpc))
        self._fail(vpc, f"HAProxy has ended (process {pid}), and is being started", PROXY_AWAY)
        self._wake.set()
        self.changed()


def _key(vpc: str) -> Key:
    return Key(Kind.ATTACHMENT, vpc)

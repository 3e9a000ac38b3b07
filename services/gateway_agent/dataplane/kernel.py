"""The data plane in the kernel: the port's verbs on pinned maps, devices, and hosts that answer ARP."""

import asyncio
import os
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path

import structlog

from services.gateway_agent.backend_health import HealthFigures, ServiceHealth
from services.gateway_agent.captures import Capture
from services.gateway_agent.dataplane.attachments import Attachments
from services.gateway_agent.dataplane.bpffs import Pins
from services.gateway_agent.dataplane.build import OBJECTS
from services.gateway_agent.dataplane.devices import Devices
from services.gateway_agent.dataplane.difficulties import Difficulties
from services.gateway_agent.dataplane.dry_run import DryRun
from services.gateway_agent.dataplane.entries import check_ids
from services.gateway_agent.dataplane.hooks import Hooks
from services.gateway_agent.dataplane.kernel_flows import KernelFlows
from services.gateway_agent.dataplane.kernel_table import KernelTable
from services.gateway_agent.dataplane.libbpf import BpfError, LibbpfMissing, LoadedObject, pinned_size
from services.gateway_agent.dataplane.map_sizes import SIZES
from services.gateway_agent.dataplane.maps import COUNT, NUMBER, Counter, Maps
from services.gateway_agent.dataplane.passed import Passed
from services.gateway_agent.dataplane.port import DataplaneError, NotReady, Unusable
from services.gateway_agent.dataplane.resolution import Resolution
from services.gateway_agent.dataplane.session_maps import SIZES as SESSION_SIZES
from services.gateway_agent.dataplane.sessions import Leisure, Sweeper, Swept
from services.gateway_agent.dataplane.tapping import tap_endpoint
from services.gateway_agent.dataplane.trial import Trial
from services.gateway_agent.flows import FlowRecord
from services.gateway_agent.packet_trace import Opening, PacketTrace
from services.gateway_agent.reach import Reach
from services.gateway_agent.table import (
    Attachment,
    Change,
    Endpoint,
    ForwardingTable,
    Key,
    Kind,
    Put,
    Remove,
    Service,
)
from services.gateway_agent.traffic import Traffic

PROGRAM = "forward"
LONGEST_WHY = 300
DEFAULT_SESSIONS = 131_072
MOST_ENDPOINTS = 131_072
ENTRIES_PER_SESSION = 2
V6_SHARE = 4  # of the sessions that the machine has room for, IPv6 gets one in so many more
LEAST_ENTRIES = 1024
FAMILIES = ("", "6")
CHECK_SECONDS = 0.5  # a namespace that is deleted tells nobody


log = structlog.get_logger(__name__)


class KernelDataplane:
    """Implements `port.Dataplane` with the program of bpf/forward.bpf.c.

    Maps are pinned under `bpffs`, which is mounted there if need be. `max_sessions` and `max_endpoints` count when the
    maps are made; maps that are there already keep their size.
    """

    def __init__(
        self, gateway_id: str, bpffs: Path, max_sessions: int = DEFAULT_SESSIONS, max_endpoints: int = MOST_ENDPOINTS
    ) -> None:
        self._pins = Pins(bpffs, gateway_id)
        self._devices = Devices(gateway_id, Hooks(self._pins.directory))
        self._most = max_sessions, max_endpoints
        self._difficulties = Difficulties()
        self._changing = asyncio.Lock()
        self._collecting = asyncio.Lock()
        self._opened: _Opened | None = None
        self._sessions = 0
        self._was_read = True  # since it was opened

    async def open(self) -> None:
        if self._opened is not None:
            raise DataplaneError("the data plane is open already")
        loaded = await asyncio.to_thread(load, self._pins, *self._most)
        self._opened = _Opened(loaded, self._devices, self._difficulties)
        self._was_read = False
        try:
            await self._opened.start()
            await asyncio.to_thread(self._pins.remove_older)
        except BaseException:
            await self.close()
            raise

    async def read(self) -> ForwardingTable:
        """Read on a thread of its own, while no backend that is heard or given up changes it. What was read to open it
        is read, as long as nothing has been put since.

        Where somebody else has written to the maps, what is remembered of them is made anew: it would keep the
        next change from putting right what looks right from here.
        """
        table = self._kernel.table
        async with self._changing:
            if not self._was_read:
                self._was_read = True
                return table.entries.table()
            with self._kernel.resolution.held():
                contents, is_ours = await asyncio.to_thread(table.read)
            if not is_ours:
                table.reload()
            return contents

    async def apply(self, change: Change) -> None:
        async with self._changing:
            self._was_read = True
            kernel = self._kernel
            try:
                await kernel.apply(change)
            except BpfError as error:
                kernel.table.reload()
                raise DataplaneError(f"{change.key.kind} {change.key.id}: {error}") from error

    def difficulties(self) -> Mapping[Key, str]:
        return self._difficulties.all()

    def health(self, service: str) -> ServiceHealth | None:
        return self._kernel.resolution.health(service)

    def take_health_news(self) -> frozenset[str]:
        return self._difficulties.take_health_news()

    def health_figures(self) -> HealthFigures:
        return self._kernel.resolution.health_figures()

    async def wait_for_news(self) -> None:
        await self._difficulties.wait_for_news()

    async def counters(self) -> Mapping[str, int]:
        return self._kernel.counters()

    async def traffic(self) -> Mapping[str, Traffic]:
        return await asyncio.to_thread(self._kernel.passed.read)

    async def traffic_of(self, endpoint: str) -> Traffic | None:
        try:
            return self._kernel.passed.of(endpoint)
        except BpfError as error:
            raise DataplaneError(f"what has passed for endpoint {endpoint} cannot be read: {error}") from error

    def counting(self) -> str:
        return self._kernel.passed.counting()

    async def collect(self) -> int:
        async with self._collecting:
            swept = await asyncio.to_thread(self._kernel.sweep)
            self._kernel.table.wake_slots()
            self._sessions = swept.sessions - swept.removed
            return swept.removed

    def sessions(self) -> int:
        return self._sessions

    def session_capacity(self) -> int:
        return (pinned_size(self._pins.directory / "sessions") or 0) // ENTRIES_PER_SESSION

    async def reach(self, endpoint: str, seconds: float) -> Reach | None:
        try:
            return await self._kernel.trial.reach(endpoint, seconds)
        except OSError as error:  # a BpfError is one
            raise NotReady(f"endpoint {endpoint} cannot be tried out: {error}") from error

    async def trace(self, endpoint: str, opening: Opening) -> PacketTrace | None:
        try:
            return await self._kernel.dry_run.trace(endpoint, opening)
        except OSError as error:
            raise NotReady(f"endpoint {endpoint} cannot be traced: {error}") from error

    def capture(self, endpoint: str, snap: int) -> Capture | None:
        try:
            return self._kernel.tap(endpoint, snap)
        except OSError as error:
            raise NotReady(f"packets of endpoint {endpoint} cannot be taken: {error}") from error

    def sample_flows(self, one_of: int) -> None:
        self._kernel.flows.sample(one_of)

    def flows(self) -> AsyncGenerator[FlowRecord, None]:
        return self._kernel.flows.records()

    def lost_flows(self) -> int:
        return self._kernel.flows.lost()

    async def close(self) -> None:
        async with self._changing, self._collecting:
            if self._opened is not None:
                opened, self._opened = self._opened, None
                await opened.close()

    async def uninstall(self) -> None:
        """Works without `open`, too."""
        await self.close()
        await asyncio.to_thread(self._devices.shut_all)
        await asyncio.to_thread(self._pins.remove)

    async def remove_devices(self) -> None:
        """After `uninstall`, when no tenant's addresses are to be kept: deletes the devices, their far ends too."""
        await asyncio.to_thread(self._devices.remove_all)

    @property
    def _kernel(self) -> "_Opened":
        if self._opened is None:
            raise DataplaneError("the data plane is not open")
        return self._opened


class _Opened:
    """What exists between `open` and `close`."""

    def __init__(self, loaded: LoadedObject, devices: Devices, difficulties: Difficulties) -> None:
        self._loaded = loaded
        self.maps = Maps(loaded.maps)
        self.table = KernelTable(self.maps)
        self._resolution = self.resolution = Resolution(self.table, difficulties)
        self.attachments = Attachments(devices, loaded.program_fd, self.table, self._resolution, difficulties)
        self.passed = Passed(self.table, loaded.maps)
        self.flows = KernelFlows(self.table, loaded.maps)
        self.sweepers = [Sweeper(loaded, family) for family in FAMILIES]
        self.trial = Trial(self.table, self._resolution, loaded)
        self.dry_run = DryRun(self.table, self._resolution, loaded, self.maps)
        self._checks: asyncio.Task[None] | None = None

    async def start(self) -> None:
        await self.attachments.adopt()
        self._checks = asyncio.create_task(self._check())

    async def close(self) -> None:
        if self._checks is not None:
            self._checks.cancel()
            await asyncio.wait([self._checks])
        await self.attachments.close()
        self._resolution.close()
        for sweeper in self.sweepers:
            sweeper.close()
        self.maps.close()
        self._loaded.close()

    async def apply(self, change: Change) -> None:
        match change:
            case Put(entry):
                check_ids(entry)
                self.table.entries.check_put(entry)
                await self._put(entry)
            case Remove(key):
                self.table.entries.check_remove(key)
                await self._remove(key)

    async def _put(self, entry: Attachment | Service | Endpoint) -> None:
        match entry:
            case Attachment():
                await self.attachments.put(entry)
            case Service():
                await self._resolution.put(entry)
            case Endpoint():
                before = self.table.entries.endpoint(entry.id)
                self.table.put_endpoint(entry)
                self.flows.note(entry)
                self._resolution.announce(entry.vpc, entry.address)
                await self.attachments.on_link.lay_for(before, entry)

    async def _remove(self, key: Key) -> None:
        match key.kind:
            case Kind.ATTACHMENT:
                attachment = self.table.entries.attachment(key.id)
                if attachment is not None:
                    await self.attachments.remove(attachment)
            case Kind.SERVICE:
                self._resolution.remove(key.id)
            case Kind.ENDPOINT:
                before = self.table.entries.endpoint(key.id)
                self.table.remove_endpoint(key.id)
                await self.attachments.on_link.lay_for(before)

    def tap(self, endpoint: str, snap: int) -> Capture | None:
        return tap_endpoint(self.table, self._resolution, endpoint, snap)

    def sweep(self) -> Swept:
        swept = Swept()
        for sweeper in self.sweepers:
            sweeper.sweep(swept, Leisure().pause)
        return swept

    def counters(self) -> Mapping[str, int]:
        """Every CPU counts for itself."""
        totals = {}
        for number, counter in enumerate(Counter):
            per_cpu = self.maps.counters.get(NUMBER.pack(number)) or b""
            totals[counter.value] = sum(value for (value,) in COUNT.iter_unpack(per_cpu))
        return totals

    async def _check(self) -> None:
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            self.attachments.check_namespaces()


def load(pins: Pins, max_sessions: int, max_endpoints: int) -> LoadedObject:
    """The program and its maps, made or found pinned. Raises Unusable."""
    if os.geteuid() != 0:
        raise Unusable("forwarding needs root (CAP_BPF, CAP_NET_ADMIN and CAP_SYS_ADMIN)")
    if not all(path.exists() for path in OBJECTS):
        raise Unusable("the forwarding program is not built: python -m services.gateway_agent.dataplane.build")
    pins.prepare()
    try:
        _renew_counters(pins.directory / "counters")
        entries = max_sessions * ENTRIES_PER_SESSION
        # What passed is counted by each CPU for itself: of all maps this one takes longest to make.
        sizes = {"sessions": entries, "sessions6": max(entries // V6_SHARE, LEAST_ENTRIES), "traffic": max_endpoints}
        loaded = _load_best(pins, sizes)
    except LibbpfMissing as error:
        raise Unusable(str(error)) from error
    except BpfError as error:
        raise Unusable(f"the forwarding program cannot be loaded: {error}") from error
    for name, layout in {**SIZES, **SESSION_SIZES}.items():
        if (loaded.maps[name].key_size, loaded.maps[name].entry_size) != layout:
            loaded.close()
            raise Unusable("the forwarding program is of another version than the agent: build it again")
    return loaded


def _load_best(pins: Pins, sizes: Mapping[str, int]) -> LoadedObject:
    """The first of the objects that this kernel takes. Raises BpfError as the last of them does."""
    *better, last = OBJECTS
    for path in better:
        try:
            return LoadedObject.load(path, PROGRAM, pins.directory, sizes)
        except BpfError as error:
            log.info("the kernel does not take the fastest program", object=path.name, why=str(error)[-LONGEST_WHY:])
    return LoadedObject.load(last, PROGRAM, pins.directory, sizes)


def _renew_counters(pin: Path) -> None:
    """Those of a version that knew fewer reasons have no room for all: they begin anew, and sessions go on."""
    if (pinned_size(pin) or len(Counter)) < len(Counter):
        pin.unlink()

"""An endpoint service and the model of it, side by side: how commands are given to both, and what is compared."""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from google.protobuf.message import Message
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant

from services.common.clock import SECOND
from services.common.errors import NotFound, Refused
from services.common.eventsourcing.context import CommandContext
from services.common.eventsourcing.rebuild import rebuild_holdings
from services.common.eventsourcing.selection import Window
from services.common.eventsourcing.store import Constraints, RecordedEvent
from services.common.forwarding_digest import digest
from services.common.principal import Principal
from services.endpoint.application.limits import Limits
from services.endpoint.application.streams import Streams
from services.endpoint.projections import TABLE
from sidegate.api.endpoint.v1 import endpoint_pb2 as endpoint_pb
from sidegate.api.events.v1 import endpoint_events_pb2 as events_pb
from sidegate.api.events.v1 import forwarding_pb2 as forwarding_pb
from sidegate.evidence import verify
from tests.support.chaos.judges import contents
from tests.support.endpoint_service import CONSUMER, PROVIDER, STRANGER, Clock, EndpointWorld, FakeRegistry, start
from tests.support.models.endpoint import PASSES, Endpoint, Endpoints, Refusals
from tests.support.models.registry_scene import Places, places
from tests.support.service_logs import SERVICE_LOGS, OpenLog
from tests.support.stores import whole_log

T = TypeVar("T")
Entries = dict[str, forwarding_pb.ForwardingEntry]

QUOTA = 5
NOBODYS = "ffffffff-ffff-4fff-bfff-ffffffffffff"


class EndpointScene(RuleBasedStateMachine):
    """Every command is asked of the model first; then what follows from it is let happen in both."""

    kind = "memory"

    def __init__(self) -> None:
        super().__init__()
        self.runner, self.stack = asyncio.Runner(), ExitStack()
        self.registry, self.clock = FakeRegistry(services={}), Clock()
        self.model = Endpoints(PROVIDER, QUOTA)
        self.answered: list[tuple[Callable[[], Awaitable[Message]], bytes]] = []
        self.then: dict[int, tuple[Places, Entries]] = {}
        self.last: Entries = {}
        self.requests, self.steps = 0, 0

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(coroutine)

    @initialize()
    def begin(self) -> None:
        directory = Path(self.stack.enter_context(tempfile.TemporaryDirectory(prefix="endpoint-model-")))
        self.open_log: OpenLog = self.stack.enter_context(SERVICE_LOGS[self.kind](directory))
        self.open()
        self.model.now = self.clock.now // SECOND
        self.furnish()

    def furnish(self) -> None:
        """Puts something there, so that histories need not begin with it."""

    def open(self) -> None:
        async def begin() -> EndpointWorld:
            world = await start(await self.open_log([TABLE]), self.registry, self.clock, Limits(endpoints=QUOTA))
            await world.upkeep.errands()
            return world

        self.world = self.run(begin())

    def teardown(self) -> None:
        try:
            if hasattr(self, "world"):
                self.rebuilt_is_live()
                self.log_proves_itself()
                self.run(self.world.store.close())
        finally:
            self.runner.close()
            self.stack.close()

    # how commands are given

    def context(self, who: Principal, method: str, *content: object) -> CommandContext:
        """Of a new request."""
        self.requests += 1
        hash_ = repr(content).encode().ljust(32, b".")[:32]
        return CommandContext(who, self.clock(), f"r-{self.requests}", method, hash_)

    def give(
        self,
        command: Callable[[CommandContext], Coroutine[Any, Any, Message]],
        context: CommandContext,
        allowed: Refusals,
        *,
        trial: bool = False,
    ) -> Any:
        """The answer, if it is one that the model allows; None for a refusal that it wants."""
        if trial:
            head = self.run(self.world.store.head())
            self.attempt(command(replace(context, validate_only=True)), allowed)
            assert self.run(self.world.store.head()) == head, "what was only validated has changed something"
        answer = self.attempt(command(context), allowed)
        if answer is not None:
            self.answered.append((lambda: command(context), answer.SerializeToString()))
        return answer

    def attempt(self, command: Coroutine[Any, Any, T], allowed: Refusals) -> T | None:
        try:
            answer = self.run(command)
        except Refused as refusal:
            assert type(refusal) in allowed, f"{refusal!r} is not among {allowed}"
            return None
        assert not allowed, f"it was answered, and is to be refused with one of {allowed}"
        return answer

    def pick(self, number: int) -> str:
        """An endpoint that ever was; for the last number one that never was."""
        known = list(self.model.endpoints)
        return known[number % len(known)] if known and number < 9 else NOBODYS

    # what is so after every step

    @invariant()
    def what_follows_has_followed(self) -> None:
        """Time has come to what waits for it; then both sides see what the model says, and gateways what they need."""
        self.model.now = self.clock.now // SECOND
        self.run(self._observe())
        self.run(self.world.app.cells.tick())
        self.run(self.world.app.expiries.tick())
        self.model.settle()
        self.steps += 1
        shown = self.run(self._observe())
        there = dict(self.model.there())
        assert {id_: _state(each) for id_, each in shown.items()} == {id_: each.state for id_, each in there.items()}
        assert {id_: (each.name, each.service) for id_, each in shown.items()} == {
            id_: (each.name, each.service) for id_, each in there.items()
        }
        assert {id_: each.drain_end_time.seconds for id_, each in shown.items()} == {
            id_: each.drain_until for id_, each in there.items()
        }
        services = list(self.model.services)
        self.the_provider_sees_connections_and_nothing_more(services[self.steps % len(services)], shown)
        known = [*self.model.endpoints, NOBODYS]
        self.run(self._look(known[self.steps % len(known)]))
        self.gateways_are_told(shown)
        self.claims_and_counters_are_what_the_log_says_and_quotas_hold()

    async def _observe(self) -> Mapping[str, endpoint_pb.Endpoint]:
        """All endpoints as their owners are shown them; their generations never go back."""
        found: dict[str, endpoint_pb.Endpoint] = {}
        for who in (CONSUMER, PROVIDER):
            for each in (await self.world.app.endpoints.listed(who, Window(1000))).items:
                assert each.account == who.account
                found[each.id] = each
        for id_, shown in found.items():
            assert shown.generation >= self.model.endpoints[id_].generation
            self.model.endpoints[id_].generation = shown.generation
        return found

    def the_provider_sees_connections_and_nothing_more(
        self, service: str, shown: Mapping[str, endpoint_pb.Endpoint]
    ) -> None:
        """One service after another; to others they list nothing."""
        assert not self.run(self.world.app.connections.listed(service, CONSUMER, Window(1000))).items
        assert not self.run(self.world.app.endpoints.listed(STRANGER, Window(1000))).items
        page = self.run(self.world.app.connections.listed(service, PROVIDER, Window(1000))).items
        assert {each.endpoint_id: (_state(each), each.note) for each in page} == {
            id_: (each.state, each.note) for id_, each in self.model.there() if each.service == service
        }
        for each in page:
            endpoint, told = shown[each.endpoint_id], each.SerializeToString()
            assert endpoint.marker_id == each.marker_id
            for secret in (endpoint.address, endpoint.subnet_id, endpoint.vpc_id):
                assert secret.encode() not in told, "a provider is told of its consumer's network"

    async def _look(self, id_: str) -> None:
        """What is gone and what is another's is refused in the words for what never was."""
        endpoint, services = self.model.endpoints.get(id_), list(self.model.services)
        chosen = {services[self.steps % len(services)], endpoint.service if endpoint else services[0]}
        for who in (CONSUMER, PROVIDER, STRANGER):
            allowed = self.model.look(who, id_)
            assert await self._words(self.world.app.endpoints.get(id_, who), id_) == await self._expected(
                self.world.app.endpoints.get(NOBODYS, who), endpoint, allowed
            )
            for service in chosen:
                hidden = self.model.look_at_connection(who, service, id_)
                assert await self._words(self.world.app.connections.get(service, id_, who), id_) == (
                    await self._expected(self.world.app.connections.get(service, NOBODYS, who), endpoint, hidden)
                )

    async def _words(self, look: Awaitable[Any], id_: str) -> str:
        try:
            return _state(await look)
        except NotFound as refusal:
            return f"{refusal.text} {sorted(refusal.metadata.items())}".replace(id_, NOBODYS)

    async def _expected(self, look: Awaitable[Any], endpoint: Endpoint | None, hidden: Refusals) -> str:
        words = await self._words(look, NOBODYS)
        return words if hidden or endpoint is None else endpoint.state

    def gateways_are_told(self, shown: Mapping[str, endpoint_pb.Endpoint]) -> None:
        """A cell's table is the fold of its events: it lets pass what may pass, and every alteration is a new one."""
        entries, snapshot = fold(self.run(self._events())), self.run(self.world.app.feed.snapshot("default"))
        held = {key_of(entry): entry for entry in snapshot.entries()}
        assert present(held) == present(entries)
        passing = {id_ for id_, each in self.model.there() if each.state in PASSES or each.drain_until}
        assert {id_ for id_, entry in present(held).items() if entry.WhichOneof("entry") == "endpoint"} == passing
        leases: list[str] = []
        for id_, entry in held.items():
            if entry.WhichOneof("entry") != "endpoint":
                continue
            leases += [lease.address for lease in entry.endpoint.sources]
            assert entry.endpoint.generation == shown[id_].generation
            assert entry.endpoint.removed == (self.model.endpoints[id_].state not in PASSES)
            assert entry.endpoint.draining_until // SECOND == self.model.endpoints[id_].drain_until
            before = self.last.get(id_)
            if before is not None and _without_generation(before) != _without_generation(entry):
                assert entry.endpoint.generation > before.endpoint.generation, "an alteration that nobody would hear of"
            if self.model.endpoints[id_].state in PASSES:
                assert self.model.members() <= {lease.gateway_id for lease in entry.endpoint.sources}
        assert len(set(leases)) == len(leases), "two endpoints of one provider have one source address"
        self.last = {**self.last, **held}
        head = self.run(self.world.store.head()).position
        self.then[head] = (self.run(self.world.store.query(places)), present(held))

    async def _events(self) -> list[RecordedEvent]:
        return [event async for event in self.world.app.feed.events("default", 0, 0)]

    def claims_and_counters_are_what_the_log_says_and_quotas_hold(self) -> None:
        holdings = self.run(self.world.store.holdings())
        assert rebuild_holdings(self.run(whole_log(self.world.store)), self._meaning()) == holdings
        for who in (CONSUMER, PROVIDER):
            theirs = sum(each.owner == who for _, each in self.model.there())
            assert holdings.counters.get(("endpoints", str(who)), 0) == theirs <= QUOTA
        markers = [claim for claim in holdings.claims if claim.kind == "marker"]
        assert len(markers) == len(self.model.endpoints), "each endpoint that ever was has a marker of its own"

    def _meaning(self) -> Callable[[RecordedEvent], Constraints]:
        streams = Streams(self.world.store)
        by_kind = {
            "endpoint": streams.endpoints.meaning(),
            "gateway": streams.gateways.meaning(),
            "service_forwarding": streams.services.meaning(),
            "attachment": streams.attachments.meaning(),
        }
        return lambda event: by_kind[event.stream.partition("-")[0]](event)

    # what is looked at now and then

    def rebuilt_is_live(self) -> None:
        store = self.world.store
        live = self.run(store.query(lambda connection: contents(connection, [TABLE])))
        self.run(store.rebuild())
        assert self.run(store.query(lambda connection: contents(connection, [TABLE]))) == live

    def log_proves_itself(self) -> None:
        head = self.run(self.world.store.head())
        verdict = verify(head.log_id, self.run(whole_log(self.world.store)))
        assert verdict.ok, verdict.fault

    def digest_fits(self, position: int, entries: Entries) -> None:
        for gateway in ("", "gw-1"):
            found = self.run(self.world.app.feed.digest("default", position, gateway))
            lines = [line_of(entry, gateway) for entry in entries.values()]
            assert (found.digest, found.entries) == (digest(lines), len(lines))


def fold(events: list[RecordedEvent]) -> Entries:
    """The table as a gateway makes it of events."""
    told = (events_pb.EndpointEvent.FromString(event.data).forwarding for event in events)
    return {key_of(entry): entry for entry in told if entry.WhichOneof("entry")}


def present(entries: Entries) -> Entries:
    return {
        id_: entry
        for id_, entry in entries.items()
        if not (entry.attachment.removed or entry.service.removed or entry.endpoint.removed)
        or entry.endpoint.draining_until
    }


def line_of(entry: forwarding_pb.ForwardingEntry, gateway: str) -> str:
    """What counts of an entry when gateways compare their table."""
    match entry.WhichOneof("entry"):
        case "attachment":
            return f"attachment {entry.attachment.vpc_id} {entry.attachment.version}"
        case "service":
            return f"service {entry.service.service_id} {entry.service.version}"
        case _:
            leases = [f" {lease.address}" for lease in entry.endpoint.sources if lease.gateway_id == gateway]
            return f"endpoint {entry.endpoint.endpoint_id} {entry.endpoint.generation}{''.join(leases[:1])}"


def key_of(entry: forwarding_pb.ForwardingEntry) -> str:
    return entry.attachment.vpc_id or entry.service.service_id or entry.endpoint.endpoint_id


def _without_generation(entry: forwarding_pb.ForwardingEntry) -> bytes:
    copy = forwarding_pb.ForwardingEntry()
    copy.CopyFrom(entry)
    copy.endpoint.ClearField("generation")
    return copy.SerializeToString(deterministic=True)


def _state(shown: endpoint_pb.Endpoint | endpoint_pb.Connection) -> str:
    return endpoint_pb.ConnectionState.Name(shown.state).removeprefix("CONNECTION_STATE_")

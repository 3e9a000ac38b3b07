"""A request for an endpoint: an address from the registry, a cell, then the endpoint itself."""

import asyncio
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from weakref import WeakValueDictionary

import structlog

from services.common.addressing import Network
from services.common.errors import QuotaReached, Refused, WrongState
from services.common.eventsourcing.context import CommandContext
from services.common.eventsourcing.store import AlreadyClaimed, EventStore, LimitReached, OutcomeUnknown, StoreError
from services.common.labels import Tag
from services.common.principal import Principal
from services.endpoint.application.agenda import Agenda
from services.endpoint.application.cells import Cells
from services.endpoint.application.expiries import Expiries
from services.endpoint.application.forwarding import Forwarding
from services.endpoint.application.limits import UNLIMITED, Limits
from services.endpoint.application.names import Names
from services.endpoint.application.registry import Registry, Reservation
from services.endpoint.application.routes import refuse_taken_routes
from services.endpoint.application.sources import Sources
from services.endpoint.application.streams import Streams
from services.endpoint.domain import policy, source_addresses
from services.endpoint.domain.endpoint import CONSUMER, ENDPOINTS, MARKER, Absent, State
from services.endpoint.domain.endpoint_commands import Request
from services.endpoint.domain.facts import Facts, Placement, Whitelist
from services.endpoint.domain.routes import Place, Routing, ports_of
from services.endpoint.wire.stored import endpoint_stream
from sidegate.api.endpoint.v1 import endpoint_pb2 as endpoint_pb

NAMES = uuid.UUID("6d0f5c1e-5a0c-4f0e-9d55-0b6a8a7c9e11")
"""The name space of ids that are made from requests."""

FIRST_CHOICE = "default"
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Wanted:
    """An endpoint as its consumer asks for it."""

    name: str
    service: str
    place: Place
    allowed: tuple[Network, ...]
    description: str = ""
    tags: tuple[Tag, ...] = ()
    whitelist: Whitelist = Whitelist.AS_LISTED
    policy: str = ""
    dns: bool = False


class Requests:
    def __init__(
        self,
        *,
        store: EventStore,
        streams: Streams,
        registry: Registry,
        cells: Cells,
        forwarding: Forwarding,
        sources: Sources,
        agenda: Agenda,
        expiries: Expiries,
        limits: Limits,
        marker: Callable[[], int],
        names: Names,
    ) -> None:
        self._store = store
        self._streams = streams
        self._registry = registry
        self._cells = cells
        self._forwarding = forwarding
        self._sources = sources
        self._agenda = agenda
        self._expiries = expiries
        self._limits = limits
        self._marker = marker
        self._names = names
        self._under_way: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def quota(self, by: Principal) -> tuple[int, int]:
        """How many endpoints the project has and may have."""
        return await self._store.count(ENDPOINTS, str(by)), self._limits.endpoints

    async def request(self, wanted: Wanted, context: CommandContext) -> endpoint_pb.Endpoint:
        """Makes the endpoint, or gives the first answer to the same request again."""
        id_ = endpoint_id(context)
        # Of two that repeat one request, neither may give back the address that the other is about to use.
        async with self._under_way.setdefault(id_, asyncio.Lock()):
            if (key := context.request_key) and (first := await self._store.recall(key, context.command_hash)):
                return endpoint_pb.Endpoint.FromString(first.response)
            return await self._make(id_, wanted, context)

    async def _make(self, id_: str, wanted: Wanted, context: CommandContext) -> endpoint_pb.Endpoint:
        """A cancelled one leaves its address to the registry, which asks about it before it frees it."""
        reservation = await self._registry.reserve(
            endpoint=id_,
            owner=context.principal,
            service=wanted.service,
            place=wanted.place,
            validate_only=context.validate_only,
        )
        try:
            cell = common_cell(reservation)
            if not context.validate_only:
                await self._forwarding.prepare(cell, reservation)
            names = self._names.of(id_, reservation.service) if wanted.dns else ()
            facts = replace(_facts(id_, wanted, reservation, cell, context), dns_names=names)
            answer = await self._append(facts, reservation, context)
        except OutcomeUnknown:
            raise  # the endpoint may be there: its address is left to the registry, as of one that was cancelled
        except (Refused, StoreError):
            await self._release(id_)
            raise
        if context.validate_only:
            return answer
        service = reservation.service
        self._agenda.recheck(service=service.id, vpcs=(reservation.vpc, service.vpc))
        return answer

    async def _append(self, facts: Facts, reservation: Reservation, context: CommandContext) -> endpoint_pb.Endpoint:
        taken: set[str] = set()
        while True:
            joined = self._cells.joined(facts.placement.cell)
            leases = source_addresses.leases(facts.id, joined, taken)
            undecided = reservation.service.decides_on(facts.owner.account, facts.tags)
            command = Request(replace(facts, marker=self._marker(), sources=leases), undecided)
            try:
                answer = await self._execute(command, reservation.service.endpoints_per_account, context)
            except AlreadyClaimed as clash:
                await self._names.explain(clash)
                refuse_taken_routes(clash, facts.service)
                if clash.claim.kind != MARKER:
                    taken = await self._sources.taken(facts.placement.provider_vpc)
                continue
            for gateway in self._cells.joined(facts.placement.cell) - joined:
                self._agenda.welcome(facts.placement.cell, gateway)
            return answer

    async def _execute(self, command: Request, per_account: int, context: CommandContext) -> endpoint_pb.Endpoint:
        """`per_account` is how many endpoints of the service an account may have; 0 is no limit."""
        limits = {} if self._limits.endpoints == UNLIMITED else {ENDPOINTS: self._limits.endpoints}
        limits |= {CONSUMER: per_account} if per_account else {}
        stream = endpoint_stream(command.facts.id)
        try:
            outcome = await self._streams.endpoints.execute(stream, command, context, self._render, limits=limits)
        except LimitReached as reached:
            if reached.count.kind == CONSUMER:
                text = f"the account has {reached.value} endpoints of this service, as many as its owner lets it have"
                raise QuotaReached("CONSUMER_LIMIT", text, field="endpoint.service") from reached
            text = f"the project has {reached.value} endpoints, as many as it may: delete one first"
            raise QuotaReached("ENDPOINT_QUOTA", text) from reached
        if not isinstance(outcome.state, Absent) and not context.validate_only:
            self._expiries.note(outcome.state.facts)
        return endpoint_pb.Endpoint.FromString(outcome.response)

    def _render(self, state: State, _version: int) -> bytes:
        return self._cells.show(state).SerializeToString()

    async def _release(self, id_: str) -> None:
        """Best effort: the registry asks about addresses of endpoints that it has not heard of, and frees them."""
        try:
            state, _ = await self._streams.endpoints.load(endpoint_stream(id_))
            if isinstance(state, Absent):
                await self._registry.release(id_)
        except (Refused, StoreError) as error:
            log.warning("an address is left to the registry", endpoint=id_, why=str(error))


def endpoint_id(context: CommandContext) -> str:
    """The same for the same request, so that a retry finds what the first attempt left."""
    if not context.request_id or context.validate_only:
        return str(uuid.uuid4())
    who = context.principal
    parts = (who.account, who.project, context.method, context.request_id, context.command_hash.hex())
    return str(uuid.uuid5(NAMES, "/".join(parts)))


def common_cell(reservation: Reservation) -> str:
    """A cell whose gateways reach both VPCs."""
    both = reservation.consumer.keys() & reservation.provider.keys()
    if not both:
        raise WrongState(
            "NO_COMMON_CELL",
            "no gateway reaches both your VPC and the service: ask the operator to attach your VPC where it is",
        )
    return FIRST_CHOICE if FIRST_CHOICE in both else min(both)


def _facts(id_: str, wanted: Wanted, reservation: Reservation, cell: str, context: CommandContext) -> Facts:
    service, rules = reservation.service, reservation.service.rules
    return Facts(
        id=id_,
        owner=context.principal,
        name=wanted.name,
        service=service.id,
        service_full_name=service.full_name,
        subnet=reservation.subnet,
        vpc=reservation.vpc,
        address=reservation.address,
        port=reservation.port,
        marker=0,
        placement=Placement(cell, service.owner, service.vpc),
        created_at=context.at_ns,
        updated_at=context.at_ns,
        allowed=wanted.allowed,
        description=wanted.description,
        tags=wanted.tags,
        whitelist=wanted.whitelist,
        policy=wanted.policy,
        dns=wanted.dns,
        pending_for=rules.pending_for,
        accepted_for=rules.accepted_for,
        counted=True,
        service_version=service.version,
        expires_at=context.at_ns + rules.pending_for if rules.pending_for else 0,
        routing=_routing(wanted, reservation, context.principal),
    )


def _routing(wanted: Wanted, reservation: Reservation, owner: Principal) -> Routing | None:
    """None where the endpoint has an address."""
    tables, service = reservation.tables, reservation.service
    if not tables.ids:
        return None
    held = policy.Held(wanted.policy, owner.account, ports_of(service.ports))
    return policy.routing(tables.ids, service.public_prefixes, tables.subnets, held)

"""The addresses of endpoints: reserved in one breath with the question whether the service may be connected to."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

from services.common.addressing import family, network_of
from services.common.clock import SECOND
from services.common.errors import AlreadyExists, Invalid, NotFound, WrongState
from services.common.eventsourcing.context import CommandContext
from services.common.eventsourcing.selection import Cursor, Window
from services.common.eventsourcing.store import AlreadyClaimed, Conflict, Constraints, NotClaimed
from services.common.principal import Principal
from services.registry.application.allocation import Allocator, Wish, rendered
from services.registry.application.endpoints import Endpoints
from services.registry.application.inventory import MOST_CELLS, owned
from services.registry.application.publishing import connectable_service
from services.registry.application.route_reservations import Held, RouteReservations, distinct, require_place
from services.registry.application.streams import Streams, no_answer, on_our_own, stream
from services.registry.domain import port as domain
from services.registry.domain.addresses import parse_address
from services.registry.domain.network import RouteHold
from services.registry.domain.port import Endpoint, Port, Release, Renew, endpoint_claim
from services.registry.domain.service import OFFER, offer
from services.registry.projections import ATTACHMENT, PORT, SUBNET, VPC, Resources, Snapshot
from services.registry.wire.envelope import nanoseconds
from services.registry.wire.ports import holder_of
from services.registry.wire.services import service_of
from sidegate.api.registry.v1 import vpc_pb2
from sidegate.api.registry.v1.endpoint_service_pb2 import EndpointService

PAGE = 1000
NOTHING = Held()
GRACE = 60 * SECOND
"""How long an address is kept for an endpoint that nobody has heard of: longer than any request may take."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """An address for an endpoint of `owner`; `service` is an id or a full name, `address` may be empty."""

    endpoint_id: str
    owner: Principal
    service: str
    subnet_id: str
    address: str
    vpc_id: str = ""
    route_tables: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Reserved:
    """A port, or routes where the service is reached by them."""

    terms: "Terms"
    port: vpc_pb2.Port | None = None
    routes: Held = NOTHING


@dataclass(frozen=True, slots=True)
class Terms:
    """What a reservation relies on, as it was at one position of the log."""

    service: EndpointService
    subnet: vpc_pb2.Subnet | None
    consumer: Sequence[vpc_pb2.Attachment]
    provider: Sequence[vpc_pb2.Attachment]

    @property
    def conditions(self) -> Constraints:
        """That the service is still offered so at the moment of the append."""
        return Constraints(requires=(offer(service_of(self.service)),))


class Reservations:
    def __init__(
        self,
        streams: Streams,
        resources: Resources,
        allocator: Allocator,
        endpoints: Endpoints,
        *,
        routes: RouteReservations,
        region: str,
    ) -> None:
        self._routes, self._region = routes, region
        self._streams = streams
        self._resources = resources
        self._allocator = allocator
        self._endpoints = endpoints
        self._settled: Cursor | None = None

    async def reserve(self, wanted: Wanted, context: CommandContext) -> Reserved:
        """Takes an address for the endpoint, or routes, or gives what it has.

        Raises NotFound, Invalid, WrongState, AlreadyExists.
        """
        while True:
            terms = await self._resources.read(lambda now: _terms(now, wanted, self._region))
            try:
                if terms.subnet is None:
                    return Reserved(terms, routes=await self._reserve_routes(wanted, terms, context))
                held = (await self._streams.holders(endpoint_claim(wanted.endpoint_id))).get(wanted.endpoint_id)
                if held is None:
                    return Reserved(terms, await self._take(wanted, terms, terms.subnet, context))
                if (port := await self._renew(held, wanted, terms, context)) is not None:
                    return Reserved(terms, port)
            except (AlreadyClaimed, NotClaimed) as surprise:
                # The service was changed, or the same request was faster: look again.
                if surprise.claim.kind not in (OFFER, domain.ENDPOINT_PORT):
                    raise

    async def release(self, endpoint_id: str, context: CommandContext) -> None:
        """Gives an endpoint's address back; again is not an error."""
        held = (await self._streams.holders(endpoint_claim(endpoint_id))).get(endpoint_id)
        if held is not None:
            await self._streams.ports.execute(held, Release(), context, no_answer)
        await self._routes.release(endpoint_id, context)

    async def release_unknown(self, at: int) -> None:
        """Gives back what was reserved for endpoints that never came to be; every port is looked at once."""
        await self._routes.release_unknown(at - GRACE, at)
        while page := await self._resources.read(lambda now: now.listed(PORT, Window(PAGE, self._settled)).rows):
            old = list(takewhile(lambda found: nanoseconds(found[1].create_time) < at - GRACE, page))
            if not old or not await self._release_strangers([port for _, port in old], at):
                return
            self._settled = old[-1][0]

    def doubt(self) -> None:
        """Has every port looked at again: deletions may have gone unheard."""
        self._settled = None
        self._routes.doubt()

    async def _reserve_routes(self, wanted: Wanted, terms: Terms, context: CommandContext) -> Held:
        service = service_of(terms.service)
        hold = RouteHold(
            endpoint=wanted.endpoint_id,
            owner=wanted.owner,
            service=service.id,
            tables=distinct(wanted.route_tables),
            prefixes=service.public_prefixes,
            at=context.at_ns,
        )
        return await self._routes.reserve(hold, wanted.vpc_id, terms.conditions, context)

    async def _take(
        self, wanted: Wanted, terms: Terms, subnet: vpc_pb2.Subnet, context: CommandContext
    ) -> vpc_pb2.Port:
        endpoint = Endpoint(wanted.endpoint_id)
        wish = Wish(str(uuid.uuid4()), subnet, wanted.owner, endpoint, wanted.address, "address")
        return await self._allocator.reserve(wish, context, terms.conditions)

    async def _renew(self, held: str, wanted: Wanted, terms: Terms, context: CommandContext) -> vpc_pb2.Port | None:
        """The port that the endpoint has, its reservation young again; None if it was released just now."""
        state, _ = await self._streams.ports.load(held)
        if not isinstance(state, domain.Reserved):
            return None
        _require_same(state.port, wanted)
        try:
            outcome = await self._streams.ports.execute(
                held, Renew(context.at_ns), context, rendered, extra=terms.conditions
            )
        except NotFound:
            return None
        return vpc_pb2.Port.FromString(outcome.response)

    async def _release_strangers(self, ports: Sequence[vpc_pb2.Port], at: int) -> bool:
        """Whether all of these ports are settled: a machine's, a known endpoint's, or released."""
        held = {holder.id: port for port in ports if isinstance(holder := holder_of(port.holder), Endpoint)}
        known = await self._endpoints.known(held.keys()) if held else set()
        strangers = [port.id for endpoint_id, port in held.items() if endpoint_id not in known]
        return all([await self._release_stranger(stream("port", port_id), at) for port_id in strangers])

    async def _release_stranger(self, held: str, at: int) -> bool:
        """False if the reservation was renewed meanwhile: then it is young, and its endpoint may come yet."""
        state, version = await self._streams.ports.load(held)
        if not isinstance(state, domain.Reserved) or not isinstance(state.port.holder, Endpoint):
            return True
        if state.port.created_at >= at - GRACE:
            return False
        # Asked after the version was read: what is renewed from now on makes the release fail.
        if await self._endpoints.known([state.port.holder.id]):
            return True
        try:
            context = on_our_own("ReleaseUnknownReservations", at, version)
            await self._streams.ports.execute(held, Release(), context, no_answer)
        except Conflict:
            return False
        return True


def _terms(now: Snapshot, wanted: Wanted, region: str) -> Terms:
    service = connectable_service(now, wanted.service, wanted.owner.account, region)
    if service.state != EndpointService.STATE_AVAILABLE:
        text = "the endpoint service takes no new endpoints at present: try again later"
        raise WrongState("SERVICE_NOT_AVAILABLE", text)
    provider = now.of(ATTACHMENT, service.vpc_id, MOST_CELLS)
    gateway = service.service_type == EndpointService.SERVICE_TYPE_GATEWAY
    require_place(gateway, wanted.subnet_id, wanted.vpc_id, wanted.address, wanted.route_tables)
    if gateway:
        vpc = owned(VPC, wanted.vpc_id, now.get(VPC, wanted.vpc_id), wanted.owner)
        return Terms(service, None, now.of(ATTACHMENT, vpc.id, MOST_CELLS), provider)
    subnet = owned(SUBNET, wanted.subnet_id, now.get(SUBNET, wanted.subnet_id), wanted.owner)
    if wanted.vpc_id not in ("", subnet.vpc_id):
        text = f"subnet {subnet.id} is in the VPC {subnet.vpc_id}: name that one, or none"
        raise Invalid("SUBNET_OUTSIDE_VPC", text, field="vpc_id")
    _require_family(service_of(service).ip_version, subnet)
    return Terms(service, subnet, now.of(ATTACHMENT, subnet.vpc_id, MOST_CELLS), provider)


def _require_family(version: int, subnet: vpc_pb2.Subnet) -> None:
    found = network_of(subnet.cidr).version
    if found != version:
        text = f"the service is {family(version)} and the subnet {subnet.cidr} {family(found)}"
        way_out = f"nothing translates between them: name a subnet of {family(version)}, or make one"
        raise Invalid("SUBNET_IP_VERSION", f"{text}; {way_out}", field="subnet_id")


def _require_same(port: Port, wanted: Wanted) -> None:
    if (port.subnet_id, port.owner) != (wanted.subnet_id, wanted.owner):
        text = f"endpoint {wanted.endpoint_id} has an address in another subnet already"
        raise AlreadyExists("ENDPOINT_HAS_PORT", text, field="subnet_id")
    if wanted.address and parse_address(wanted.address, "address") != port.address:
        text = f"endpoint {wanted.endpoint_id} has the address {port.address} already"
        raise AlreadyExists("ENDPOINT_HAS_PORT", text, field="address")

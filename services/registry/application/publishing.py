"""Use cases of endpoint services: publish, change, permit, find."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.common.addressing import Address, address_of, networks_of
from services.common.addressing import Network as Range
from services.common.errors import Invalid, NotFound
from services.common.eventsourcing.context import CommandContext
from services.common.eventsourcing.store import AlreadyClaimed, Claim, LimitReached
from services.common.labels import Tag
from services.common.principal import Principal
from services.common.service_settings import USUAL, HealthCheck, SessionSettings
from services.registry.application.inventory import Inventory, owned
from services.registry.application.names import new_name
from services.registry.application.settings import UNLIMITED, Settings
from services.registry.application.streams import Streams, explained, new_id, stream
from services.registry.domain import service as domain
from services.registry.domain.public_prefixes import EXACT, PUBLIC_PREFIX, UNDER, taken
from services.registry.domain.publication import (
    NO_LIMITS,
    NO_RULES,
    UNCHECKED,
    ApprovalRules,
    Backend,
    ClientIdentity,
    ConsumerLimits,
    Grant,
    PortMapping,
    ServerType,
    Service,
    ServiceType,
    Unchecked,
    first_permissions,
    full_name,
    may_connect,
    region_of,
)
from services.registry.domain.service_commands import (
    AddPermissions,
    Change,
    Command,
    Create,
    Network,
    RemovePermissions,
)
from services.registry.projections import PORT, SERVICE, VPC, Resources, Snapshot
from services.registry.wire.publications import AskedBackend, OfPort, Target
from services.registry.wire.services import connectable, service_message, service_of, shown
from sidegate.api.registry.v1 import vpc_pb2
from sidegate.api.registry.v1.endpoint_service_pb2 import ConnectableService, EndpointService


@dataclass(frozen=True, slots=True)
class Draft:
    """A service to be published. `ip_version` is that of its backends; 0 is either."""

    name: str
    vpc_id: str
    backends: Sequence[AskedBackend]
    port_mappings: tuple[PortMapping, ...]
    approval_required: bool
    description: str = ""
    tags: tuple[Tag, ...] = ()
    client_identity: ClientIdentity = ClientIdentity.NONE
    service_type: ServiceType = ServiceType.INTERFACE
    server_type: ServerType = ServerType.VM
    approval_rules: ApprovalRules = NO_RULES
    consumer_limits: ConsumerLimits = NO_LIMITS
    policy_enabled: bool = False
    session_settings: SessionSettings = USUAL
    health_check: HealthCheck | Unchecked = UNCHECKED
    ip_version: int = 0
    private_name: str = ""
    public_prefixes: tuple[Range, ...] = ()


@dataclass(frozen=True, slots=True)
class Revision:
    """What is to be another in a service; None stays."""

    backends: Sequence[AskedBackend] | None = None
    port_mappings: tuple[PortMapping, ...] | None = None
    approval_required: bool | None = None
    description: str | None = None
    tags: tuple[Tag, ...] | None = None
    client_identity: ClientIdentity | None = None
    approval_rules: ApprovalRules | None = None
    consumer_limits: ConsumerLimits | None = None
    name: str | None = None
    session_settings: SessionSettings | None = None
    health_check: HealthCheck | Unchecked | None = None
    private_name: str | None = None


class Publishing:
    def __init__(self, streams: Streams, inventory: Inventory, resources: Resources, settings: Settings) -> None:
        self._streams, self._inventory, self._resources = streams, inventory, resources
        self._settings = settings

    async def create(self, draft: Draft, context: CommandContext) -> EndpointService:
        if (first := await self._streams.first_answer(context)) is not None:
            return EndpointService.FromString(first)
        caller = context.principal
        network, backends = await self._resources.read(lambda now: _placed(now, draft, caller))
        id_ = new_id(context)
        made = Service(
            id=id_,
            owner=caller,
            name=draft.name,
            full_name=full_name(self._settings.region, draft.name, id_),
            vpc_id=draft.vpc_id,
            backends=backends,
            port_mappings=draft.port_mappings,
            approval_required=draft.approval_required,
            created_at=context.at_ns,
            updated_at=context.at_ns,
            grants=tuple(Grant(each, at=context.at_ns) for each in first_permissions(draft.server_type)),
            description=draft.description,
            tags=draft.tags,
            client_identity=draft.client_identity,
            service_type=draft.service_type,
            server_type=draft.server_type,
            approval_rules=draft.approval_rules,
            consumer_limits=draft.consumer_limits,
            policy_enabled=draft.policy_enabled,
            session_settings=draft.session_settings,
            health_check=draft.health_check,
            private_name=new_name(draft.private_name),
            public_prefixes=draft.public_prefixes,
        )
        try:
            return await self._execute(id_, Create(made, network, draft.ip_version), context)
        except (AlreadyClaimed, LimitReached) as clash:
            kind = clash.claim.kind if isinstance(clash, AlreadyClaimed) else clash.count.kind
            if kind not in (PUBLIC_PREFIX, EXACT, UNDER):
                raise
            held = await self._streams.holders(Claim(PUBLIC_PREFIX, ""))
            raise taken(made.public_prefixes, held) from clash

    async def change(self, id_: str, revision: Revision, context: CommandContext) -> EndpointService:
        if (first := await self._streams.first_answer(context)) is not None:
            return EndpointService.FromString(first)
        command = await self._resources.read(lambda now: _change(now, id_, revision, context))
        return await self._execute(id_, command, context)

    async def add_permissions(
        self, id_: str, permissions: Sequence[str], descriptions: Mapping[str, str], context: CommandContext
    ) -> EndpointService:
        """`descriptions` are by permission."""
        return await self._permit(id_, AddPermissions(tuple(permissions), context.at_ns, descriptions), context)

    async def remove_permissions(
        self, id_: str, permissions: Sequence[str], end_connections: bool, context: CommandContext
    ) -> EndpointService:
        return await self._permit(id_, RemovePermissions(tuple(permissions), context.at_ns, end_connections), context)

    async def find(self, named: str, caller: Principal) -> ConnectableService:
        """A service that the caller may connect to, by id or full name. Raises NotFound for every other."""
        region = self._settings.region
        return connectable(
            await self._resources.read(lambda now: connectable_service(now, named, caller.account, region))
        )

    async def quota(self, caller: Principal) -> tuple[int, int]:
        """How many services the caller's project has and may have."""
        return await self._streams.count(domain.SERVICES, str(caller)), self._settings.services

    async def _permit(self, id_: str, command: Command, context: CommandContext) -> EndpointService:
        if (first := await self._streams.first_answer(context)) is not None:
            return EndpointService.FromString(first)
        await self._inventory.owned(SERVICE, id_, context.principal)
        return await self._execute(id_, command, context)

    async def _execute(self, id_: str, command: Command, context: CommandContext) -> EndpointService:
        most = self._settings.services
        limits = {} if most == UNLIMITED else {domain.SERVICES: most}
        with explained():
            outcome = await self._streams.services.execute(
                stream("service", id_), command, context, rendered, limits=limits
            )
        return EndpointService.FromString(outcome.response)


def rendered(state: domain.State, _version: int) -> bytes:
    return shown(service_message(state)).SerializeToString(deterministic=True)


def connectable_service(now: Snapshot, named: str, account: str, region: str) -> EndpointService:
    """The service of this id or full name. One that the account may not connect to reads as not there.

    A full name of another region is refused, whatever there is: that it is another's is in the caller's own words.
    """
    found = now.get(SERVICE, named.rpartition(".")[2])
    if found is not None and named in (found.id, found.full_name) and may_connect(service_of(found), account):
        return found
    if (asked := region_of(named)) not in ("", region):
        text = (
            f"{named} is in the region {asked}, and this is {region}: an endpoint leads to a service of its own region"
        )
        raise Invalid("OTHER_REGION", f"{text}, so ask {asked} for one", field="service")
    raise NotFound(SERVICE.name, named)


def _placed(now: Snapshot, draft: Draft, caller: Principal) -> tuple[Network, tuple[Backend, ...]]:
    vpc = owned(VPC, draft.vpc_id, now.get(VPC, draft.vpc_id), caller)
    return _network(vpc), _backends(now, draft.backends, vpc.id)


def _change(now: Snapshot, id_: str, revision: Revision, context: CommandContext) -> Change:
    service = owned(SERVICE, id_, now.get(SERVICE, id_), context.principal)
    vpc = now.get(VPC, service.vpc_id)
    backends = None if revision.backends is None else _backends(now, revision.backends, service.vpc_id)
    return Change(
        context.at_ns,
        () if vpc is None else _network(vpc),
        backends,
        revision.port_mappings,
        revision.approval_required,
        revision.description,
        revision.tags,
        revision.client_identity,
        revision.approval_rules,
        revision.consumer_limits,
        revision.name,
        revision.session_settings,
        revision.health_check,
        None if revision.private_name is None else new_name(revision.private_name),
    )


def _network(vpc: vpc_pb2.Vpc) -> Network:
    return networks_of(vpc.cidrs)


def _backends(now: Snapshot, asked: Sequence[AskedBackend], vpc_id: str) -> tuple[Backend, ...]:
    """The backends with their addresses: of a port, the one that it has now."""
    return tuple(each.at(_address(now, each.target, vpc_id, index)) for index, each in enumerate(asked))


def _address(now: Snapshot, target: Target, vpc_id: str, index: int) -> Address:
    if not isinstance(target, OfPort):
        return target
    port = now.get(PORT, target.port_id)
    if port is None or port.vpc_id != vpc_id:
        text = f"port {target.port_id} is not in the service's VPC"
        raise Invalid("BACKEND_PORT_NOT_FOUND", text, field=f"endpoint_service.backends[{index}].port_id")
    return address_of(port.address)

"""`sidegate service`: what providers publish."""

from collections.abc import Sequence
from typing import Annotated

import typer

from sidegate.api.registry.v1.endpoint_service_pb2 import (
    ApprovalRules,
    Backend,
    ConnectableService,
    ConsumerLimits,
    EndpointService,
    SessionSettings,
)
from sidegate.cli import completing, happenings, parsing, resolve, service_sights
from sidegate.cli.command import Noun
from sidegate.cli.identities import IDENTITIES, Identity
from sidegate.cli.offers import (
    SERVERS,
    TYPES,
    LimitOptions,
    OfType,
    OneIdentity,
    OnePrivateName,
    OtherIdentity,
    OtherPrivateName,
    Permissions,
    Prefixes,
    RuleOptions,
    Servers,
    Type,
    Weights,
)
from sidegate.cli.options import (
    BackendAddresses,
    BackendPorts,
    Backends,
    ByChange,
    Description,
    From,
    InStates,
    InVpc,
    NameContains,
    NewestFirst,
    NoTags,
    OfVpc,
    OneService,
    OtherDescription,
    PortMappings,
    Tags,
    WithTags,
)
from sidegate.cli.outcome import Complaint, Exit
from sidegate.cli.session import Session
from sidegate.cli.session_options import HealthOptions, SessionOptions
from sidegate.cli.streaming import Running
from sidegate.resources.service_changes import Changes

noun = Noun("service", "Endpoint services: what a provider publishes from one of his VPCs.")


@noun.write(
    "create",
    "sidegate service create web --vpc payments --backend 10.0.0.10 --port 80:8080/tcp --approval",
    "sidegate service create web6 --vpc payments --backend fd00:20::10 --port 80:8080/tcp",
    "sidegate service create dns --vpc payments --backend 10.0.0.2=3 --backend 10.0.0.3 --port 53/udp --port 53",
    "sidegate service create api --vpc payments --backend 10.0.0.4 --port 443:8443 --health-check http:8080/healthz",
    "sidegate service create www --vpc pay --backend 10.0.0.6 --port 443 --private-name www.example.com",
    "sidegate service create s3 --vpc ops --backend 10.0.0.6 --port 443 --type gateway --servers cloud"
    " --prefix 100.125.0.0/16",
    "sidegate service create tls --vpc pay --backend 10.0.0.5 --port 443/tcp+proxy --port 80 --client-identity toa",
)
async def create(
    session: Session,
    *,
    name: Annotated[str, typer.Argument(help="Unique in the project.")],
    vpc: InVpc,
    port: PortMappings = None,
    backend: Backends = None,
    backend_port: BackendPorts = None,
    approval: Annotated[bool, typer.Option("--approval", help="Decide on each connection.")] = False,
    description: Description = "",
    tag: Tags = None,
    identity: OneIdentity = Identity.NONE,
    type_: OfType = Type.INTERFACE,
    prefix: Prefixes = None,
    servers: Annotated[
        Servers, typer.Option("--servers", help="What the backends are; cloud: a platform service, the operator's.")
    ] = Servers.VM,
    private_name: OnePrivateName = "",
    decided: RuleOptions,
    limits: LimitOptions,
    sessions: SessionOptions,
    health: HealthOptions,
) -> EndpointService:
    """Publish an endpoint service."""
    backends = await _backends(session, backend, backend_port)
    if not backends:
        raise Complaint("a service needs a backend", Exit.USAGE, "give --backend IP or --backend-port PORT")
    if not port:
        raise Complaint("a service publishes at least one port", Exit.USAGE, "give --port, such as --port 80:8080/tcp")
    vpc_id = await resolve.vpc(session.sidegate, vpc)
    return await session.sidegate.services.create(
        name,
        vpc_id,
        backends,
        port,
        approval_required=approval,
        description=description,
        tags=tag or (),
        client_identity=IDENTITIES[identity],
        service_type=TYPES[type_],
        public_prefixes=prefix or (),
        server_type=SERVERS[servers],
        approval_rules=decided.rules,
        consumer_limits=limits.over(ConsumerLimits()),
        session_settings=sessions.over(SessionSettings()),
        health_check=health.over(None),
        private_name=private_name,
    )


@noun.verb("get", "sidegate service get web")
async def get(session: Session, service: OneService) -> EndpointService:
    """Show a service of the project."""
    return await session.sidegate.services.get(await resolve.service(session.sidegate, service))


@noun.verb(
    "list",
    "sidegate service list",
    "sidegate service list -o wide",
    "sidegate service list --state available --newest-first",
)
async def list_(
    session: Session,
    *,
    state: InStates = None,
    name_contains: NameContains = "",
    vpc: OfVpc = "",
    tag: WithTags = None,
    newest_first: NewestFirst = False,
    by_change: ByChange = False,
) -> Sequence[EndpointService]:
    """List the project's services."""
    found = session.sidegate.services.list(
        states=parsing.service_states(state),
        name_contains=name_contains,
        vpc_id=await resolve.vpc(session.sidegate, vpc) if vpc else "",
        tags=parsing.with_tags(tag),
        newest_first=newest_first,
        order=parsing.order(by_change),
    )
    return [service async for service in found]


@noun.write(
    "update",
    "sidegate service update web --backend 10.0.0.10=3 --backend 10.0.0.11/draining",
    "sidegate service update web --no-approval",
    "sidegate service update web --account-endpoints 5",
    "sidegate service update web --approval --accept-account shop --expire-pending 86400",
    "sidegate service update web --description storefront --tag team=web",
    "sidegate service update web --idle-tcp 10m --affinity source-address --reset-expired",
    "sidegate service update web --health-check http:8080/healthz --health-interval 10s --health-status 200-299",
    "sidegate service update web --client-identity proxy",
    "sidegate service update web --connections 5000 --new-connections 200 --bits 100M",
    etag=True,
)
async def update(
    session: Session,
    *,
    service: OneService,
    name: Annotated[str | None, typer.Option("--name", help="Another name; empty for none.")] = None,
    backend: Backends = None,
    backend_port: BackendPorts = None,
    port: PortMappings = None,
    approval: Annotated[
        bool | None, typer.Option("--approval/--no-approval", help="Decide on each connection.")
    ] = None,
    description: OtherDescription = None,
    tag: Tags = None,
    no_tags: NoTags = False,
    identity: OtherIdentity = None,
    private_name: OtherPrivateName = None,
    decided: RuleOptions,
    limits: LimitOptions,
    sessions: SessionOptions,
    health: HealthOptions,
    no_rules: Annotated[bool, typer.Option("--no-rules", help="Take all rules of approval away.")] = False,
    no_health_check: Annotated[
        bool, typer.Option("--no-health-check", help="Ask backends no more: all get new sessions.")
    ] = False,
) -> EndpointService:
    """Change backends, ports, the need of approval or what is said: each as a whole, what is not named stays.

    Limits, idle times and the health check change option by option.
    """
    backends = await _backends(session, backend, backend_port)
    if no_health_check and health.said:
        raise Complaint("--no-health-check leaves nothing to be said of it", Exit.USAGE, "give one or the other")
    changes: Changes = {
        "backends": backends or None,
        "port_mappings": port or None,
        "approval_required": approval,
        "description": description,
        "tags": parsing.other_tags(tag, no_tags),
        "client_identity": None if identity is None else IDENTITIES[identity],
        "approval_rules": ApprovalRules() if no_rules else decided.rules,
        "name": name,
        "private_name": private_name,
    }
    in_part = limits.said or sessions.said or health.said
    if not in_part and not no_health_check and all(each is None for each in changes.values()):
        raise Complaint("nothing to change", Exit.USAGE, "name what is to be another: see --help")
    changes["no_health_check"] = no_health_check
    id = await resolve.service(session.sidegate, service)
    if not in_part:
        return await session.sidegate.services.update(id, **changes)
    return await session.sidegate.services.revise(
        id,
        lambda known: {
            **changes,
            "consumer_limits": limits.over(known.consumer_limits),
            "session_settings": sessions.over(known.session_settings),
            "health_check": health.over(known.health_check if known.HasField("health_check") else None),
        },
    )


@noun.write("verify-name", "sidegate service verify-name web", etag=True)
async def verify_name(session: Session, service: OneService) -> EndpointService:
    """Have the TXT record looked up that shows a service's private name to be yours: `service get` says which."""
    return await session.sidegate.services.verify_name(await resolve.service(session.sidegate, service))


@noun.write("drain", "sidegate service drain web 10.0.0.10", "sidegate service drain web 10.0.0.10 10.0.0.11")
async def drain(session: Session, service: OneService, addresses: BackendAddresses) -> EndpointService:
    """Give backends no new sessions. Those that are open stay until they end."""
    return await session.sidegate.services.drain(await resolve.service(session.sidegate, service), addresses)


@noun.write("undrain", "sidegate service undrain web 10.0.0.10")
async def undrain(session: Session, service: OneService, addresses: BackendAddresses) -> EndpointService:
    """Give backends new sessions again."""
    return await session.sidegate.services.undrain(await resolve.service(session.sidegate, service), addresses)


@noun.write("weigh", "sidegate service weigh web 10.0.0.10=3", "sidegate service weigh web 10.0.0.10=90 10.0.0.11=10")
async def weigh(session: Session, service: OneService, weights: Weights) -> EndpointService:
    """Share out new sessions in other proportions. Sessions that are open stay where they are."""
    id = await resolve.service(session.sidegate, service)
    return await session.sidegate.services.weigh(id, {each.address: each.weight for each in weights})


@noun.write(
    "permit", "sidegate service permit web iam:domain::shop", "sidegate service permit web 'iam:domain::*'", etag=True
)
async def permit(
    session: Session, service: OneService, permissions: Permissions, description: OtherDescription = None
) -> EndpointService:
    """Let accounts connect, or describe permissions that are there."""
    id = await resolve.service(session.sidegate, service)
    return await session.sidegate.services.permit(id, permissions, description=description)


@noun.write("forbid", "sidegate service forbid web iam:domain::shop --end-connections", etag=True)
async def forbid(
    session: Session,
    service: OneService,
    permissions: Permissions,
    end_connections: Annotated[
        bool, typer.Option("--end-connections", help="End the connections of those who may not connect any more.")
    ] = False,
) -> EndpointService:
    """Let accounts connect no more. Connections that exist stay, unless they are to end."""
    id = await resolve.service(session.sidegate, service)
    return await session.sidegate.services.forbid(id, permissions, end_connections=end_connections)


@noun.verb(
    "lookup",
    "sidegate --account shop service lookup region-1.web.6f1c2a3b-5d0e-4f6a-9b1c-2d3e4f5a6b7c",
    "sidegate service lookup web",
)
async def lookup(
    session: Session,
    service: Annotated[
        str,
        typer.Argument(
            metavar="SERVICE",
            help="Its full name or id; its name where it is yours.",
            autocompletion=completing.service,
        ),
    ],
) -> ConnectableService:
    """Show what you may know of a service that you may connect to."""
    return await session.sidegate.services.lookup(await resolve.connectable(session.sidegate, service))


@noun.verb("list-platform", "sidegate --account shop service list-platform", "sidegate service list-platform -o json")
async def list_platform(session: Session, *, name_contains: NameContains = "") -> Sequence[ConnectableService]:
    """List the platform's services, which the operator publishes and everybody may connect to."""
    return [each async for each in session.sidegate.services.list_platform(full_name_contains=name_contains)]


@noun.write("delete", "sidegate service delete web", "sidegate service delete web --force", etag=True)
async def delete(
    session: Session,
    service: OneService,
    force: Annotated[bool, typer.Option("--force", help="End live connections instead of refusing.")] = False,
) -> EndpointService:
    """Delete a service without live connections."""
    id = await resolve.service(session.sidegate, service)
    return await session.sidegate.services.delete(id, force=force)


async def _backends(
    session: Session, by_address: Sequence[Backend] | None, by_port: Sequence[Backend] | None
) -> list[Backend]:
    for backend in by_port or ():
        backend.port_id = await resolve.port(session.sidegate, backend.port_id)
    return [*(by_address or ()), *(by_port or ())]


service_sights.add_to(noun)


@noun.endless("watch", "sidegate service watch", "sidegate service watch web -o json")
async def watch(
    session: Session,
    service: Annotated[
        str, typer.Argument(metavar="[SERVICE]", help="Only this one: its name, id, or beginning of the id.")
    ] = "",
    after: From = None,
) -> Running:
    """Tell what happens to the project's services, as it happens, until Ctrl-C."""
    id = await resolve.service(session.sidegate, service) if service else ""
    return happenings.running(
        "watching services",
        lambda told: session.sidegate.services.watch(id=id, after=after, interrupted=told),
    )

"""`sidegate endpoint`: addresses that lead to services."""

from collections.abc import Sequence
from typing import Annotated

import typer

from sidegate import errors
from sidegate.api.endpoint.v1 import endpoint_pb2
from sidegate.api.endpoint.v1.endpoint_pb2 import Endpoint
from sidegate.cli import completing, happenings, parsing, passing, resolve, tables, tested, traced
from sidegate.cli.command import Noun
from sidegate.cli.options import (
    Allow,
    ByChange,
    Description,
    Drain,
    From,
    InStates,
    NameContains,
    NewestFirst,
    NoTags,
    OfVpc,
    OneEndpoint,
    OtherDescription,
    Tags,
    Timeout,
    Wait,
    WithTags,
)
from sidegate.cli.outcome import Complaint, Exit
from sidegate.cli.packets import FromClient, OfProtocol, ToAddress, ToPort, Transport, opening
from sidegate.cli.parsing import connection_states
from sidegate.cli.passing import Over, OverOption
from sidegate.cli.session import Session
from sidegate.cli.streaming import Running
from sidegate.cli.view import View
from sidegate.cli.waits import settle

ACCEPTED, DELETED = endpoint_pb2.CONNECTION_STATE_ACCEPTED, endpoint_pb2.CONNECTION_STATE_DELETED

WHITELISTS = {True: Endpoint.WHITELIST_ENABLED, False: Endpoint.WHITELIST_DISABLED}
Whitelist = Annotated[
    bool | None,
    typer.Option(
        "--whitelist/--no-whitelist",
        help="Let in only what --allow names, nobody without; or everybody, whatever it names.",
    ),
]
Policy = Annotated[
    str | None,
    typer.Option(
        metavar="JSON",
        parser=parsing.policy,
        help="A policy document, or @FILE that has it; '' for none. Gateways hold to it where the endpoint is in route"
        " tables; else it is kept as it is given.",
    ),
]
InRouteTables = Annotated[
    list[str] | None,
    typer.Option(
        "--route-table",
        metavar="TABLE",
        help="Of a gateway-type service: a route table of the VPC, by name or id; once for each.",
        autocompletion=completing.route_table,
    ),
]
Dns = Annotated[
    bool | None,
    typer.Option("--dns/--no-dns", help="Have the VPC's resolver answer to its own name, and to its service's."),
]

noun = Noun("endpoint", "Endpoints: addresses in your subnets, or routes of your VPCs, that lead to services.")


@noun.write(
    "create",
    "sidegate endpoint create --service region-1.web.6f1c2a3b-5d0e-4f6a-9b1c-2d3e4f5a6b7c --subnet front --wait",
    "sidegate endpoint create --service web --subnet front --ip 10.0.0.20 --allow 10.0.0.0/28 --name to-web",
    "sidegate endpoint create --service region-1.s3.6f1c2a3b-5d0e-4f6a-9b1c-2d3e4f5a6b7c --vpc shop",
    "sidegate endpoint create --service s3 --vpc shop --route-table private --route-table default",
    "sidegate endpoint create --service web6 --subnet front6 --ip fd00:10::20 --allow fd00:10::/80",
)
async def create(
    session: Session,
    *,
    service: Annotated[
        str,
        typer.Option(
            metavar="SERVICE",
            help="Its full name or id; its name where it is yours.",
            autocompletion=completing.service,
        ),
    ],
    subnet: Annotated[
        str,
        typer.Option(
            metavar="SUBNET",
            help="Where its address is taken from, by name or id; of the service's IP version.",
            autocompletion=completing.subnet,
        ),
    ] = "",
    vpc: Annotated[
        str,
        typer.Option(
            metavar="VPC",
            help="Of a gateway-type service, instead of a subnet: the VPC whose routes lead to it.",
            autocompletion=completing.vpc,
        ),
    ] = "",
    route_table: InRouteTables = None,
    ip: Annotated[str, typer.Option(metavar="IP", help="The address wanted; else a free one of the subnet.")] = "",
    allow: Allow = None,
    name: Annotated[str, typer.Option(metavar="NAME", help="For people; need not be unique.")] = "",
    description: Description = "",
    tag: Tags = None,
    whitelist: Whitelist = None,
    policy: Policy = None,
    dns: Dns = None,
    wait: Wait = False,
    within: Timeout = 60.0,
) -> View:
    """Request an endpoint; with --wait, end when packets pass."""
    if not subnet and not vpc:
        way_out = "give --subnet, or --vpc where the service is of type gateway"
        raise Complaint("an endpoint is somewhere", Exit.USAGE, way_out)
    vpc_id = await resolve.vpc(session.sidegate, vpc) if vpc else ""
    endpoint = await session.sidegate.endpoints.create(
        await resolve.connectable(session.sidegate, service),
        await resolve.subnet(session.sidegate, subnet) if subnet else "",
        address=ip,
        vpc_id=vpc_id,
        route_tables=await _tables(session, route_table, vpc_id),
        allowed_cidrs=allow or (),
        name=name,
        description=description,
        tags=tag or (),
        whitelist=Endpoint.WHITELIST_UNSPECIFIED if whitelist is None else WHITELISTS[whitelist],
        policy=policy or "",
        dns_enabled=bool(dns),
    )
    if not wait:
        return tables.resource(endpoint)
    return await settle(session, endpoint, lambda: session.sidegate.endpoints.get(endpoint.id), ACCEPTED, within)


@noun.verb("get", "sidegate endpoint get to-web", "sidegate endpoint get 6f1c2a3b -o json")
async def get(session: Session, endpoint: OneEndpoint) -> Endpoint:
    """Show an endpoint."""
    return await session.sidegate.endpoints.get(await resolve.endpoint(session.sidegate, endpoint))


@noun.verb(
    "list", "sidegate endpoint list", "sidegate endpoint list -o wide", "sidegate endpoint list --state rejected"
)
async def list_(
    session: Session,
    *,
    state: InStates = None,
    name_contains: NameContains = "",
    service: Annotated[
        str, typer.Option(metavar="SERVICE", help="Only those of a service: its full name or id; its name if yours.")
    ] = "",
    vpc: OfVpc = "",
    tag: WithTags = None,
    newest_first: NewestFirst = False,
    by_change: ByChange = False,
) -> Sequence[Endpoint]:
    """List the project's endpoints."""
    of = (await resolve.connectable(session.sidegate, service)).rpartition(".")[2] if service else ""
    found = session.sidegate.endpoints.list(
        states=connection_states(state),
        name_contains=name_contains,
        service_id=of,
        vpc_id=await resolve.vpc(session.sidegate, vpc) if vpc else "",
        tags=parsing.with_tags(tag),
        newest_first=newest_first,
        order=parsing.order(by_change),
    )
    return [endpoint async for endpoint in found]


@noun.verb("test", "sidegate endpoint test to-web", "sidegate endpoint test 6f1c2a3b -o json")
async def test(session: Session, endpoint: OneEndpoint) -> View:
    """Try out whether packets pass, step by step; the exit code is 1 if they do not. Takes up to four seconds."""
    return tested.view(await session.sidegate.endpoints.test(await resolve.endpoint(session.sidegate, endpoint)))


@noun.verb("traffic", "sidegate endpoint traffic to-web", "sidegate endpoint traffic to-web --over 3h -o json")
async def traffic(session: Session, endpoint: OneEndpoint, *, over: OverOption = Over.TEN_MINUTES) -> View:
    """Show what passes for an endpoint and what is refused: in all, now, and over time."""
    id = await resolve.endpoint(session.sidegate, endpoint)
    return passing.endpoint(await session.sidegate.endpoints.traffic(id, span=passing.SPANS[over]))


@noun.verb(
    "trace",
    "sidegate endpoint trace to-web --from 10.0.0.5",
    "sidegate endpoint trace to-web --from 10.0.0.5:40000 --to-port 53 --protocol udp -o json",
)
async def trace(
    session: Session,
    endpoint: OneEndpoint,
    *,
    client: FromClient,
    to: ToAddress = "",
    to_port: ToPort = 0,
    protocol: OfProtocol = Transport.TCP,
) -> View:
    """Ask what would become of a client's packet, without sending one; the exit code is 1 if it would not pass."""
    id = await resolve.endpoint(session.sidegate, endpoint)
    return traced.of_endpoint(await session.sidegate.traces.endpoint(id, opening(client, to_port, protocol, to)))


@noun.endless(
    "watch",
    "sidegate endpoint watch",
    "sidegate endpoint watch to-web -o json",
    "sidegate endpoint watch --service web --from 0",
)
async def watch(
    session: Session,
    endpoint: Annotated[
        str, typer.Argument(metavar="[ENDPOINT]", help="Only this one: its name, id, or beginning of it.")
    ] = "",
    service: Annotated[
        str, typer.Option(metavar="SERVICE", help="Only those of a service: its full name or id; its name if yours.")
    ] = "",
    after: From = None,
) -> Running:
    """Tell what happens to the project's endpoints, as it happens, until Ctrl-C; goes on when Sidegate was away."""
    id = await resolve.endpoint(session.sidegate, endpoint) if endpoint else ""
    of = (await resolve.connectable(session.sidegate, service)).rpartition(".")[2] if service else ""
    return happenings.running(
        "watching endpoints",
        lambda told: session.sidegate.endpoints.watch(id=id, service_id=of, after=after, interrupted=told),
    )


@noun.write(
    "update",
    "sidegate endpoint update to-web --allow 10.0.0.0/28 --allow 10.0.0.64/28",
    "sidegate endpoint update to-web --allow-everybody",
    "sidegate endpoint update 6f1c2a3b --name to-web",
    "sidegate endpoint update to-s3 --route-table private --route-table default --policy ''",
    etag=True,
)
async def update(
    session: Session,
    *,
    endpoint: OneEndpoint,
    allow: Allow = None,
    allow_everybody: Annotated[
        bool, typer.Option("--allow-everybody", help="Take the whitelist away: everybody in the VPC may connect.")
    ] = False,
    name: Annotated[str | None, typer.Option(metavar="NAME", help="Another name; '' for none.")] = None,
    description: OtherDescription = None,
    tag: Tags = None,
    no_tags: NoTags = False,
    whitelist: Whitelist = None,
    policy: Policy = None,
    dns: Dns = None,
    route_table: InRouteTables = None,
) -> Endpoint:
    """Change the whitelist, as a whole, or what is said. Sources that are allowed no more are cut."""
    if allow and allow_everybody:
        raise Complaint("--allow and --allow-everybody contradict each other", Exit.USAGE, "give one of them")
    tags = parsing.other_tags(tag, no_tags)
    said = {name, description, whitelist, policy, dns} != {None} or tags is not None or route_table
    if not allow and not allow_everybody and not said:
        raise Complaint("nothing to change", Exit.USAGE, "name what is to be another: see --help")
    id = await resolve.endpoint(session.sidegate, endpoint)
    allowed = [] if allow_everybody else allow or None
    tables_now = None
    if route_table:
        vpc_id = (await session.sidegate.endpoints.get(id)).vpc_id
        tables_now = await _tables(session, route_table, vpc_id)
    return await session.sidegate.endpoints.update(
        id,
        name=name,
        allowed_cidrs=allowed,
        description=description,
        tags=tags,
        whitelist=None if whitelist is None else WHITELISTS[whitelist],
        policy=policy,
        dns_enabled=dns,
        route_tables=tables_now,
    )


@noun.write(
    "delete",
    "sidegate endpoint delete to-web",
    "sidegate endpoint delete 6f1c2a3b --wait",
    "sidegate endpoint delete to-web --drain 10m",
    etag=True,
)
async def delete(
    session: Session, endpoint: OneEndpoint, drain: Drain = None, wait: Wait = False, within: Timeout = 60.0
) -> View:
    """Take an endpoint away; with --wait, end when nothing of it is left. Sessions are cut, or drained."""
    id = await resolve.endpoint(session.sidegate, endpoint)
    deleting = await session.sidegate.endpoints.delete(id, drain=drain or 0)
    if not wait:
        return tables.resource(deleting)
    try:
        return await settle(session, deleting, lambda: session.sidegate.endpoints.get(id), DELETED, within)
    except errors.NotFound:
        return tables.gone("endpoint", id)


async def _tables(session: Session, words: Sequence[str] | None, vpc_id: str) -> list[str]:
    """Route tables of the VPC, by name or id."""
    return [await resolve.route_table(session.sidegate, word, vpc_id) for word in words or ()]

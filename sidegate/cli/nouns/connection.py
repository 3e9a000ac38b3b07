"""`sidegate connection`: endpoints as the owner of their service sees them."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated

import typer

from sidegate.api.endpoint.v1 import endpoint_pb2
from sidegate.api.endpoint.v1.endpoint_pb2 import Connection
from sidegate.cli import happenings, parsing, resolve, tables, tested
from sidegate.cli.command import Noun
from sidegate.cli.options import (
    ByChange,
    Drain,
    From,
    InStates,
    ManyConnections,
    NewestFirst,
    OneConnection,
    OneService,
    Timeout,
    Wait,
)
from sidegate.cli.outcome import Exit
from sidegate.cli.session import Session
from sidegate.cli.streaming import Running
from sidegate.cli.view import View
from sidegate.cli.waits import settle

ACCEPTED, REJECTED = endpoint_pb2.CONNECTION_STATE_ACCEPTED, endpoint_pb2.CONNECTION_STATE_REJECTED

noun = Noun("connection", "Connections to your services: who is connected, and who may be.")


@noun.verb("get", "sidegate connection get web 6f1c2a3b")
async def get(session: Session, service: OneService, endpoint: OneConnection) -> Connection:
    """Show a connection."""
    return await session.sidegate.connections.get(*await _ids(session, service, endpoint))


@noun.verb("list", "sidegate connection list web", "sidegate connection list web --state pendingAcceptance")
async def list_(
    session: Session,
    service: OneService,
    state: InStates = None,
    newest_first: NewestFirst = False,
    by_change: ByChange = False,
) -> Sequence[Connection]:
    """List the connections of a service."""
    service_id = await resolve.service(session.sidegate, service)
    states = parsing.connection_states(state)
    found = session.sidegate.connections.list(
        service_id, states=states, newest_first=newest_first, order=parsing.order(by_change)
    )
    return [connection async for connection in found]


@noun.verb("test", "sidegate connection test web 6f1c2a3b")
async def test(session: Session, service: OneService, endpoint: OneConnection) -> View:
    """Try out whether a connection's packets pass, with what each backend said; the exit code is 1 if they do not."""
    return tested.view(await session.sidegate.connections.test(*await _ids(session, service, endpoint)))


@noun.endless("watch", "sidegate connection watch", "sidegate connection watch web -o json")
async def watch(
    session: Session,
    service: Annotated[
        str, typer.Argument(metavar="[SERVICE]", help="Only of this service: its name, id, or beginning of the id.")
    ] = "",
    after: From = None,
) -> Running:
    """Tell what happens to connections of your services, as it happens, until Ctrl-C."""
    of = await resolve.service(session.sidegate, service) if service else ""
    return happenings.running(
        "watching connections",
        lambda told: session.sidegate.connections.watch(service_id=of, after=after, interrupted=told),
    )


@noun.write(
    "accept", "sidegate connection accept web 6f1c2a3b", "sidegate connection accept web 6f1c2a3b --wait", etag=True
)
async def accept(
    session: Session,
    *,
    service: OneService,
    endpoint: OneConnection,
    seconds: Annotated[
        int | None,
        typer.Option("--for", min=1, metavar="SECONDS", help="For so long; else as the service's rules say."),
    ] = None,
    wait: Wait = False,
    within: Timeout = 60.0,
) -> View:
    """Let packets pass; with --wait, end when they do."""
    ids = await _ids(session, service, endpoint)
    until = None if seconds is None else parsing.in_seconds(seconds)
    connection = await session.sidegate.connections.accept(*ids, until=until)
    if not wait:
        return tables.resource(connection)
    return await settle(session, connection, lambda: session.sidegate.connections.get(*ids), ACCEPTED, within)


@noun.write(
    "reject",
    "sidegate connection reject web 6f1c2a3b",
    "sidegate connection reject web 6f1c2a3b --drain 10m",
    etag=True,
)
async def reject(
    session: Session,
    *,
    service: OneService,
    endpoint: OneConnection,
    drain: Drain = None,
    wait: Wait = False,
    within: Timeout = 60.0,
) -> View:
    """Let no packet pass; established sessions are cut, or drained. Accepted again while they drain, they stay."""
    ids = await _ids(session, service, endpoint)
    connection = await session.sidegate.connections.reject(*ids, drain=drain or 0)
    if not wait:
        return tables.resource(connection)
    return await settle(session, connection, lambda: session.sidegate.connections.get(*ids), REJECTED, within)


@noun.write(
    "accept-all", "sidegate connection accept-all web 6f1c2a3b 7a2d3b4c", "sidegate connection accept-all web to-web"
)
async def accept_all(session: Session, service: OneService, endpoints: ManyConnections) -> View:
    """Accept many at once. One that cannot be does not hinder the others; the exit code says that there was one."""
    return await _decide(session, service, endpoints, accept=True)


@noun.write(
    "reject-all",
    "sidegate connection reject-all web 6f1c2a3b 7a2d3b4c",
    "sidegate connection reject-all web 6f1c2a3b 7a2d3b4c --drain 10m",
)
async def reject_all(session: Session, service: OneService, endpoints: ManyConnections, drain: Drain = None) -> View:
    """Reject many at once. One that cannot be does not hinder the others; the exit code says that there was one."""
    return await _decide(session, service, endpoints, accept=False, drain=drain or 0)


async def _decide(session: Session, service: str, endpoints: Sequence[str], *, accept: bool, drain: int = 0) -> View:
    id = await resolve.service(session.sidegate, service)
    ids = list(dict.fromkeys([await resolve.connection(session.sidegate, id, each) for each in endpoints]))
    decided = await session.sidegate.connections.decide(id, ids, accept=accept, drain=drain)
    refused = any(each.reason for each in decided)
    return replace(tables.listing(decided, "nothing was decided"), code=Exit.REFUSED if refused else Exit.OK)


@noun.write("note", "sidegate connection note web 6f1c2a3b ticket-4711", etag=True)
async def note(
    session: Session,
    service: OneService,
    endpoint: OneConnection,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="Up to 128 characters; '' takes it away.")],
) -> Connection:
    """Put a note on a connection that its consumer does not see."""
    return await session.sidegate.connections.note(*await _ids(session, service, endpoint), text)


async def _ids(session: Session, service: str, endpoint: str) -> tuple[str, str]:
    service_id = await resolve.service(session.sidegate, service)
    return service_id, await resolve.connection(session.sidegate, service_id, endpoint)

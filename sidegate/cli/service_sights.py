"""`sidegate service health` and `sidegate service traffic`: what gateways find of a service."""

from typing import Annotated

import typer

from sidegate.cli import backends, passing, resolve
from sidegate.cli.command import Noun
from sidegate.cli.options import OneService
from sidegate.cli.passing import Over, OverOption
from sidegate.cli.session import Session
from sidegate.cli.view import View


def add_to(noun: Noun) -> None:
    """Makes them verbs."""

    @noun.verb("health", "sidegate service health web", "sidegate service health web -o json")
    async def health(session: Session, service: OneService) -> View:
        """Show how gateways find the backends of a service that asks for health checks; the exit code is 1 if one is
        unhealthy."""
        id = await resolve.service(session.sidegate, service)
        return backends.view(await session.sidegate.connections.health(id))

    @noun.verb(
        "traffic",
        "sidegate service traffic web",
        "sidegate service traffic web --endpoint 6f1c2a3b --over 3h",
        "sidegate service traffic web --limit 1000 -o json",
    )
    async def traffic(
        session: Session,
        service: OneService,
        *,
        endpoint: Annotated[
            str, typer.Option(metavar="ENDPOINT", help="Only one connection, by its endpoint's id or beginning of it.")
        ] = "",
        over: OverOption = Over.TEN_MINUTES,
        limit: Annotated[int, typer.Option(metavar="N", min=1, max=1000, help="How many connections.")] = 100,
    ) -> View:
        """Show what passes for a service and what is refused: in all, now, over time, and by connection."""
        id = await resolve.service(session.sidegate, service)
        of = await resolve.connection(session.sidegate, id, endpoint) if endpoint else ""
        ask = session.sidegate.connections.traffic
        return passing.service(await ask(id, of, span=passing.SPANS[over], limit=limit))

"""Names and ids for the shell, asked of a running Sidegate while Tab is pressed: quickly, or not at all."""

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from pathlib import Path

import typer

from sidegate.cli import config
from sidegate.cli.resolve import Candidate
from sidegate.cli.session import client_of
from sidegate.client import Client

PATIENCE_SECONDS = 2.0
MOST = 200
NO_SIDEGATE_IS_AN_ERROR = "SIDEGATE_TRACE"

Completions = list[tuple[str, str]]
Listing = Callable[[Client, typer.Context], AsyncIterator[Candidate]]


def _completion(listing: Listing) -> Callable[[typer.Context, str], Completions]:
    def complete(ctx: typer.Context, incomplete: str) -> Completions:
        """What begins as the word does: names, ids of what has none, and ids as soon as one is begun."""
        try:
            candidates = asyncio.run(_ask(listing, ctx))
        except Exception:
            if os.environ.get(NO_SIDEGATE_IS_AN_ERROR):
                raise
            return []  # whatever is wrong, the command itself says it better than a half-typed line
        names = [(each.name or each.id, each.id if each.name else "") for each in candidates]
        ids = [(each.id, each.name) for each in candidates if each.name and incomplete]
        return [found for found in names + ids if found[0].startswith(incomplete)]

    return complete


async def _ask(listing: Listing, ctx: typer.Context) -> list[Candidate]:
    said = ctx.find_root().params
    path = config.locate(_path(said.get("config")), _path(said.get("data_dir")), os.environ)
    found, known = config.read(path), []
    account = said.get("account") or os.environ.get("SIDEGATE_ACCOUNT") or ""
    project = said.get("project") or os.environ.get("SIDEGATE_PROJECT") or ""
    credential = _path(said.get("credential") or os.environ.get("SIDEGATE_CREDENTIAL"))
    async with (
        asyncio.timeout(PATIENCE_SECONDS),
        client_of(found, credential, str(account), str(project), PATIENCE_SECONDS) as sidegate,
        aclosing(_as_generator(listing(sidegate, ctx))) as candidates,
    ):
        async for each in candidates:
            known.append(each)
            if len(known) == MOST:
                break
    return known


async def _as_generator(candidates: AsyncIterator[Candidate]) -> AsyncGenerator[Candidate, None]:
    async for each in candidates:
        yield each


def _path(said: object) -> Path | None:
    return Path(str(said)) if said else None


async def _vpcs(sidegate: Client, _: typer.Context) -> AsyncIterator[Candidate]:
    async for each in sidegate.vpcs.list():
        yield Candidate(each.id, each.name)


async def _subnets(sidegate: Client, _: typer.Context) -> AsyncIterator[Candidate]:
    async for each in sidegate.subnets.list():
        yield Candidate(each.id, each.name)


async def _route_tables(sidegate: Client, _: typer.Context) -> AsyncIterator[Candidate]:
    async for each in sidegate.route_tables.list():
        yield Candidate(each.id, each.name)


async def _ports(sidegate: Client, _: typer.Context) -> AsyncIterator[Candidate]:
    async for each in sidegate.ports.list():
        yield Candidate(each.id)


async def _attachments(sidegate: Client, _: typer.Context) -> AsyncIterator[Candidate]:
    async for each in sidegate.attachments.list():
        yield Candidate(each.id)


async def _services(sidegate: Client, _: typer.Context) -> AsyncIterator[Candidate]:
    async for each in sidegate.services.list():
        yield Candidate(each.id, each.name)


async def _endpoints(sidegate: Client, _: typer.Context) -> AsyncIterator[Candidate]:
    async for each in sidegate.endpoints.list():
        yield Candidate(each.id, each.name)


async def _connections(sidegate: Client, ctx: typer.Context) -> AsyncIterator[Candidate]:
    """The endpoints that are connected to the service that was named before."""
    named = str(ctx.params.get("service", ""))
    async for service in sidegate.services.list():
        if named == service.name or (named and service.id.startswith(named)):
            async for each in sidegate.connections.list(service.id):
                yield Candidate(each.endpoint_id)


def health_check(incomplete: str) -> Completions:
    """What it begins with; ports and paths are the backends' own."""
    known = [("tcp", "a connection is accepted"), ("http", "GET is answered")]
    return [each for each in known if each[0].startswith(incomplete)]


vpc, subnet, port = _completion(_vpcs), _completion(_subnets), _completion(_ports)
route_table = _completion(_route_tables)
attachment, service = _completion(_attachments), _completion(_services)
endpoint, connection = _completion(_endpoints), _completion(_connections)

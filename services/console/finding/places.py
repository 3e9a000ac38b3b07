"""What may have an id, and where its page is. It is asked for by lists, which refuse nobody: a look is no trespass."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence

from services.console.sessions.session import Session
from sidegate.client import Client

UUID = re.compile(r"[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")

MOST_SERVICES = 200
"""Of the reader's, whose connections are looked through."""

Look = Callable[[Client, str], Awaitable[str]]
"""The path of a page; empty where there is none for this reader."""


async def place(session: Session, id_: str) -> str:
    """The path of the page of whatever has this id, of what the reader may see; empty where that is nothing."""
    for look in looks(session, id_):
        if found := await look(session.client, id_):
            return found
    return ""


def looks(session: Session, id_: str) -> Sequence[Look]:
    """Where something that is called this can be found: what would be refused is not asked for."""
    alone = session.is_operator and session.acting_as is None
    if UUID.fullmatch(id_):
        mine = (_service, _vpc, _subnet, _port, _route_table)
        return (*mine, *((_attachment,) if alone else ()), _endpoint, _connection)
    return (_account,) if alone and NAME.fullmatch(id_) else ()


async def _service(client: Client, id_: str) -> str:
    return f"/services/{id_}" if (await client.services.page(ids=[id_])).items else ""


async def _vpc(client: Client, id_: str) -> str:
    return f"/vpcs/{id_}" if (await client.vpcs.page(ids=[id_])).items else ""


async def _subnet(client: Client, id_: str) -> str:
    found = (await client.subnets.page(ids=[id_])).items
    return f"/vpcs/{found[0].vpc_id}?subnet={id_}#subnet-{id_}" if found else ""


async def _port(client: Client, id_: str) -> str:
    found = (await client.ports.page(ids=[id_])).items
    return f"/vpcs/{found[0].vpc_id}?port={id_}#port-{id_}" if found else ""


async def _route_table(client: Client, id_: str) -> str:
    found = (await client.route_tables.page(ids=[id_])).items
    return f"/vpcs/{found[0].vpc_id}#route-table-{id_}" if found else ""


async def _attachment(client: Client, id_: str) -> str:
    found = (await client.attachments.page(ids=[id_])).items
    return f"/vpcs/{found[0].vpc_id}#attachment-{id_}" if found else ""


async def _endpoint(client: Client, id_: str) -> str:
    return f"/endpoints/{id_}" if (await client.endpoints.page(ids=[id_])).items else ""


async def _connection(client: Client, id_: str) -> str:
    """An endpoint of somebody else's, at a service of the reader's: only a service's owner knows its connections."""
    found = (await client.services.page(size=MOST_SERVICES)).items
    asked = (client.connections.page(each.id, endpoint_ids=[id_], size=1) for each in found)
    connections = [page.items[0] for page in await asyncio.gather(*asked) if page.items]
    return f"/services/{connections[0].service_id}/connections/{id_}" if connections else ""


async def _account(client: Client, name: str) -> str:
    found = await client.accounts.page(name_contains=name)
    return f"/operator/accounts/{name}" if any(each.name == name for each in found.items) else ""

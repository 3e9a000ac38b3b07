"""How much each project has of what it may have."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from fastapi import APIRouter, Request
from starlette.responses import Response

from services.console.pages.paging import paging, skipped
from services.console.pages.rendering import page
from services.console.sessions.access import Operator
from sidegate import errors
from sidegate.api.registry.v1.account_pb2 import Account
from sidegate.api.registry.v1.quota_pb2 import Quota
from sidegate.client import Client

ACCOUNTS = 10
"""To a page: each project is asked about in its own name."""

AT_ONCE = 8
"""Projects that are asked about: each by connections of its own."""

router = APIRouter()


@dataclass(frozen=True, slots=True)
class Used:
    """Of a project. `endpoints` is None where the endpoint service does not answer."""

    account: str
    project: str
    services: Quota
    endpoints: Quota | None


@router.get("/operator/quotas")
async def quotas(request: Request, session: Operator) -> Response:
    name = request.query_params.get("name", "").strip()[:63]
    found = await session.own.accounts.page(skip=skipped(request, ACCOUNTS), size=ACCOUNTS, name_contains=name)
    used = await used_by(session.own, found.items)
    return page(request, "operators/quotas.html", used=used, name=name, paging=paging(request, found.total, ACCOUNTS))


async def used_by(operator: Client, accounts: Sequence[Account]) -> Sequence[Used]:
    """Raises SidegateError."""
    room = asyncio.Semaphore(AT_ONCE)
    asked = ((account.name, project) for account in accounts for project in account.projects)
    return await asyncio.gather(*(_used(operator, account, project, room) for account, project in asked))


async def _used(operator: Client, account: str, project: str, room: asyncio.Semaphore) -> Used:
    async with room, operator.acting_for(account, project) as client:
        services = await client.quotas.services()
        try:
            return Used(account, project, services, await client.quotas.endpoints())
        except errors.Unavailable:
            return Used(account, project, services, None)

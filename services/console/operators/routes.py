"""What only the operator has: its pages are not there for others."""

from fastapi import APIRouter

from services.console.operators import (
    accounts,
    attachments,
    defaults,
    gateways,
    keys,
    platform,
    programs,
    quotas,
    refusals,
    tables,
)

router = APIRouter()
for room in (programs, accounts, keys, attachments, defaults, gateways, tables, platform, quotas, refusals):
    router.include_router(room.router)

"""Endpoint services: all pages of the room."""

from fastapi import APIRouter

from services.console.publishing import (
    backends,
    connection,
    connections,
    deleting,
    editing,
    events,
    listing,
    making,
    permissions,
    settings,
    traffic,
)

router = APIRouter()
for each in (
    listing,
    making,
    connections,
    connection,
    backends,
    permissions,
    settings,
    editing,
    traffic,
    events,
    deleting,
):
    router.include_router(each.router)

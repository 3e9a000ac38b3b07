"""Endpoints: all pages of theirs, in the order in which addresses are tried."""

from fastapi import APIRouter

from services.console.endpoints import changing, listing, requesting, showing, trying

router = APIRouter()
for _each in (listing, requesting, changing, trying, showing):
    router.include_router(_each.router)

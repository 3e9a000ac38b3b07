"""The 33 operations of the VPCEP API."""

from collections.abc import Sequence

from fastapi import APIRouter

from services.http_api.vpcep import versions

ROUTERS: Sequence[APIRouter] = (versions.router,)

"""The 33 operations of the VPCEP API."""

from collections.abc import Sequence

from fastapi import APIRouter

from services.http_api.vpcep import connections, endpoints, permissions, quotas, services, tags, upgrades, versions

ROUTERS: Sequence[APIRouter] = (
    versions.router,
    services.router,
    connections.router,
    permissions.router,
    endpoints.router,
    quotas.router,
    upgrades.router,
    tags.router,
)

"""VPCs, subnets, route tables and ports, as the VPC API of the same family has them."""

from collections.abc import Sequence

from fastapi import APIRouter

from services.http_api.vpc import ports, route_tables, subnets, tags, vpcs, vpcs_v3

ROUTERS: Sequence[APIRouter] = (
    *(vpcs.router, vpcs_v3.router, subnets.router, ports.router, tags.router),
    route_tables.router,
)

"""VPCs, subnets and ports, as the VPC API of the same family has them."""

from collections.abc import Sequence

from fastapi import APIRouter

ROUTERS: Sequence[APIRouter] = ()

"""Route tables of the VPC API, as clients send them and get them."""

from typing import Annotated, Any

from pydantic import BaseModel, Field

Id = Annotated[str, Field(max_length=64)]


class CreateRouteTable(BaseModel):
    name: str = Field("", max_length=64)
    vpc_id: Id
    description: str = Field("", max_length=255)
    routes: list[Any] | None = Field(None, max_length=200)


class CreateRouteTableBody(BaseModel):
    routetable: CreateRouteTable


class UpdateRouteTable(BaseModel):
    name: str | None = Field(None, max_length=64)
    description: str | None = Field(None, max_length=255)
    routes: dict[str, Any] | None = None


class UpdateRouteTableBody(BaseModel):
    routetable: UpdateRouteTable


class Associated(BaseModel):
    associate: list[Id] = Field([], max_length=200)
    disassociate: list[Id] = Field([], max_length=200)


class Association(BaseModel):
    subnets: Associated


class AssociateBody(BaseModel):
    routetable: Association


class SubnetOfTable(BaseModel):
    id: str


class RouteTable(BaseModel):
    id: str
    name: str
    default: bool
    routes: list[Any] = []
    subnets: list[SubnetOfTable]
    tenant_id: str
    vpc_id: str
    description: str
    created_at: str
    updated_at: str


class RouteTableAnswer(BaseModel):
    routetable: RouteTable


class RouteTablesAnswer(BaseModel):
    routetables: list[RouteTable]

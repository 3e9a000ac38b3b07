"""`/v1/{project_id}/ports`: the address of a machine, whose id a VPC endpoint service takes as its backend."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Annotated

from fastapi import Query

from services.http_api.auth.caller import CREATES, ProjectCaller
from services.http_api.errors import Refused
from services.http_api.upstream import Acting
from services.http_api.vpc import shown
from services.http_api.vpc.forms import one_form
from services.http_api.vpc.lists import MOST, Limit, Marker, Wanted, page
from services.http_api.vpc.models import CreatePort, CreatePortBody, Port, PortAnswer, PortsAnswer, UpdatePortBody
from services.http_api.vpc.refusals import WRONG, unsupported
from services.http_api.vpc.refusals import router as router_of
from sidegate.api.registry.v1 import registry_service_pb2 as rpc
from sidegate.api.registry.v1 import vpc_pb2

router = router_of("ports")

ALL, ONE = "/v1/{project_id}/ports", "/v1/{project_id}/ports/{port_id}"


@router.post(ALL, operation_id="CreatePort", openapi_extra=CREATES)
async def create(caller: ProjectCaller, body: CreatePortBody) -> PortAnswer:
    """Takes an address for a machine: the one given, or the lowest free one."""
    wanted = body.port
    _check_supported(wanted.security_groups, wanted.allowed_address_pairs, wanted.extra_dhcp_opts)
    if wanted.name == shown.UNNAMED:
        raise Refused(WRONG, f"name: a port without a name is {shown.UNNAMED!r} already, leave it out.")
    port = vpc_pb2.Port(
        subnet_id=wanted.network_id,
        address=_address(wanted),
        holder=f"{shown.MACHINE}/{wanted.name or shown.UNNAMED}",
    )
    made = await caller.write(caller.upstream.registry.CreatePort, rpc.CreatePortRequest(port=port))
    return PortAnswer(port=shown.port(made, caller))


@router.get(ALL, operation_id="ListPorts")
async def list_ports(
    caller: ProjectCaller,
    *,
    limit: Limit = MOST,
    marker: Marker = "",
    id: Annotated[list[str], Query(max_length=100)] = [],  # noqa: B006 # FastAPI copies it
    name: Wanted = "",
    network_id: Wanted = "",
    device_id: Wanted = "",
    device_owner: Wanted = "",
    status: Wanted = "",
    fixed_ips: Annotated[list[str], Query(max_length=10)] = [],  # noqa: B006 # FastAPI copies it
) -> PortsAnswer:
    pages = caller.pages(caller.upstream.registry.ListPorts, rpc.ListPortsRequest(page_size=1000))
    wanted = {
        "name": name,
        "network_id": network_id,
        "device_id": device_id,
        "device_owner": device_owner,
        "status": status,
    }
    every = [shown.port(each, caller) async for some in pages for each in some.ports]
    found = [port for port in every if _fits(port, wanted) and (not id or port.id in id) and _has(port, fixed_ips)]
    return PortsAnswer(ports=list(page(found, limit, marker)))


@router.get(ONE, operation_id="ShowPort")
async def show(caller: ProjectCaller, port_id: str) -> PortAnswer:
    return PortAnswer(port=await _got(caller, port_id))


@router.put(ONE, operation_id="UpdatePort")
async def update(caller: ProjectCaller, port_id: str, body: UpdatePortBody) -> PortAnswer:
    """A port stays as it was made: only what it says already is taken."""
    wanted = body.port
    _check_supported(wanted.security_groups, wanted.allowed_address_pairs, wanted.extra_dhcp_opts)
    port = await _got(caller, port_id)
    if wanted.name not in (None, port.name):
        raise unsupported("another name for a port", "make another port")
    return PortAnswer(port=port)


@router.delete(ONE, operation_id="DeletePort", status_code=HTTPStatus.NO_CONTENT)
async def delete(caller: ProjectCaller, port_id: str) -> None:
    await caller.write(caller.upstream.registry.DeletePort, rpc.DeletePortRequest(id=port_id))


async def _got(caller: Acting, port_id: str) -> Port:
    return shown.port(await caller.ask(caller.upstream.registry.GetPort, rpc.GetPortRequest(id=port_id)), caller)


def _check_supported(
    groups: Sequence[object] | None, pairs: Sequence[object] | None, options: Sequence[object] | None
) -> None:
    if groups:
        raise unsupported("security_groups", "leave them out, a service's whitelist says who may connect")
    if pairs:
        raise unsupported("allowed_address_pairs", "make a port for each address")
    if options:
        raise unsupported("extra_dhcp_opts", "Sidegate serves no DHCP")


def _address(wanted: CreatePort) -> str:
    """The one address that was asked for, in the network itself; empty where any will do."""
    if not wanted.fixed_ips:
        return ""
    fixed = wanted.fixed_ips[0]
    if fixed.subnet_id not in ("", wanted.network_id):
        raise Refused(WRONG, f"fixed_ips: network {wanted.network_id} has no subnet {fixed.subnet_id}.")
    return fixed.ip_address


def _fits(port: Port, wanted: dict[str, str]) -> bool:
    return all(value in ("", getattr(port, name)) for name, value in wanted.items())


def _has(port: Port, fixed_ips: Sequence[str]) -> bool:
    """Each is ip_address=ADDRESS or subnet_id=ID."""
    fixed = port.fixed_ips[0]
    known = {f"ip_address={fixed.ip_address}", f"subnet_id={fixed.subnet_id}"}
    return known.issuperset(map(_canonical, fixed_ips))


def _canonical(fixed_ip: str) -> str:
    name, is_, value = fixed_ip.partition("=")
    return f"{name}{is_}{one_form(value)}"

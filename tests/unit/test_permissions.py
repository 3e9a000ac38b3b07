"""The table of who may call what: every method of the contract is in it, and no role gains by accident."""

from collections.abc import Iterator

import pytest
from google.protobuf.descriptor import FileDescriptor

from services.common.principal import Identity, Principal, Role
from services.common.rpc import permissions
from services.common.rpc.observer import READS
from services.common.rpc.permissions import ALLOWED, OPEN, NotAllowed
from sidegate.api.endpoint.v1 import endpoint_internal_service_pb2, endpoint_service_pb2
from sidegate.api.events.v1 import log_pb2
from sidegate.api.gateway.v1 import gateway_service_pb2 as gateway_pb2
from sidegate.api.registry.v1 import account_service_pb2, registry_internal_service_pb2, registry_service_pb2
from sidegate.api.status.v1 import status_pb2
from tests.support.contract import contract_files


def methods(files: list[FileDescriptor]) -> Iterator[str]:
    for file in files:
        for service in file.services_by_name.values():
            yield from (f"/{service.full_name}/{method.name}" for method in service.methods)


EVERY = sorted(methods(contract_files()))


def test_the_files_of_the_contract_are_all_looked_at() -> None:
    known = {
        module.DESCRIPTOR.name
        for module in (
            *(endpoint_internal_service_pb2, endpoint_service_pb2, log_pb2, gateway_pb2, status_pb2),
            *(account_service_pb2, registry_internal_service_pb2, registry_service_pb2),
        )
    }
    assert known <= {file.name for file in contract_files()}


def test_every_method_of_every_service_is_in_the_table_and_nothing_else_is() -> None:
    assert set(EVERY) == set(ALLOWED) | OPEN
    assert not set(ALLOWED) & OPEN


@pytest.mark.parametrize("method", [method for method in EVERY if method not in OPEN])
def test_a_viewer_calls_nothing_that_changes_something(method: str) -> None:
    name = method.rpartition("/")[2]
    if Role.VIEWER in ALLOWED[method]:
        assert name.startswith((*READS, "Lookup", "Test", "Trace"))
        assert {Role.ADMIN, Role.OPERATOR} <= ALLOWED[method], "and nothing that an admin may not"


@pytest.mark.parametrize("method", [method for method in EVERY if method not in OPEN])
def test_programs_and_people_share_nothing_but_the_logs_and_health(method: str) -> None:
    people, programs = {Role.OPERATOR, Role.ADMIN, Role.VIEWER}, {Role.REGISTRY, Role.ENDPOINT, Role.GATEWAY}
    if ALLOWED[method] & people and ALLOWED[method] & programs:
        assert method.startswith("/sidegate.api.events.v1.AuditService/")
        assert Role.GATEWAY not in ALLOWED[method], "a gateway has the events of its cell, and no log"


def test_what_is_not_allowed_reads_as_not_there() -> None:
    viewer = Identity(Principal("shop", "default"), Role.VIEWER)
    deletion = registry_service_pb2.DeleteVpcRequest(id="x")
    with pytest.raises(NotAllowed) as refused:
        permissions.require(viewer, "/sidegate.api.registry.v1.RegistryService/DeleteVpc", deletion)
    assert (refused.value.reason, refused.value.text) == ("NOT_FOUND", "vpc x is not there")
    with pytest.raises(NotAllowed, match="method Unheard is not there"):
        permissions.require(viewer, "/sidegate.api.registry.v1.RegistryService/Unheard", b"")


GATEWAY = Identity(Principal("system", "gw-1"), Role.GATEWAY, "east")


@pytest.mark.parametrize(
    ("name", "request_"),
    [
        ("Join", gateway_pb2.JoinRequest(gateway_id="gw-2", cell="east")),
        ("Join", gateway_pb2.JoinRequest(gateway_id="gw-1", cell="west")),
        ("Snapshot", gateway_pb2.SnapshotRequest(cell="west")),
        ("Events", gateway_pb2.EventsRequest(cell="west")),
        ("Digest", gateway_pb2.DigestRequest(cell="west")),
        ("ReportState", gateway_pb2.ReportStateRequest(gateway_id="gw-2")),
    ],
)
def test_a_gateway_speaks_for_itself_in_its_own_cell_alone(name: str, request_: object) -> None:
    with pytest.raises(NotAllowed):
        permissions.require(GATEWAY, f"/sidegate.api.gateway.v1.GatewayService/{name}", request_)


def test_a_gateway_may_be_itself() -> None:
    for name, request in (
        ("Join", gateway_pb2.JoinRequest(gateway_id="gw-1", cell="east")),
        ("Snapshot", gateway_pb2.SnapshotRequest(cell="east")),
        ("ReportState", gateway_pb2.ReportStateRequest(gateway_id="gw-1")),
    ):
        permissions.require(GATEWAY, f"/sidegate.api.gateway.v1.GatewayService/{name}", request)

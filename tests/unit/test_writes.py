"""Every write of the public services can be repeated, only validated, and bound to what the caller has read."""

import pytest
from google.protobuf.descriptor import MethodDescriptor

from services.common.principal import Role
from services.common.rpc.observer import READS
from services.common.rpc.permissions import ALLOWED
from tests.support.contract import contract_files

PEOPLE = {Role.OPERATOR, Role.ADMIN, Role.VIEWER}
READING = (*READS, "Lookup", "Test", "Trace")
NEW = "what it makes is not there yet, and nothing that is there changes"
FIXED = "it never changes: its id names all that there ever is of it"
WITHOUT_ETAG = {
    **dict.fromkeys(("CreateVpc", "CreateSubnet", "CreatePort", "CreateAttachment"), NEW),
    **dict.fromkeys(("CreateEndpointService", "CreateEndpoint", "CreateAccount", "CreateAccessKey"), NEW),
    "CreateEventsCredential": NEW,
    **dict.fromkeys(("DeletePort", "DeleteAttachment"), FIXED),
}
"""Writes that take no etag, and why. IssueToken is none: it leaves nothing, and nobody's role allows it."""


def writes() -> dict[str, MethodDescriptor]:
    services = [service for file in contract_files() for service in file.services_by_name.values()]
    methods = [method for service in services for method in service.methods]
    return {
        method.name: method
        for method in methods
        if ALLOWED.get(f"/{method.containing_service.full_name}/{method.name}", frozenset()) & PEOPLE
        and not method.name.startswith(READING)
    }


WRITES = writes()


def fields_of(method: MethodDescriptor) -> set[str]:
    """Those of the request, and of the resource that is in it."""
    fields = method.input_type.fields_by_name
    nested = [field.message_type for field in fields.values() if field.message_type is not None]
    resources = [name for each in nested for name in each.fields_by_name if name == "etag"]
    return {*fields, *resources}


def test_there_are_writes_and_those_that_take_no_etag_are_among_them() -> None:
    assert {"UpdateVpc", "DecideConnections", "RotateAccessKey", "SetDefaultAttachment"} <= set(WRITES)
    assert set(WITHOUT_ETAG) <= set(WRITES)


@pytest.mark.parametrize("name", sorted(WRITES))
def test_a_write_is_safe_to_repeat_and_can_be_only_validated(name: str) -> None:
    assert {"request_id", "validate_only"} <= set(WRITES[name].input_type.fields_by_name)


@pytest.mark.parametrize("name", sorted(set(WRITES) - set(WITHOUT_ETAG)))
def test_a_write_can_be_bound_to_what_was_read(name: str) -> None:
    assert {"etag", "etags"} & fields_of(WRITES[name])

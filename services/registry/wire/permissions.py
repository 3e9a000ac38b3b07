"""Permissions, asked for, stored and shown."""

import uuid
from collections.abc import Mapping, Sequence

from services.common.errors import Invalid
from services.common.labels import description_of
from services.registry.domain.publication import Ended, Grant
from services.registry.wire.envelope import nanoseconds, timestamp
from sidegate.api.registry.v1.endpoint_service_pb2 import EndedPermission, EndpointService, Permission
from sidegate.api.registry.v1.registry_service_pb2 import AddPermissionsRequest

ORGANISATION = "organizations:orgPath::"
NAMES = uuid.UUID("b6c1f0de-3d0f-4d1c-9a52-7d0f2c9b6e35")
"""The name space of permissions' ids."""
MOST = 200


def permission_message(service_id: str, grant: Grant) -> Permission:
    organisation = grant.permission.startswith(ORGANISATION)
    return Permission(
        id=str(uuid.uuid5(NAMES, f"{service_id}/{grant.permission}")),
        permission=grant.permission,
        type=Permission.TYPE_ORG_PATH if organisation else Permission.TYPE_DOMAIN_ID,
        description=grant.description,
        create_time=timestamp(grant.at),
    )


def grants_of(service: EndpointService) -> tuple[Grant, ...]:
    """Of a service that was stored before there was more to say of permissions, the permissions alone."""
    if not service.permission_details:
        return tuple(Grant(permission) for permission in service.permissions)
    return tuple(
        Grant(each.permission, each.description, nanoseconds(each.create_time)) for each in service.permission_details
    )


def ended_message(ended: Ended) -> EndedPermission:
    return EndedPermission(permission=ended.permission, time=timestamp(ended.at), version=ended.revision)


def ended_of(message: EndedPermission) -> Ended:
    return Ended(message.permission, nanoseconds(message.time), message.version)


def parse_permissions(request: AddPermissionsRequest) -> tuple[Sequence[str], Mapping[str, str]]:
    """The permissions that a caller adds, and the words for those that he describes."""
    said = {
        each.permission: description_of(each.description, f"details[{index}].description")
        for index, each in enumerate(request.details)
    }
    permissions = [*request.permissions, *said]
    if not 1 <= len(set(permissions)) <= MOST:
        text = f"1 to {MOST} permissions are added at once, not {len(set(permissions))}"
        raise Invalid("WRONG_COUNT", text, field="permissions")
    return permissions, said

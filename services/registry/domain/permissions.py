"""Who may connect to a service: permissions that are added, described and removed, and whose connections end."""

from collections.abc import Sequence
from dataclasses import replace

from services.common.errors import QuotaReached
from services.registry.domain.publication import MAX_PERMISSIONS, Ended, Grant, Service
from services.registry.domain.service_commands import AddPermissions, RemovePermissions
from services.registry.domain.service_events import PermissionsAdded, PermissionsRemoved

MOST_ENDED = 200


def add(command: AddPermissions, service: Service) -> Sequence[PermissionsAdded]:
    new = tuple(wanted for wanted in dict.fromkeys(command.permissions) if wanted not in service.permissions)
    if len(service.permissions) + len(new) > MAX_PERMISSIONS:
        text = f"a service has {MAX_PERMISSIONS} permissions at most: remove some first"
        raise QuotaReached("PERMISSIONS_FULL", text, field="permissions")
    known = {grant.permission: grant.description for grant in service.grants}
    said = {each: words for each, words in command.descriptions.items() if words != known.get(each, "")}
    return [PermissionsAdded(new, command.at, said)] if new or said else []


def remove(command: RemovePermissions, service: Service) -> Sequence[PermissionsRemoved]:
    """Where connections are to end, those that are let in by what was removed earlier are meant too."""
    gone = tuple(known for known in service.permissions if known in command.permissions)
    ended = tuple(dict.fromkeys(command.permissions)) if command.end_connections else ()
    return [PermissionsRemoved(gone, command.at, ended)] if gone or ended else []


def added(service: Service, event: PermissionsAdded) -> Service:
    new = (Grant(permission, at=event.at) for permission in event.permissions)
    said = event.descriptions
    grants = (
        replace(each, description=said.get(each.permission, each.description)) for each in (*service.grants, *new)
    )
    ended = tuple(each for each in service.ended if each.permission not in event.permissions)
    return replace(service, grants=tuple(grants), ended=ended)


def removed(service: Service, event: PermissionsRemoved) -> Service:
    kept = tuple(each for each in service.grants if each.permission not in event.permissions)
    others = tuple(each for each in service.ended if each.permission not in event.ended)
    ended = (*others, *(Ended(permission, event.at, service.revision) for permission in event.ended))
    return replace(service, grants=kept, ended=ended[-MOST_ENDED:])

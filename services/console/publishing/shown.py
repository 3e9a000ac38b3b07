"""A service as a form shows it before anything was typed, and what a form changes of it."""

from collections.abc import Iterable, Sequence

from starlette.datastructures import FormData, UploadFile

from services.console.pages import amounts
from services.console.pages.forms import Typed
from services.console.publishing import said
from services.console.publishing.permits import called
from sidegate.api.registry.v1.endpoint_service_pb2 import (
    ApprovalRules,
    ConsumerLimits,
    EndpointService,
    HealthCheck,
    PortMapping,
    SessionSettings,
)
from sidegate.api.registry.v1.tag_pb2 import Tag
from sidegate.resources.service_changes import Changes

Fields = list[tuple[str, str | UploadFile]]


def form_of(service: EndpointService) -> Typed:
    fields: Fields = [
        ("request_id", "shown"),
        ("name", service.name),
        ("description", service.description),
        ("tags", _lines(service.tags)),
        ("client_identity", EndpointService.ClientIdentity.Name(service.client_identity)),
        ("approval_required", "1" if service.approval_required else ""),
        ("private_name", service.private_name.name),
        ("permissions", "\n".join(map(called, service.permissions))),
        *_mappings(service.port_mappings),
        *_health(service),
        *_limits(service.consumer_limits),
        *_sessions(service),
        *_rules(service.approval_rules),
    ]
    return Typed(FormData(fields))


def changes(form: Typed, service: EndpointService) -> Changes:
    """What the form has another of than the service: that alone is to be sent. Raises Wrong."""
    found: Changes = {}
    if form.text("name") != service.name:
        found["name"] = form.text("name")
    if form.text("description") != service.description:
        found["description"] = form.text("description")
    if list(tags := said.tags(form)) != list(service.tags):
        found["tags"] = tags
    if form.checked("approval_required") != service.approval_required:
        found["approval_required"] = form.checked("approval_required")
    if form.text("private_name") != service.private_name.name:
        found["private_name"] = form.text("private_name")
    if list(mappings := said.mappings(form)) != list(service.port_mappings):
        found["port_mappings"] = mappings
    if (identity := said.identity(form.text("client_identity"))) != service.client_identity:
        found["client_identity"] = identity
    if (rules := said.approval_rules(form)) != service.approval_rules:
        found["approval_rules"] = rules
    if (limits := said.consumer_limits(form)) != service.consumer_limits:
        found["consumer_limits"] = limits
    return {**found, **_of_gateways(form, service)}


def _of_gateways(form: Typed, service: EndpointService) -> Changes:
    """Compared as forms, where defaults that are shown and those that are not said are the same."""
    found: Changes = {}
    settings, shown = said.session_settings(form), said.session_settings(form_of(service))
    if settings != shown:
        found["session_settings"] = settings
    check, asked = said.health_check(form), said.health_check(form_of(service))
    if check is None and asked is not None:
        found["no_health_check"] = True
    elif check is not None and check != asked:
        found["health_check"] = check
    return found


def _lines(tags: Iterable[Tag]) -> str:
    return "\n".join(f"{tag.key}={tag.value}" if tag.value else tag.key for tag in tags)


def _mappings(mappings: Sequence[PortMapping]) -> Iterable[tuple[str, str]]:
    for each in mappings:
        yield "client_port", str(each.client_port)
        yield "server_port", str(each.server_port)
        yield "protocol", PortMapping.Protocol.Name(each.protocol)
        yield "client_identity_of_port", EndpointService.ClientIdentity.Name(each.client_identity)


def _health(service: EndpointService) -> Iterable[tuple[str, str]]:
    if not service.HasField("health_check"):
        return
    check = service.health_check
    yield "health_protocol", HealthCheck.Protocol.Name(check.protocol)
    yield "health_path", check.path
    for name in said.HEALTH_NUMBERS:
        yield f"health_{name}", str(getattr(check, name) or "")
    for name in said.HEALTH_LENGTHS:
        yield f"health_{name}", amounts.length(getattr(check, name))


def _sessions(service: EndpointService) -> Iterable[tuple[str, str]]:
    settings = service.session_settings if service.HasField("session_settings") else said.NO_SETTINGS
    yield "session_affinity", SessionSettings.Affinity.Name(settings.affinity or SessionSettings.AFFINITY_NONE)
    yield "session_reset_expired", "1" if settings.reset_expired else ""
    for name in said.SESSION_LENGTHS:
        yield f"session_{name}", amounts.length(getattr(settings, name))


def _limits(limits: ConsumerLimits) -> Iterable[tuple[str, str]]:
    for name in said.LIMITS:
        yield f"limit_{name}", amounts.short(getattr(limits, name))


def _rules(rules: ApprovalRules) -> Iterable[tuple[str, str]]:
    yield "accept_accounts", "\n".join(rules.accept_accounts)
    yield "accept_tags", _lines(rules.accept_tags)
    yield "pending_seconds", amounts.length(rules.pending_seconds)
    yield "accepted_seconds", amounts.length(rules.accepted_seconds)

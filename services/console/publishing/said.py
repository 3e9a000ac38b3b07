"""What a form says of a service, as the contract has it."""

import re
from collections.abc import Callable, Sequence
from typing import TypeVar

from services.console.pages import amounts, asking
from services.console.pages.forms import Typed
from services.console.pages.problems import Problem, at_fault
from services.console.pages.words import gettext as _
from services.console.publishing.rows import BACKENDS, MAPPINGS, Row
from sidegate import errors
from sidegate.api.registry.v1.endpoint_service_pb2 import (
    ApprovalRules,
    Backend,
    ConsumerLimits,
    EndpointService,
    HealthCheck,
    PortMapping,
    SessionSettings,
)
from sidegate.api.registry.v1.tag_pb2 import Tag

ACCOUNT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
PERMISSION = re.compile(r"\*|iam:domain::(\*|[A-Za-z0-9][A-Za-z0-9_-]{0,63})|organizations:orgPath::[A-Za-z0-9/*?-]+")
HEALTH_NUMBERS = ("port", "first_status", "last_status", "healthy_after", "unhealthy_after")
HEALTH_LENGTHS = ("interval_seconds", "timeout_seconds")
SESSION_LENGTHS = (
    "tcp_established_seconds",
    "tcp_half_open_seconds",
    "tcp_closed_seconds",
    "udp_two_way_seconds",
    "udp_one_way_seconds",
)
LIMITS = ("endpoints_per_account", "connections", "new_connections_per_second", "bits_per_second")


NO_SETTINGS = SessionSettings(affinity=SessionSettings.AFFINITY_NONE)

V = TypeVar("V")


class Wrong(Exception):
    """A field that cannot be what it says; the services are not asked."""

    def __init__(self, field: str, text: str) -> None:
        super().__init__(text)
        self.problem: Problem = at_fault(field, text)


def mappings(form: Typed) -> Sequence[PortMapping]:
    return [_mapping(row, index) for index, (_place, row) in enumerate(MAPPINGS.counting(form))]


def _mapping(row: Row, index: int) -> PortMapping:
    field = f"port_mappings[{index}]"
    client = _port(row["client_port"] or row["server_port"], f"{field}.client_port")
    return PortMapping(
        client_port=client,
        server_port=_port(row["server_port"], f"{field}.server_port") if row["server_port"] else client,
        protocol=_value(PortMapping.Protocol.Value, row["protocol"] or "PROTOCOL_TCP", f"{field}.protocol"),
        client_identity=identity(row["client_identity_of_port"], f"{field}.client_identity"),
    )


def backends(form: Typed) -> Sequence[Backend]:
    return [_backend(row, index) for index, (_place, row) in enumerate(BACKENDS.counting(form))]


def _backend(row: Row, index: int) -> Backend:
    field = f"backends[{index}]"
    if row["backend_port"] and row["backend_address"]:
        raise Wrong(f"{field}.address", _("Choose a port or type an address, not both."))
    weight = number(row["backend_weight"] or "1", f"{field}.weight", 1, 100)
    if row["backend_port"]:
        return Backend(port_id=row["backend_port"], weight=weight)
    return Backend(address=row["backend_address"], weight=weight)


def identity(name: str, field: str = "client_identity") -> EndpointService.ClientIdentity.ValueType:
    return _value(EndpointService.ClientIdentity.Value, name or "CLIENT_IDENTITY_UNSPECIFIED", field)


def service_type(form: Typed) -> EndpointService.ServiceType.ValueType:
    name = form.text("service_type") or "SERVICE_TYPE_UNSPECIFIED"
    return _value(EndpointService.ServiceType.Value, name, "service_type")


def server_type(form: Typed) -> EndpointService.ServerType.ValueType:
    return _value(
        EndpointService.ServerType.Value, form.text("server_type") or "SERVER_TYPE_UNSPECIFIED", "server_type"
    )


def health_check(form: Typed) -> HealthCheck | None:
    """None where backends are not to be asked."""
    protocol = form.text("health_protocol")
    if not protocol:
        return None
    check = HealthCheck(protocol=_value(HealthCheck.Protocol.Value, protocol, "health_protocol"))
    if check.protocol == HealthCheck.PROTOCOL_HTTP:
        check.path = form.text("health_path")
    asked = HEALTH_NUMBERS if check.protocol == HealthCheck.PROTOCOL_HTTP else ("port", *HEALTH_NUMBERS[3:])
    for name in asked:
        setattr(check, name, number(form.text(f"health_{name}") or "0", f"health_{name}", 0, 65_535))
    for name in HEALTH_LENGTHS:
        setattr(check, name, length(form, f"health_{name}"))
    return check


def session_settings(form: Typed) -> SessionSettings:
    settings = SessionSettings(reset_expired=form.checked("session_reset_expired"))
    if form.text("session_affinity"):
        settings.affinity = _value(SessionSettings.Affinity.Value, form.text("session_affinity"), "session_affinity")
    for name in SESSION_LENGTHS:
        setattr(settings, name, length(form, f"session_{name}"))
    return settings


def new_session_settings(form: Typed) -> SessionSettings | None:
    """None where all is to be as usual."""
    settings = session_settings(form)
    return None if settings in (SessionSettings(), NO_SETTINGS) else settings


def consumer_limits(form: Typed) -> ConsumerLimits:
    return ConsumerLimits(**{name: _amount(form, f"limit_{name}") for name in LIMITS})


def approval_rules(form: Typed) -> ApprovalRules:
    return ApprovalRules(
        accept_accounts=form.list("accept_accounts"),
        accept_tags=tags(form, "accept_tags"),
        pending_seconds=length(form, "pending_seconds"),
        accepted_seconds=length(form, "accepted_seconds"),
    )


def tags(form: Typed, name: str = "tags") -> Sequence[Tag]:
    """One in each line: key=value."""
    pairs = [line.partition("=") for line in form.text(name).splitlines() if line.strip()]
    return [Tag(key=key.strip(), value=value.strip()) for key, _equals, value in pairs]


def permissions(form: Typed) -> Sequence[str]:
    """Accounts by their names, `*` for everybody, or as the contract writes permissions."""
    found = []
    for word in form.list("permissions"):
        whole = f"iam:domain::{word}" if ACCOUNT.fullmatch(word) or word == "*" else word
        if not PERMISSION.fullmatch(whole):
            raise Wrong("permissions", _("%(word)s is no account: give their names, or * for everybody.", word=word))
        found.append(whole)
    return found


def length(form: Typed, name: str, most: int = 366 * 86_400) -> int:
    """Seconds; 0 where nothing was typed."""
    try:
        return asking.length(form, name, most)
    except errors.InvalidRequest as error:
        raise Wrong(name, error.text) from None


def _amount(form: Typed, name: str) -> int:
    try:
        found = amounts.amount(form.text(name) or "0")
    except ValueError:
        found = -1
    if not 0 <= found < (2**31 if name == "limit_endpoints_per_account" else 2**63):
        raise Wrong(name, _("A number, such as 5000, 100k or 10G; nothing for no limit."))
    return found


def _port(text: str, field: str) -> int:
    return number(text, field, 1, 65_535)


def number(text: str, field: str, lowest: int, highest: int) -> int:
    if not re.fullmatch(r"\d{1,9}", text) or not lowest <= int(text) <= highest:
        raise Wrong(field, _("A whole number from %(lowest)s to %(highest)s.", lowest=lowest, highest=highest))
    return int(text)


def _value(value: Callable[[str], V], name: str, field: str) -> V:
    try:
        return value(name)
    except ValueError:
        raise Wrong(field, _("This is none of the choices.")) from None

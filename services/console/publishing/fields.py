"""What templates of a service's form are given."""

from collections.abc import Sequence

from services.console.pages.forms import Typed
from services.console.pages.problems import Problem
from services.console.publishing import options
from services.console.publishing.rows import BACKENDS, MAPPINGS
from services.console.sessions.session import Session

RARELY_USED: dict[str, Sequence[str]] = {
    "rules": ("accept_accounts", "accept_tags", "pending_seconds", "accepted_seconds"),
    "health": (
        "health_protocol",
        "health_path",
        "health_port",
        "health_first_status",
        "health_last_status",
        "health_healthy_after",
        "health_unhealthy_after",
        "health_interval_seconds",
        "health_timeout_seconds",
    ),
    "limits": (
        "limit_endpoints_per_account",
        "limit_connections",
        "limit_new_connections_per_second",
        "limit_bits_per_second",
    ),
    "sessions": (
        "session_tcp_established_seconds",
        "session_tcp_half_open_seconds",
        "session_tcp_closed_seconds",
        "session_udp_two_way_seconds",
        "session_udp_one_way_seconds",
        "session_reset_expired",
        "session_affinity",
    ),
    "more": ("description", "tags", "private_name", "service_type", "public_prefixes", "policy_enabled"),
}
"""Parts of the form that are shut until something in them was typed, or is at fault."""

USUAL = ("", "AFFINITY_NONE", "SERVICE_TYPE_INTERFACE")


def context_of(session: Session, form: Typed, problem: Problem | None) -> dict[str, object]:
    return {
        "form": form,
        "problem": problem,
        "mapping_rows": MAPPINGS.shown(form),
        "rows": BACKENDS.shown(form),
        "opened": {part for part, names in RARELY_USED.items() if is_open(names, form, problem)},
        "options": options.of_forms(operator=session.is_operator),
    }


def is_open(names: Sequence[str], form: Typed, problem: Problem | None) -> bool:
    at_fault = problem.field if problem else ""
    return at_fault in names or any(form.text(name) not in USUAL for name in names)

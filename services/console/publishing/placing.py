"""Which field of a form a refusal is about."""

import re
from collections.abc import Mapping
from dataclasses import replace

from services.console.pages.forms import Typed
from services.console.pages.problems import Problem
from services.console.publishing.rows import BACKENDS, MAPPINGS

PREFIXES: Mapping[str, str] = {
    "health_check.protocol": "health_protocol",
    "health_check.": "health_",
    "consumer_limits.": "limit_",
    "session_settings.": "session_",
    "approval_rules.": "",
    "private_name.name": "private_name",
}
CELLS: Mapping[str, str] = {
    "client_identity": "client_identity_of_port",
    "port_id": "backend_port",
    "address": "backend_address",
    "weight": "backend_weight",
}
BY_REASON: Mapping[str, str] = {
    "NAME_TAKEN": "name",
    "ALREADY_TAKEN": "name",
    "DNS_NAME_TAKEN": "private_name",
    "TAG_REPEATED": "tags",
    "HEALTH_PORT_MISSING": "health_port",
}
"""Of refusals that name no field."""


def placed(problem: Problem, form: Typed) -> Problem:
    """The same, of a field of the form, with the number of its row among those that are shown."""
    path = problem.field.removeprefix("endpoint_service.") or BY_REASON.get(problem.reason, "")
    problem = replace(problem, field=path)
    for table in (MAPPINGS, BACKENDS):
        if path.startswith(table.name):
            return _of_row(table.placed(problem, form))
    for prefix, name in PREFIXES.items():
        if path.startswith(prefix):
            return replace(problem, field=re.sub(r"\[\d+\]", "", name + path.removeprefix(prefix)))
    return replace(problem, field=re.split(r"[.\[]", path)[0])


def _of_row(problem: Problem) -> Problem:
    row, dot, cell = problem.field.partition(".")
    return replace(problem, field=row + dot + CELLS.get(cell, cell))

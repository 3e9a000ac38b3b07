"""What passes a gateway, as people read it: the endpoints with the most of it, and all of them together."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from sidegate.api.endpoint.v1 import traffic_pb2
from sidegate.api.gateway.v1.traffic_pb2 import EndpointTraffic, GetTrafficResponse, Traffic
from sidegate.cli import facts
from sidegate.cli.outcome import printable
from sidegate.cli.view import Cell, View, table
from sidegate.cli.words import BAD, WAITING

TITLES = ("endpoint", "address", "sessions", "made", "in", "out", "refused", "sources", "used")
WIDE_TITLES = ("service id", "packets in", "packets out")
MUCH, TOO_MUCH = 0.5, 0.75
"""Shares of what source addresses hold: from the first on more are asked for."""

THOUSAND = 1000
UNITS = ("B", "kB", "MB", "GB", "TB", "PB", "EB")
MOST_REASONS = 3


def view(told: GetTrafficResponse) -> View:
    return View(facts.of(told), lambda wide: _drawn(told, wide), remark="" if told.endpoints else "nothing has passed")


def _drawn(told: GetTrafficResponse, wide: bool) -> RenderableType:
    parts: list[RenderableType] = [Text(_summary(told))]
    if told.endpoints:
        rows = [_row(each, wide) for each in told.endpoints]
        parts += ["", table(TITLES + WIDE_TITLES * wide, rows)]
    if told.left_out and told.endpoints:
        parts += ["", Text(f"and {told.left_out} more, with less or none: --limit shows more")]
    return Group(*parts)


def _summary(told: GetTrafficResponse) -> str:
    all_of_them, fits = told.total, told.session_capacity
    filled = f" of {fits} ({share(all_of_them.sessions / fits)})" if fits else ""
    refused = reasons(all_of_them) or "nothing"
    return (
        f"gateway {told.gateway_id} of cell {told.cell}: {all_of_them.sessions} sessions{filled}, "
        f"{size(all_of_them.bytes_in)} in, {size(all_of_them.bytes_out)} out, refused: {refused}"
    )


def _row(each: EndpointTraffic, wide: bool) -> Sequence[Cell]:
    passed = each.traffic
    row: list[Cell] = [
        each.endpoint_id,
        each.address,
        str(passed.sessions),
        str(passed.sessions_made),
        size(passed.bytes_in),
        size(passed.bytes_out),
        Text(reasons(passed), WAITING),
        str(each.sources),
        _used(each),
    ]
    return [*row, each.service_id, str(passed.packets_in), str(passed.packets_out)] if wide else row


def _used(each: EndpointTraffic) -> Text:
    used = each.traffic.sessions / each.source_capacity if each.source_capacity else 0.0
    return Text(share(used), BAD if used > TOO_MUCH else WAITING if used > MUCH else "")


def reasons(passed: Traffic | traffic_pb2.Traffic) -> str:
    """37 no_port, 2 ttl, and 1 others: the reasons with the most first; empty where nothing was refused."""
    ordered = sorted(passed.refused.items(), key=lambda reason: (-reason[1], reason[0]))
    named = [f"{number} {printable(reason)}" for reason, number in ordered[:MOST_REASONS]]
    others = sum(number for _, number in ordered[MOST_REASONS:])
    return ", ".join(named + [f"{others} others"] * bool(others))


def size(number: int) -> str:
    """999 B, 1.5 kB, 12.3 GB: bytes, a thousand to the next unit."""
    value, unit = float(number), 0
    while value >= THOUSAND and unit < len(UNITS) - 1:
        value, unit = value / THOUSAND, unit + 1
    return f"{value:.1f} {UNITS[unit]}" if unit else f"{number} B"


def share(of_one: float) -> str:
    """37 %; what is there is never said to be nothing."""
    percent = 100 * of_one
    return "<1 %" if 0 < percent < 1 else f"{percent:.0f} %"

"""What passes for an endpoint or a service, and how gateways are, as people read it."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Annotated

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from sidegate.api.endpoint.v1 import traffic_pb2 as pb
from sidegate.api.endpoint.v1.gateways_service_pb2 import Gateway
from sidegate.cli import facts, words
from sidegate.cli.traffic import reasons, share, size
from sidegate.cli.view import Cell, View, table
from sidegate.cli.words import BAD, GOOD, WAITING

NOTHING = "nothing was seen"
SHOWN = 12
"""As many samples as people are shown at once; -o wide shows all."""

SAMPLES = ("from", "sessions", "made", "in", "out", "refused")
CONNECTIONS = ("endpoint", "account", "marker", "sessions", "made", "in", "out", "in/s", "out/s", "refused")
GATEWAYS = ("gateway", "cell", "state", "in sync", "reported", "sessions", "in", "out", "in/s", "out/s", "refused")
WIDE_GATEWAYS = ("position", "version", "packets in", "packets out")


class Over(StrEnum):
    """What time samples are of."""

    TEN_MINUTES = "10m"
    THREE_HOURS = "3h"


SPANS = {Over.TEN_MINUTES: pb.TRAFFIC_SPAN_TEN_MINUTES, Over.THREE_HOURS: pb.TRAFFIC_SPAN_THREE_HOURS}
OverOption = Annotated[Over, typer.Option(help="Samples of ten minutes by 5 seconds, or of three hours by the minute.")]


def endpoint(told: pb.GetEndpointTrafficResponse) -> View:
    return View(facts.of(told), lambda wide: _summed(told, wide), remark=_remark(told.total))


def service(told: pb.GetServiceTrafficResponse) -> View:
    return View(facts.of(told), lambda wide: _of_service(told, wide), remark=_remark(told.total))


def gateways(told: Sequence[Gateway]) -> View:
    return View(
        [facts.of(each) for each in told],
        lambda wide: table(GATEWAYS + WIDE_GATEWAYS * wide, [_gateway(each, wide) for each in told]) if told else None,
        remark="" if told else "no gateways",
    )


def _remark(total: pb.Traffic) -> str:
    return "" if total.ByteSize() else NOTHING


def _of_service(told: pb.GetServiceTrafficResponse, wide: bool) -> RenderableType:
    parts: list[RenderableType] = [_summed(told, wide)]
    if told.connections:
        parts += ["", table(CONNECTIONS, [_connection(each) for each in told.connections])]
    if told.left_out:
        parts += ["", Text(f"and {told.left_out} more, with less: --limit shows more")]
    return Group(*parts)


def _summed(told: pb.GetEndpointTrafficResponse | pb.GetServiceTrafficResponse, wide: bool) -> RenderableType:
    total, rates = told.total, told.rates
    since = words.moment(told.begin_time.ToNanoseconds())
    parts: list[RenderableType] = [
        Text(
            f"since {since}: {total.sessions} sessions now, {total.sessions_made} made, "
            f"{size(total.bytes_in)} in, {size(total.bytes_out)} out, refused: {reasons(total) or 'nothing'}"
        ),
        Text(
            f"now: {per_second(rates.bytes_in)} in, {per_second(rates.bytes_out)} out, "
            f"{rates.packets_in + rates.packets_out:.0f} packets/s, {rates.refused:.0f} refused/s"
        ),
    ]
    if told.series.samples:
        parts += ["", table(SAMPLES, _samples(told.series, wide))]
    return Group(*parts)


def _samples(series: pb.TrafficSeries, wide: bool) -> Sequence[Sequence[Cell]]:
    """The newest ones; -o wide: all of them."""
    start, step = series.start_time.ToNanoseconds(), series.step.ToNanoseconds()
    rows = [
        (
            datetime.fromtimestamp((start + number * step) / 1e9).astimezone().strftime("%H:%M:%S"),
            str(sample.sessions),
            str(sample.sessions_made),
            size(sample.bytes_in),
            size(sample.bytes_out),
            Text(reasons(sample), WAITING),
        )
        for number, sample in enumerate(series.samples)
    ]
    return rows if wide else rows[-SHOWN:]


def _connection(each: pb.ConnectionTraffic) -> Sequence[Cell]:
    total = each.total
    return [
        each.endpoint_id,
        words.of(each.account),
        str(each.marker_id),
        str(total.sessions),
        str(total.sessions_made),
        size(total.bytes_in),
        size(total.bytes_out),
        per_second(each.rates.bytes_in),
        per_second(each.rates.bytes_out),
        Text(reasons(total), WAITING),
    ]


def _gateway(each: Gateway, wide: bool) -> Sequence[Cell]:
    total, fits, joined = each.total, each.session_capacity, each.state == Gateway.STATE_JOINED
    filled = f" ({share(total.sessions / fits)})" if fits else ""
    row: list[Cell] = [
        each.gateway_id,
        each.cell,
        Text(words.field(each, "state"), GOOD if joined else BAD),
        Text("yes" if each.in_sync else "no", GOOD if each.in_sync else WAITING),
        words.field(each, "report_time"),
        f"{total.sessions}{filled}",
        size(total.bytes_in),
        size(total.bytes_out),
        per_second(each.rates.bytes_in),
        per_second(each.rates.bytes_out),
        Text(reasons(total), WAITING),
    ]
    more = [str(each.position), words.of(each.version), str(total.packets_in), str(total.packets_out)]
    return [*row, *more] if wide else row


def per_second(bytes_: float) -> str:
    """12.3 MB/s."""
    return f"{size(round(bytes_))}/s"

"""What has passed for an endpoint, and what was refused, over time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from services.console.pages.words import gettext
from services.console.pages.words import marked as _
from sidegate.api.endpoint.v1.traffic_pb2 import (
    TRAFFIC_SPAN_TEN_MINUTES,
    TRAFFIC_SPAN_THREE_HOURS,
    GetEndpointTrafficResponse,
    Traffic,
    TrafficSpan,
)

SPANS: Mapping[str, TrafficSpan.ValueType] = {"10m": TRAFFIC_SPAN_TEN_MINUTES, "3h": TRAFFIC_SPAN_THREE_HOURS}

REFUSALS: Mapping[str, str] = {
    "whitelist": _("not on the whitelist"),
    "policy": _("denied by the policy"),
    "spoofed": _("from an address that no client may have"),
    "port": _("to a port that is not published"),
    "closed": _("not accepted, cut or draining"),
    "packet": _("malformed or too long"),
    "service": _("the service took no more from it"),
}
"""As the contract calls them for an endpoint's owner."""


@dataclass(frozen=True, slots=True)
class Passed:
    """`bytes` and `refused` are rows of a chart: a time, and a number for each line."""

    told: GetEndpointTrafficResponse
    bytes: Sequence[tuple[datetime, tuple[int, int]]]
    refused: Sequence[tuple[datetime, tuple[int, int]]]
    reasons: Sequence[tuple[str, int]]

    @property
    def seen(self) -> bool:
        """Whether anything ever came by."""
        return self.told.total.ByteSize() > 0


def passed(told: GetEndpointTrafficResponse) -> Passed:
    begin, step = told.series.start_time.ToDatetime(UTC), told.series.step.ToTimedelta()
    samples = [(begin + number * step, sample) for number, sample in enumerate(told.series.samples)]
    return Passed(
        told,
        [(at, (sample.bytes_in, sample.bytes_out)) for at, sample in samples],
        [(at, (sample.sessions_made, _refused(sample))) for at, sample in samples],
        [(_reason(reason), count) for reason, count in sorted(told.total.refused.items()) if count],
    )


def _refused(sample: Traffic) -> int:
    return sum(sample.refused.values())


def _reason(name: str) -> str:
    return gettext(REFUSALS[name]) if name in REFUSALS else name

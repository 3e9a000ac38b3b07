"""Bodies of what is Sidegate's own. Resources are as the contract in protos/ has them, with its names."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue

Kind = Literal["vpc", "subnet", "port", "attachment", "service", "route_table", "endpoint", "connection"]
Resource = dict[str, JsonValue]


class Change(BaseModel):
    """A change of one resource, with the resource after it."""

    position: int = Field(description="the position of the event in its log")
    time: str = Field(description="when it happened, RFC 3339")
    kind: Kind
    what: str = Field(description="what happened: created, changed, deleted, approved, ...")
    deleted: bool = Field(description="the resource is gone; it is shown as it was last")
    resource: Resource


class Changes(BaseModel):
    """What happened to resources of the project, in order."""

    log_id: str = Field(description="the log that positions are positions of")
    epoch: int = Field(description="counts the times that the log was restored to an earlier state")
    position: int = Field(description="everything up to this position is told: go on with it as `after`")
    complete: bool = Field(description="that was all; else ask again")
    changes: list[Change]


class Event(BaseModel):
    """What a stream tells: `data` of an event over SSE, a message over a WebSocket."""

    event: Literal["changes", "bookmark", "error"]
    id: str = Field("", description="where to go on: `Last-Event-ID`, or `from`")
    changes: list[Change] = []
    error_code: str = ""
    error_msg: str = ""
    reason: str = Field("", description="why it ends, as a constant: COMPACTED, LOG_CHANGED, SLOW_WATCHER, ...")
    oldest: int | None = Field(None, description="where it ends for COMPACTED: the oldest position that is told")


class State(BaseModel):
    """A resource as it was at a place of its log."""

    log_id: str
    epoch: int
    position: int = Field(description="of the last event about it, at that place")
    time: str
    kind: Kind
    resource: Resource


class Difference(BaseModel):
    """A field that is not the same; `before` and `after` are null where it was not there."""

    field: str
    before: JsonValue = None
    after: JsonValue = None


class Differences(BaseModel):
    """What became of a resource between two places of its log."""

    before: State | None
    after: State | None
    differences: list[Difference]


class Decide(BaseModel):
    """Accepts or rejects connections of a service, up to 100."""

    model_config = ConfigDict(extra="forbid")

    endpoint_ids: Annotated[list[UUID], Field(min_length=1, max_length=100, json_schema_extra={"uniqueItems": True})]
    decision: Literal["accept", "reject"]


class Decided(BaseModel):
    """What became of one connection: it, as it is then, or why it was refused."""

    endpoint_id: str
    connection: Resource | None
    reason: str = Field(description="why it was refused, as a constant; empty where it was not")
    message: str


class DecidedAnswer(BaseModel):
    results: list[Decided]


class Step(BaseModel):
    """One thing that must be so for packets to pass."""

    subject: Literal["state", "address", "gateways", "arp", "backends"]
    outcome: Literal["passed", "failed", "notTried"]
    message: str


class Reachability(BaseModel):
    """What a test found, from the consumer's side; nothing of the service's network."""

    endpoint_id: str
    reachable: bool
    steps: list[Step]


class Backend(BaseModel):
    """A port of a backend as gateways found it."""

    address: str
    port: int
    protocol: Literal["tcp", "udp"]
    outcome: Literal["open", "refused", "silent", "unresolved", "present"]


class ConnectionReachability(BaseModel):
    """What a test found, from the service's side; nothing of the consumer's network."""

    endpoint_id: str
    reachable: bool
    steps: list[Step]
    backends: list[Backend]


class BackendHealth(BaseModel):
    """How a gateway finds a backend."""

    address: str
    condition: Literal["unknown", "well", "unhealthy"]
    since: str = Field(description="RFC 3339")
    takes_sessions: bool = Field(description="new sessions go to it")
    draining: bool
    last_error: str = Field(description="what the last check met with that failed, however long ago; empty for none")
    last_error_time: str | None = Field(description="when that was, RFC 3339")
    median_time: str | None = Field(description="of the times that its last checks took: seconds, such as 0.001250s")


class GatewayHealth(BaseModel):
    gateway_id: str
    backends: list[BackendHealth]


class ServiceHealth(BaseModel):
    """How gateways find the backends of a service; no gateways where none asks."""

    service_id: str
    gateways: list[GatewayHealth]


class Passed(BaseModel):
    """What has passed, and what has not, on all gateways together."""

    sessions: int = Field(description="that are there now; of a sample, that were there at its end")
    sessions_made: int
    packets_in: int = Field(description="from the consumer")
    bytes_in: int = Field(description="of IP packets")
    packets_out: int = Field(description="to the consumer")
    bytes_out: int
    refused: dict[str, int] = Field(description="packets by reason, as far as it is the caller's to know")


class Rates(BaseModel):
    """What passes in a second, as gateways last reported."""

    bytes_in: float
    bytes_out: float
    packets_in: float
    packets_out: float
    refused: float


class Series(BaseModel):
    """What has passed over time: samples without a gap, the last of which has not ended yet."""

    start_time: str = Field(description="RFC 3339, of the first sample")
    step: str = Field(description="seconds, such as 5s")
    samples: list[Passed]


class EndpointTraffic(BaseModel):
    """What has passed for an endpoint since a moment."""

    endpoint_id: str
    begin_time: str = Field(description="RFC 3339")
    total: Passed
    rates: Rates
    series: Series


class ConnectionTraffic(BaseModel):
    """What has passed for one connection of a service."""

    endpoint_id: str
    marker_id: int
    account: str
    begin_time: str
    total: Passed
    rates: Rates


class ServiceTraffic(BaseModel):
    """What has passed for a service, and for those of its connections that have the most of it."""

    service_id: str
    begin_time: str
    total: Passed
    rates: Rates
    series: Series
    connections: list[ConnectionTraffic]
    left_out: int = Field(description="connections with less")


class Record(BaseModel):
    """An event of a log, and who did it."""

    position: int
    time: str
    stream: str
    type: str
    account: str
    project: str
    method: str
    request_id: str
    acting: str
    access_key: str
    traceparent: str
    hash: str = Field(description="SHA-256 of the chain up to here, in hexadecimal")


class Records(BaseModel):
    records: list[Record]
    next_page_token: str


class Refusal(BaseModel):
    """A call that was refused, and more of why than its caller heard."""

    time: str
    method: str
    code: str
    reason: str
    account: str
    project: str
    acting: str
    access_key: str
    peer: str
    resource: str
    left_out: int


class Refusals(BaseModel):
    refusals: list[Refusal]


class Owned(BaseModel):
    """A resource of a project as it was."""

    kind: Kind
    id: str
    position: int
    resource: Resource


class ProjectState(BaseModel):
    """All that a project had in a log at a place of it."""

    log: Literal["registry", "endpoint"]
    log_id: str
    epoch: int
    position: int
    resources: list[Owned]

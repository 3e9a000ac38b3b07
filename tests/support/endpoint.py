"""Endpoints as tests need them: one set of first facts, and every state that follows from it."""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network

from services.common.principal import Principal
from services.endpoint.domain.endpoint import (
    Absent,
    ConnectionApproved,
    ConnectionRejected,
    EndpointActivated,
    EndpointDeleted,
    EndpointDeletionRequested,
    EndpointFailed,
    EndpointRequested,
    Event,
    Known,
    State,
)
from services.endpoint.domain.endpoint_decisions import ENDPOINT
from services.endpoint.domain.facts import Facts, Placement, SourceLease

ENDPOINT_ID = "5b0c6a52-0b56-4f1e-9d1c-8f4d0c0a7e01"
SERVICE_ID = "0b3f1c3e-6a44-4a0e-8a5b-7a8d2d6a4c02"
CONSUMER = Principal("shop-account", "shop")
PROVIDER = Principal("payments-account", "payments")
STRANGER = Principal("stranger-account", "stranger")

FACTS = Facts(
    id=ENDPOINT_ID,
    owner=CONSUMER,
    name="to-payments",
    service=SERVICE_ID,
    service_full_name=f"local.payments.{SERVICE_ID}",
    subnet="9d1f7f64-31a4-4f8c-bd5e-5a3c4ee0a703",
    vpc="e0a4a0b8-55a3-4d53-9a43-0f8a2a9b3c04",
    address=IPv4Address("10.0.0.7"),
    port="3f2e9b14-7c61-4d36-8b0f-6d9f1b0c2d05",
    marker=4711,
    placement=Placement("default", PROVIDER, "b1d2c3e4-98a7-4b6c-8d5e-4f3a2b1c0d06"),
    created_at=1_000,
    updated_at=1_000,
    allowed=(IPv4Network("10.0.0.0/25"),),
    sources=(SourceLease("gw-1", IPv4Address("198.19.128.9")),),
)


def after(*events: Event, state: State | None = None) -> State:
    return ENDPOINT.fold(events, state)


LIVES: dict[str, Sequence[Event]] = {
    "absent": (),
    "pending": (EndpointRequested(FACTS),),
    "creating": (EndpointRequested(FACTS), ConnectionApproved(2_000)),
    "accepted": (EndpointRequested(FACTS), ConnectionApproved(2_000), EndpointActivated(3_000, 2)),
    "rejected": (EndpointRequested(FACTS), ConnectionRejected(2_000)),
    "failed": (EndpointRequested(FACTS), EndpointFailed(2_000, "service deleted")),
    "deleting": (EndpointRequested(FACTS), EndpointDeletionRequested(2_000)),
    "deleted": (EndpointRequested(FACTS), EndpointDeletionRequested(2_000), EndpointDeleted(3_000)),
}
STATES: dict[str, State] = {name: after(*events) for name, events in LIVES.items()}


def known(state: State) -> Known:
    assert not isinstance(state, Absent)
    return state


def known_facts(state: State) -> Facts:
    return known(state).facts

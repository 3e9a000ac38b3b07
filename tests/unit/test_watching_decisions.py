"""What watchers are shown is decided field by field and fact by fact; the validator sees every broken promise."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from google.protobuf.message import Message

from services.common.eventsourcing.memory_store import MemoryStore
from services.common.eventsourcing.store import AnyVersion, Append, NewEvent
from services.common.watching.allowed import Allowed
from services.common.watching.watcher import Told
from services.endpoint.wire import sights as endpoint_sights
from services.registry.wire import sights as registry_sights
from sidegate.api.endpoint.v1.endpoint_pb2 import CONNECTION_STATE_ACCEPTED as ACCEPTED
from sidegate.api.endpoint.v1.endpoint_pb2 import Condition, Connection, Endpoint
from sidegate.api.endpoint.v1.endpoint_service_pb2 import CreateEndpointRequest
from sidegate.api.events.v1.endpoint_events_pb2 import EndpointEvent
from sidegate.api.events.v1.registry_events_pb2 import RegistryEvent
from sidegate.api.registry.v1.endpoint_service_pb2 import Backend, EndpointService, PortMapping
from sidegate.api.registry.v1.vpc_pb2 import Attachment, Port, Subnet, Vpc
from tests.support.watching import History, fact, faults, project

REGISTRY = (registry_sights.ALLOWED, registry_sights.WITHHELD)
ENDPOINT = (endpoint_sights.ALLOWED, endpoint_sights.WITHHELD)


def shown_kinds(message: type[Message]) -> set[str]:
    """The message and all of ours that are within it."""
    found, waiting = set(), [message.DESCRIPTOR]
    while waiting:
        descriptor = waiting.pop()
        if descriptor.full_name.startswith("sidegate.") and descriptor.full_name not in found:
            found.add(descriptor.full_name)
            waiting += [field.message_type for field in descriptor.fields if field.message_type]
    return found


@pytest.mark.parametrize(
    ("message", "decided"),
    [
        *((each, REGISTRY) for each in (Vpc, Subnet, Port, Attachment, EndpointService)),
        *((each, ENDPOINT) for each in (Endpoint, Connection)),
    ],
)
def test_whoever_adds_a_field_decides_whether_watchers_and_subscribers_are_told(
    message: type[Message], decided: tuple[Allowed, Mapping[str, Sequence[str]]]
) -> None:
    allowed, withheld = decided
    pool = message.DESCRIPTOR.file.pool
    for name in shown_kinds(message):
        if name in ("sidegate.api.endpoint.v1.Condition", "sidegate.api.endpoint.v1.BackendCounts"):
            continue  # what gateways say is withheld as a whole
        fields = {field.name for field in pool.FindMessageTypeByName(name).fields}
        hidden = set(withheld.get(name, ()))
        assert fields == allowed.fields[name] | hidden, f"{name}: put new fields into ALLOWED or WITHHELD"
        assert not allowed.fields[name] & hidden


def test_every_fact_is_told_in_a_word_or_is_nobodys() -> None:
    registry = {field.name for field in RegistryEvent.DESCRIPTOR.oneofs_by_name["fact"].fields}
    endpoint = {field.name for field in EndpointEvent.DESCRIPTOR.oneofs_by_name["fact"].fields}
    assert set(registry_sights.WORDS) | registry_sights.UNTOLD == registry
    assert not set(registry_sights.WORDS) & registry_sights.UNTOLD
    assert set(endpoint_sights.WORDS) | endpoint_sights.UNTOLD == endpoint
    assert not set(endpoint_sights.WORDS) & endpoint_sights.UNTOLD


def test_what_is_allowed_is_shown_whole_and_nothing_else() -> None:
    service = EndpointService(
        id="i",
        backends=[Backend(address="10.0.0.1"), Backend(port_id="p")],
        port_mappings=[PortMapping(client_port=1, server_port=2)],
        permissions=["a", "b"],
        approval_required=True,
        version=3,
    )
    service.create_time.FromSeconds(5)
    assert registry_sights.ALLOWED.show(service) == service
    few = Allowed({service.DESCRIPTOR.full_name: ("id", "backends", "permissions")})
    assert few.show(service) == EndpointService(id="i", backends=[Backend(), Backend()], permissions=["a", "b"])
    assert Allowed({}).show(service) == EndpointService()
    request = CreateEndpointRequest(
        endpoint=Endpoint(id="i", ready=Condition(status=True), state=ACCEPTED), request_id="r"
    )
    named = Allowed({request.DESCRIPTOR.full_name: ("endpoint",), **endpoint_sights.ALLOWED.fields})
    assert named.show(request) == CreateEndpointRequest(endpoint=Endpoint(id="i", state=ACCEPTED))


Answers = list[Told[int]]
SPOILT: dict[str, Callable[[Answers], Answers]] = {
    "ordered": lambda told: [told[1], told[0], *told[2:]],
    "unique": lambda told: [told[0], told[0], *told[1:]],
    "reliable": lambda told: [told[0], replace(told[1], changes=told[1].changes[1:]), *told[2:]],
    "atomic": lambda told: [
        replace(told[0], position=3, changes=[2]),
        replace(told[0], position=4, changes=[3, 4]),
        *told[1:],
    ],
    "resumable": lambda told: [replace(told[0], position=3, changes=[2, 3]), *told[1:]],
    "bookmarks": lambda told: [Told(9, "", 1), *told],
}


@pytest.mark.parametrize("promise", SPOILT)
async def test_the_validator_names_the_promise_that_is_broken(promise: str) -> None:
    store, appends = MemoryStore(), []
    for number, count in enumerate((1, 3, 2, 4)):
        data = fact(("shop/live", "endpoint")) if number else fact()
        last = (await store.append(Append(f"e-{number}", AnyVersion(), [NewEvent("fact", data)] * count, 1))).position
        appends.append(range(last - count + 1, last + 1))
    log: Any = await store.read(0, 100)
    kept = [Told(each[-1], "", 1, list(each)) for each in appends[1:]]
    assert list(faults(History(project("shop/live"), answers=kept), log, appends)) == []
    spoilt = History(project("shop/live"), answers=SPOILT[promise](kept))
    assert any(fault.startswith(promise) for fault in faults(spoilt, log, appends))

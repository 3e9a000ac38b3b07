"""What owners say of services, endpoints and connections: its limits, its stored bytes, and who is shown it."""

import json
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest

from services.common.errors import Forbidden, Invalid
from services.common.eventsourcing.store import NewEvent, RecordedEvent
from services.common.labels import Tag, description_of, tags_of
from services.common.principal import OPERATOR, Principal
from services.endpoint.domain.endpoint import (
    ConnectionApproved,
    ConnectionNoted,
    ConnectionRejected,
    EndpointChanged,
    EndpointRequested,
    Event,
)
from services.endpoint.domain.endpoint_decisions import ENDPOINT
from services.endpoint.domain.facts import Whitelist
from services.endpoint.domain.forwarding import Backend, Limits, ServiceForwarded, ServiceForwardingChanged
from services.endpoint.wire import labels
from services.endpoint.wire.endpoint import EndpointCodec, forwarding_entry, state_of
from services.endpoint.wire.forwarding import ServiceCodec as ForwardingCodec
from services.endpoint.wire.policy import LARGEST_POLICY, policy_of
from services.endpoint.wire.sights import sights_of
from services.registry.domain import service
from services.registry.domain.private_name import PrivateName
from services.registry.domain.publication import (
    EVERYBODY,
    NO_LIMITS,
    NO_RULES,
    ApprovalRules,
    ClientIdentity,
    ConsumerLimits,
    ServerType,
    ServiceType,
    check_named,
    check_types,
    first_permissions,
)
from services.registry.domain.publication import Backend as ServiceBackend
from services.registry.domain.service_events import PermissionsAdded, PermissionsRemoved, ServiceChanged, ServiceCreated
from services.registry.wire import profiles
from services.registry.wire.services import ServiceCodec, service_message, service_of
from sidegate.api.endpoint.v1.endpoint_pb2 import Endpoint
from sidegate.api.endpoint.v1.watch_pb2 import ConnectionChange
from sidegate.api.events.v1.endpoint_events_pb2 import EndpointEvent
from sidegate.api.registry.v1.endpoint_service_pb2 import EndpointService
from tests.support import registry as make
from tests.support.endpoint import ENDPOINT_ID, FACTS, PROVIDER, STATES, after, known
from tests.support.registry import AT

GOLDEN: dict[str, str] = json.loads(Path(__file__).with_name("golden").joinpath("profiles.json").read_text())
"""The bytes of stored events as they were when profiles came, in hexadecimal. Never changed, only added to."""

TAGS = (Tag("team", "web"), Tag("kind", ""))
PROFILED = replace(
    make.service(),
    description="the window",
    tags=TAGS,
    client_identity=ClientIdentity.PROXY_PROTOCOL_WITH_MARKER,
    server_type=ServerType.LB,
)
GRANTED = PermissionsAdded(("iam:domain::shop",), AT + 2, {"iam:domain::shop": "the shop", "iam:domain::*": ""})
ENDED = PermissionsRemoved(("iam:domain::shop",), AT + 3, ("iam:domain::shop", "iam:domain::*"))
RULES = ApprovalRules(("shop",), TAGS, 60, 3600)
RULED, UNRULED = ServiceChanged(AT + 4, approval_rules=RULES), ServiceChanged(AT + 5, approval_rules=NO_RULES)
LIMITS = ConsumerLimits(3, 1_000, 50, 1_000_000_000)
BOUNDED = ServiceChanged(AT + 6, consumer_limits=LIMITS)
UNBOUNDED = ServiceChanged(AT + 7, consumer_limits=NO_LIMITS)
FORWARDED = ServiceForwardingChanged(
    ServiceForwarded("default", "s", 3, "v", (Backend(IPv4Address("10.0.0.10")),), (), Limits(1_000, 50, 10**9))
)
COUNTED = EndpointRequested(replace(FACTS, counted=True))
VERSIONED = EndpointRequested(replace(FACTS, counted=True, service_version=7))
APPROVED = ConnectionApproved(8_000, until=9_000)
REJECTED = ConnectionRejected(9_000, "the permission to connect was removed")
RENAMED = ServiceChanged(AT + 8, (ServiceBackend(IPv4Address("10.0.0.10"), port_id="p"),), name="till")
SERVICE_CHANGE = ServiceChanged(AT + 1, description="", tags=(), client_identity=ClientIdentity.TOA)
ENDPOINT_CHANGE = EndpointChanged(
    9_000, description="mine", tags=TAGS, whitelist=Whitelist.ENABLED, policy='{"a": 1}', dns=True
)
LIMITED = replace(FACTS, pending_for=60, accepted_for=3600, expires_at=1_060)
NOTE = ConnectionNoted(9_000, "ticket 4711")
UNSEEN_NOTE = ConnectionNoted(9_500, "ticket 4712", unseen=True)


def recorded(name: str, data: bytes) -> RecordedEvent:
    event = NewEvent(name.partition(" ")[0], data)
    return RecordedEvent(1, "stream-1", 1, bytes(16), event.type, 1, AT, "default", 0, data, b"", bytes(32))


def everything() -> dict[str, NewEvent]:
    created = service.DECIDER.fold([ServiceCreated(PROFILED)])
    changed = service.DECIDER.fold([SERVICE_CHANGE], created)
    granted = service.DECIDER.fold([GRANTED], changed)
    said = ENDPOINT.fold([ENDPOINT_CHANGE], STATES["accepted"])
    return {
        "registry.v1.ServiceCreated": ServiceCodec().encode(ServiceCreated(PROFILED), created),
        "registry.v1.ServiceChanged with a profile": ServiceCodec().encode(SERVICE_CHANGE, changed),
        "registry.v1.PermissionsAdded": ServiceCodec().encode(GRANTED, granted),
        "registry.v1.PermissionsRemoved with a version": ServiceCodec().encode(
            ENDED, service.DECIDER.fold([ENDED], granted)
        ),
        "registry.v1.ServiceChanged with rules": ServiceCodec().encode(RULED, service.DECIDER.fold([RULED], changed)),
        "registry.v1.ServiceChanged without rules": ServiceCodec().encode(
            UNRULED, service.DECIDER.fold([RULED, UNRULED], changed)
        ),
        "registry.v1.ServiceChanged with limits": ServiceCodec().encode(
            BOUNDED, service.DECIDER.fold([BOUNDED], changed)
        ),
        "registry.v1.ServiceChanged without limits": ServiceCodec().encode(
            UNBOUNDED, service.DECIDER.fold([BOUNDED, UNBOUNDED], changed)
        ),
        "registry.v1.ServiceChanged with a name and a port": ServiceCodec().encode(
            RENAMED, service.DECIDER.fold([RENAMED], changed)
        ),
        "endpoint.v1.ServiceForwardingChanged": ForwardingCodec().encode(FORWARDED, FORWARDED.entry),
        "endpoint.v1.Requested": EndpointCodec().encode(COUNTED, after(COUNTED)),
        "endpoint.v1.Requested of a version": EndpointCodec().encode(VERSIONED, after(VERSIONED)),
        "endpoint.v1.Approved": EndpointCodec().encode(
            APPROVED, ENDPOINT.fold([APPROVED], after(EndpointRequested(LIMITED)))
        ),
        "endpoint.v1.Rejected": EndpointCodec().encode(REJECTED, ENDPOINT.fold([REJECTED], said)),
        "endpoint.v1.Changed": EndpointCodec().encode(ENDPOINT_CHANGE, said),
        "endpoint.v1.Noted": EndpointCodec().encode(NOTE, ENDPOINT.fold([NOTE], said)),
        "endpoint.v1.Noted unseen": EndpointCodec().encode(UNSEEN_NOTE, ENDPOINT.fold([NOTE, UNSEEN_NOTE], said)),
    }


@pytest.mark.parametrize("name", everything())
def test_profiles_are_stored_as_they_were_when_they_came(name: str) -> None:
    assert everything()[name].data.hex() == GOLDEN[name]


def test_golden_profiles_mean_what_they_always_did() -> None:
    read = {name: recorded(name, bytes.fromhex(data)) for name, data in GOLDEN.items()}
    assert ServiceCodec().decode(read["registry.v1.ServiceCreated"]) == ServiceCreated(PROFILED)
    assert ServiceCodec().decode(read["registry.v1.ServiceChanged with a profile"]) == SERVICE_CHANGE
    assert ServiceCodec().decode(read["registry.v1.ServiceChanged with a name and a port"]) == RENAMED
    assert ServiceCodec().decode(read["registry.v1.PermissionsAdded"]) == GRANTED
    assert ServiceCodec().decode(read["registry.v1.PermissionsRemoved"]) == ENDED
    assert ServiceCodec().decode(read["registry.v1.PermissionsRemoved with a version"]) == ENDED
    assert ServiceCodec().decode(read["registry.v1.ServiceChanged with rules"]) == RULED
    assert ServiceCodec().decode(read["registry.v1.ServiceChanged without rules"]) == UNRULED
    assert ServiceCodec().decode(read["registry.v1.ServiceChanged with limits"]) == BOUNDED
    assert ServiceCodec().decode(read["registry.v1.ServiceChanged without limits"]) == UNBOUNDED
    assert ForwardingCodec().decode(read["endpoint.v1.ServiceForwardingChanged"]) == FORWARDED
    assert EndpointCodec().decode(read["endpoint.v1.Requested"]) == COUNTED
    assert EndpointCodec().decode(read["endpoint.v1.Requested of a version"]) == VERSIONED
    assert EndpointCodec().decode(read["endpoint.v1.Approved"]) == APPROVED
    approved = known(ENDPOINT.fold([APPROVED], after(EndpointRequested(LIMITED))))
    assert known(state_of(read["endpoint.v1.Approved"].data)).facts == approved.facts
    assert EndpointCodec().decode(read["endpoint.v1.Rejected"]) == REJECTED
    assert state_of(read["endpoint.v1.Rejected"].data) == ENDPOINT.fold([ENDPOINT_CHANGE, REJECTED], STATES["accepted"])
    assert EndpointCodec().decode(read["endpoint.v1.Changed"]) == ENDPOINT_CHANGE
    assert EndpointCodec().decode(read["endpoint.v1.Noted"]) == NOTE
    assert EndpointCodec().decode(read["endpoint.v1.Noted unseen"]) == UNSEEN_NOTE


def test_a_service_and_an_endpoint_are_read_as_they_are_shown() -> None:
    assert service_of(service_message(service.Available(PROFILED))) == PROFILED
    permitted = service.of(service.DECIDER.fold([GRANTED, ENDED], service.Available(PROFILED)))
    assert service_of(service_message(service.Available(permitted))) == permitted
    lives: list[list[Event]] = [
        [ENDPOINT_CHANGE, NOTE],
        [ENDPOINT_CHANGE, NOTE, UNSEEN_NOTE],
        [UNSEEN_NOTE, ENDPOINT_CHANGE],
    ]
    for events in lives:
        state = ENDPOINT.fold(events, STATES["accepted"])
        assert known(state_of(EndpointCodec().encode(events[-1], state).data)).facts == known(state).facts


def test_a_consumer_is_never_shown_the_note_and_is_not_told_of_it() -> None:
    state = ENDPOINT.fold([NOTE], STATES["accepted"])
    data = EndpointCodec().encode(NOTE, state).data
    (told,) = sights_of(recorded("endpoint.v1.Noted", data))
    assert told.audience == {str(PROVIDER)}
    assert isinstance(told.change, ConnectionChange)
    assert (told.change.what, told.change.connection.note, told.id) == ("noted", NOTE.note, ENDPOINT_ID)
    later = EndpointCodec().encode(ENDPOINT_CHANGE, ENDPOINT.fold([ENDPOINT_CHANGE], state)).data
    for_consumer, for_provider = sights_of(recorded("endpoint.v1.Changed", later))
    assert NOTE.note not in str(for_consumer.change)
    assert "the policy" not in str(for_provider.change)
    assert NOTE.note not in str(EndpointEvent.FromString(later).endpoint)


def test_gateways_are_told_of_a_whitelist_that_lets_nobody_in_and_of_one_that_is_off() -> None:
    nobody = EndpointChanged(9_000, allowed=(), whitelist=Whitelist.ENABLED)
    shut = forwarding_entry(known(ENDPOINT.fold([nobody], STATES["accepted"])))
    assert shut.allowed_cidrs == ["255.255.255.255/32"]
    off = EndpointChanged(9_000, whitelist=Whitelist.DISABLED)
    assert forwarding_entry(known(ENDPOINT.fold([off], STATES["accepted"]))).allowed_cidrs == []


def test_every_value_of_the_contract_has_a_meaning_and_a_later_one_is_refused() -> None:
    assert {*profiles.IDENTITIES.values(), 0} == set(EndpointService.ClientIdentity.values())
    assert {*profiles.SERVICE_TYPES.values(), 0} == set(EndpointService.ServiceType.values())
    assert {*profiles.SERVER_TYPES.values(), 0} == set(EndpointService.ServerType.values())
    assert set(labels.WHITELISTS.values()) == set(Endpoint.Whitelist.values())
    for read in (profiles.identity_of, profiles.service_type_of, profiles.server_type_of, labels.whitelist_of):
        later: Any = 99
        with pytest.raises(Invalid):
            read(later)


def test_a_service_that_is_reached_by_routes_is_the_operators_and_has_no_private_name() -> None:
    routed = replace(PROFILED, service_type=ServiceType.GATEWAY)
    with pytest.raises(Forbidden, match="only the operator") as refused:
        check_types(routed)
    assert refused.value.field == "endpoint_service.service_type"
    check_types(replace(routed, owner=Principal(OPERATOR, "platform")))
    with pytest.raises(Invalid, match="ordinary addresses"):
        check_named(replace(routed, private_name=PrivateName("api.example.com", "value")))


def test_only_the_operator_publishes_platform_services_and_they_are_everybodys() -> None:
    cloud = replace(PROFILED, server_type=ServerType.CLOUD)
    with pytest.raises(Forbidden):
        check_types(cloud)
    check_types(replace(cloud, owner=Principal(OPERATOR, "platform")))
    assert first_permissions(ServerType.CLOUD) == (EVERYBODY,)
    assert first_permissions(ServerType.VM) == ()


@pytest.mark.parametrize(
    "key", ["a", "k" * 128, "Größe 2", "a.b:c=d+e-f@g_h", "键"], ids=["one", "most", "letters", "signs", "language"]
)
def test_a_tag_may_have_letters_of_any_language_and_some_signs(key: str) -> None:
    assert tags_of([(key, "v/" + key[:200])], "tags") == (Tag(key, "v/" + key[:200]),)


@pytest.mark.parametrize(
    ("pairs", "field"),
    [
        ([("", "x")], "tags[0].key"),
        ([("k" * 129, "x")], "tags[0].key"),
        ([("a/b", "x")], "tags[0].key"),
        ([("_sys_a", "x")], "tags[0].key"),
        ([(" a", "x")], "tags[0].key"),
        ([("a\n", "x")], "tags[0].key"),
        ([("a", "v" * 256)], "tags[0].value"),
        ([("a", "x ")], "tags[0].value"),
        ([("a", "<")], "tags[0].value"),
        ([("a", "x"), ("a", "y")], "tags[1].key"),
        ([(f"k{number}", "") for number in range(21)], "tags"),
    ],
)
def test_a_tag_that_is_none_is_named_by_its_field(pairs: list[tuple[str, str]], field: str) -> None:
    with pytest.raises(Invalid) as refused:
        tags_of(pairs, "tags")
    assert refused.value.field == field


def test_a_description_is_short_and_printable() -> None:
    assert description_of("ä" * 128, "d") == "ä" * 128
    for text in ("x" * 129, "a<b", "a>b", "a\nb", "a\0b"):
        with pytest.raises(Invalid):
            description_of(text, "d")


def test_a_policy_is_a_json_object_or_nothing() -> None:
    most = '{"a": "' + "x" * (LARGEST_POLICY - 9) + '"}'
    for text in ("", "{}", ' {"Version": "5.0", "Statement": []} ', most):
        assert policy_of(text, "p") == text
    deep = '{"a":' * 2_000 + "1" + "}" * 2_000
    for text in ("[]", "1", "{", '{"a": NaN}', most + " ", "[" * 5_000, deep):
        with pytest.raises(Invalid):
            policy_of(text, "p")

"""The registry's stored events: the same bytes for ever, and what they mean."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any

import pytest

from services.common.addressing import networks_of
from services.common.errors import Invalid
from services.common.eventsourcing.aggregate import Codec
from services.common.eventsourcing.decider import Decider
from services.common.eventsourcing.store import NewEvent, RecordedEvent
from services.common.labels import Tag
from services.common.name_servers import NameServer
from services.common.principal import Principal, Role
from services.registry.domain import account, attachment, credential, default_attachment, port, resolver, service, vpc
from services.registry.domain.network import Place, Resolver, RouteHold, RouteTable
from services.registry.domain.private_name import UNNAMED, PrivateName
from services.registry.domain.publication import Backend, Protocol
from services.registry.domain.reach import DefaultAttachment, NetnsPattern
from services.registry.domain.route_events import (
    RoutesReleased,
    RoutesReserved,
    RouteTableChanged,
    RouteTableCreated,
    RouteTableDeleted,
)
from services.registry.domain.service_events import (
    PermissionsAdded,
    PermissionsRemoved,
    PrivateNameVerified,
    ServiceChanged,
    ServiceClosed,
    ServiceCreated,
    ServiceDeleted,
    ServiceDeletionStarted,
    ServiceFailed,
    ServiceOpened,
    ServiceReopened,
)
from services.registry.projections import row_of
from services.registry.wire.accounts import AccountCodec
from services.registry.wire.attachments import AttachmentCodec
from services.registry.wire.credentials import CredentialCodec
from services.registry.wire.default_attachments import DefaultAttachmentCodec
from services.registry.wire.envelope import STORED_NAMES, UnknownEvent, subject_of
from services.registry.wire.ports import PortCodec
from services.registry.wire.publications import AskedBackend, OfPort, parse_backends, parse_mappings
from services.registry.wire.services import ServiceCodec, connectable, service_message, service_of
from services.registry.wire.vpcs import VpcCodec
from sidegate.api.events.v1.registry_events_pb2 import RegistryEvent
from sidegate.api.registry.v1 import endpoint_service_pb2 as service_pb2
from tests.support import registry as make
from tests.support.registry import AT

GOLDEN: dict[str, str] = json.loads(Path(__file__).with_name("golden").joinpath("registry_events.json").read_text())
"""The bytes of each stored event as the first version wrote them, in hexadecimal. Never changed, only added to."""

WEIGHTS: dict[str, str] = json.loads(Path(__file__).with_name("golden").joinpath("weights.json").read_text())
"""The same of those that say more since there are weights."""


PROFILES: dict[str, str] = json.loads(Path(__file__).with_name("golden").joinpath("profiles.json").read_text())
"""The same of those that say more since services have types, tags and descriptions."""


@dataclass(frozen=True)
class Life:
    """A stream from its beginning: what happened, with the codec that stores it."""

    stream: str
    decider: Decider[Any, Any, Any]
    codec: Codec[Any, Any]
    events: Sequence[Any]

    def stored(self) -> list[NewEvent]:
        state, found = self.decider.initial, []
        for event in self.events:
            state = self.decider.evolve(state, event)
            found.append(self.codec.encode(event, state))
        return found


SERVICE = make.service("10.0.0.10", "10.0.0.11", mappings=[make.mapping(), make.mapping(53, 53, Protocol.UDP)])
CHANGE = ServiceChanged(AT + 2, (Backend(IPv4Address("10.0.0.20")),), (make.mapping(443, 8443),), False)
KEY = account.AccessKey("AK0123", "shop", "default", Role.VIEWER, AT)
USER = "UDQN2JQJ4P4M3NKZCCZVTSDYJ5XYQPXCEIVLBRVSBBZQPRLIXQ5Q5V4T"
CREDENTIAL = credential.Credential(make.uuid(8), Principal("shop", "default"), USER, AT, AT + credential.DAY)
NAME = PrivateName("api.example.com", "sidegate-verification=0123")
PLACE = Place(make.uuid(3), make.uuid(2), IPv4Address("10.0.0.53"), AT + 1)
RESOLVER = Resolver(PLACE, (NameServer(IPv4Address("192.0.2.1"), 5353), NameServer(IPv6Address("2620:fe::fe"))))
TABLE = RouteTable(make.uuid(7), "storage", AT, (make.uuid(2),))
PREFIXES = networks_of(("100.125.0.0/16", "100.126.0.10/32"))
HOLD = RouteHold(make.uuid(9), Principal("shop", "default"), make.uuid(5), (TABLE.id,), PREFIXES, AT)
LIVES = (
    Life(
        f"vpc-{make.uuid(1)}",
        vpc.DECIDER,
        VpcCodec(),
        [
            vpc.VpcCreated(make.vpc("10.0.0.0/24", "10.1.0.0/16")),
            vpc.SubnetCreated(make.subnet()),
            resolver.ResolverPlaced(PLACE),
            resolver.ResolverSet(RESOLVER),
            resolver.ResolverWithdrawn(PLACE),
            resolver.ResolverDeleted(),
        ],
    ),
    Life(
        f"service-{make.uuid(5)}",
        service.DECIDER,
        ServiceCodec(),
        [
            ServiceCreated(replace(SERVICE, private_name=NAME)),
            ServiceOpened(AT + 1),
            PrivateNameVerified(AT + 2),
            ServiceChanged(AT + 3, private_name=replace(NAME, name="www.example.com")),
            ServiceChanged(AT + 4, private_name=UNNAMED),
        ],
    ),
    Life(
        f"vpc-{make.uuid(1)}",
        vpc.DECIDER,
        VpcCodec(),
        [
            vpc.VpcCreated(make.vpc("10.0.0.0/24", "10.1.0.0/16")),
            vpc.SubnetCreated(make.subnet()),
            vpc.SubnetDeleted(make.subnet()),
            vpc.VpcDeleted(),
        ],
    ),
    Life(
        f"port-{make.uuid(3)}",
        port.DECIDER,
        PortCodec(),
        [port.PortReserved(make.port(holder=port.Endpoint(make.uuid(9)))), port.PortReleased()],
    ),
    Life(
        f"attachment-{make.uuid(4)}",
        attachment.DECIDER,
        AttachmentCodec(),
        [attachment.AttachmentCreated(make.attachment()), attachment.AttachmentDeleted()],
    ),
    Life(
        f"service-{make.uuid(5)}",
        service.DECIDER,
        ServiceCodec(),
        [
            ServiceCreated(SERVICE),
            ServiceOpened(AT + 1),
            CHANGE,
            PermissionsAdded(("iam:domain::shop", "iam:domain::*"), AT + 3),
            PermissionsRemoved(("iam:domain::*",), AT + 4),
            ServiceClosed(True, AT + 1_000, AT + 5),
            ServiceReopened("connections stand in the way", AT + 6),
            ServiceDeletionStarted(AT + 7),
            ServiceDeleted(AT + 8),
        ],
    ),
    Life(
        f"service-{make.uuid(5)}",
        service.DECIDER,
        ServiceCodec(),
        [ServiceCreated(SERVICE), ServiceFailed("x", AT + 1)],
    ),
    Life(
        f"vpc-{make.uuid(1)}",
        vpc.DECIDER,
        VpcCodec(),
        [
            vpc.VpcCreated(make.vpc("10.0.0.0/24", "10.1.0.0/16")),
            vpc.SubnetCreated(make.subnet()),
            vpc.SubnetChanged(replace(make.subnet(), name="front")),
            vpc.VpcChanged("store", make.vpc("10.0.0.0/24").cidrs, "the window", (Tag("team", "web"),)),
        ],
    ),
    Life(
        f"vpc-{make.uuid(1)}",
        vpc.DECIDER,
        VpcCodec(),
        [
            vpc.VpcCreated(make.vpc("10.0.0.0/24", "10.1.0.0/16")),
            vpc.SubnetCreated(make.subnet()),
            RouteTableCreated(TABLE),
            RouteTableChanged(replace(TABLE, name="private", description="for machines", subnets=())),
            RoutesReserved(HOLD),
            RoutesReleased(HOLD.endpoint),
            RouteTableDeleted(replace(TABLE, name="private", description="for machines", subnets=())),
        ],
    ),
    Life(
        "default_attachment-default",
        default_attachment.DECIDER,
        DefaultAttachmentCodec(),
        [
            default_attachment.DefaultAttachmentSet(
                DefaultAttachment("default", NetnsPattern("sidegate-{vpc_id}", "sidegate0"), AT)
            ),
            default_attachment.DefaultAttachmentDeleted(),
        ],
    ),
    Life(
        "account-shop",
        account.DECIDER,
        AccountCodec(),
        [
            account.AccountCreated(account.Account("shop", ("default",), AT)),
            account.AccessKeyCreated(KEY, "secret-1"),
            account.ProjectCreated("live"),
            account.AccessKeyRotated(replace(KEY, generation=2, rotated_at=AT + 1), "secret-2"),
            account.AccessKeyRevoked(replace(KEY, generation=2, rotated_at=AT + 1, revoked_at=AT + 2)),
        ],
    ),
    Life(
        f"credential-{make.uuid(8)}",
        credential.DECIDER,
        CredentialCodec(),
        [credential.CredentialCreated(CREDENTIAL), credential.CredentialRevoked(AT + 2)],
    ),
)


def recorded(event: NewEvent, stream: str, version: int = 1) -> RecordedEvent:
    return RecordedEvent(1, stream, version, bytes(16), event.type, 1, AT, "", 0, event.data, b"", bytes(32))


STORED = {
    stored.type: (life, stored, event)
    for life in LIVES
    for stored, event in zip(life.stored(), life.events, strict=True)
}


def test_every_event_has_golden_bytes() -> None:
    assert set(GOLDEN) == set(STORED) == set(STORED_NAMES.values())


def test_every_fact_of_the_contract_has_a_stored_name() -> None:
    facts = RegistryEvent.DESCRIPTOR.oneofs_by_name["fact"].fields
    assert {field.name for field in facts} == set(STORED_NAMES)


@pytest.mark.parametrize("name", GOLDEN)
def test_the_bytes_of_the_first_version_are_read_as_what_they_meant(name: str) -> None:
    life, _, event = STORED[name]
    old = recorded(NewEvent(name, bytes.fromhex(GOLDEN[name])), life.stream)
    assert life.codec.decode(old) == event


def test_weights_and_draining_are_stored_as_they_were_when_they_came() -> None:
    backends = Backend(IPv4Address("10.0.0.10"), 3), Backend(IPv4Address("10.0.0.11"), 100, draining=True)
    event = ServiceChanged(AT + 2, backends)
    stored = ServiceCodec().encode(event, service.DECIDER.fold([ServiceCreated(SERVICE), ServiceOpened(AT + 1), event]))
    assert PROFILES[stored.type] == stored.data.hex()
    assert ServiceCodec().decode(recorded(NewEvent(stored.type, bytes.fromhex(WEIGHTS[stored.type])), "s-1")) == event


def test_a_service_shows_the_weight_of_every_backend_also_where_none_was_stored() -> None:
    old = ServiceCodec().decode(
        recorded(NewEvent("registry.v1.ServiceCreated", bytes.fromhex(GOLDEN["registry.v1.ServiceCreated"])), "s-1")
    )
    assert isinstance(old, ServiceCreated)
    shown = service_message(service.DECIDER.fold([old]))
    assert [(backend.weight, backend.draining) for backend in shown.backends] == [(1, False), (1, False)]


@pytest.mark.parametrize("life", LIVES, ids=lambda life: life.stream.partition("-")[0])
def test_a_stream_is_read_as_it_was_written(life: Life) -> None:
    read = [life.codec.decode(recorded(event, life.stream)) for event in life.stored()]
    assert read == list(life.events)


@pytest.mark.parametrize("life", LIVES, ids=lambda life: life.stream.partition("-")[0])
def test_an_event_of_another_kind_of_stream_is_refused(life: Life) -> None:
    strangers = [stored for other, stored, _ in STORED.values() if type(other.codec) is not type(life.codec)]
    for stranger in strangers:
        with pytest.raises(UnknownEvent):
            life.codec.decode(recorded(stranger, life.stream))


def test_an_event_of_a_later_version_is_refused_with_its_name() -> None:
    with pytest.raises(UnknownEvent, match=r"registry\.v2\.ServiceMoved"):
        ServiceCodec().decode(recorded(NewEvent("registry.v2.ServiceMoved", b""), "service-1"))


@pytest.mark.parametrize(
    ("name", "subject"),
    [
        ("registry.v1.VpcCreated", f"registry.v1.vpc.payments-live.{make.uuid(1)}"),
        ("registry.v1.SubnetDeleted", f"registry.v1.subnet.payments-live.{make.uuid(2)}"),
        ("registry.v1.PortReleased", f"registry.v1.port.payments-live.{make.uuid(3)}"),
        ("registry.v1.AttachmentDeleted", f"registry.v1.attachment.operator.{make.uuid(4)}"),
        ("registry.v1.DefaultAttachmentSet", "registry.v1.default_attachment.operator.default"),
        ("registry.v1.ServiceDeleted", f"registry.v1.service.payments-live.{make.uuid(5)}"),
    ],
)
def test_an_event_is_published_under_its_kind_project_and_id(name: str, subject: str) -> None:
    life, stored, _ = STORED[name]
    assert subject_of(recorded(stored, life.stream)) == subject


@pytest.mark.parametrize("name", GOLDEN)
def test_a_resource_leaves_the_table_when_it_is_gone(name: str) -> None:
    life, stored, _ = STORED[name]
    row = row_of(recorded(stored, life.stream))
    assert row is not None
    gone = (
        "VpcDeleted",
        "SubnetDeleted",
        "PortReleased",
        "AttachmentDeleted",
        "ServiceDeleted",
        "DefaultAttachmentDeleted",
        "RouteTableDeleted",
    )
    assert row.live is not name.endswith(gone)
    assert row.data == stored.data


def test_an_event_of_a_service_has_the_state_after_it() -> None:
    rows = [row_of(recorded(stored, "service-1")) for stored in LIVES[5].stored()]
    assert [row.state for row in rows if row is not None] == [
        "CREATING",
        *["AVAILABLE"] * 4,
        "CLOSING",
        "AVAILABLE",
        "DELETING",
        "DELETED",
    ]


def test_a_service_is_shown_with_its_version_as_etag() -> None:
    state = service.DECIDER.fold([ServiceCreated(SERVICE), ServiceOpened(AT + 1)])
    message = service_message(state)
    assert (message.etag, message.version) == ("2", 2)
    assert service_of(message) == service.of(state)


def test_who_may_connect_learns_nothing_of_the_providers_network() -> None:
    shown = connectable(service_message(service.Available(SERVICE)))
    assert {field.name for field, _ in shown.ListFields()} == {
        *("id", "full_name", "port_mappings", "approval_required", "service_type", "create_time", "ip_version")
    }
    assert [mapping.server_port for mapping in shown.port_mappings] == [0, 0]


def test_backends_are_addresses_or_ports_and_have_weight_1_where_none_is_said() -> None:
    asked = [
        service_pb2.Backend(address="10.0.0.10"),
        service_pb2.Backend(port_id=make.uuid(3)),
        service_pb2.Backend(address="10.0.0.11", weight=100, draining=True),
    ]
    assert parse_backends(asked) == (
        AskedBackend(IPv4Address("10.0.0.10"), 1),
        AskedBackend(OfPort(make.uuid(3)), 1),
        AskedBackend(IPv4Address("10.0.0.11"), 100, True),
    )


@pytest.mark.parametrize(
    ("backend", "field"),
    [
        (service_pb2.Backend(), "endpoint_service.backends[1]"),
        (service_pb2.Backend(address="10.0.0"), "endpoint_service.backends[1].address"),
    ],
)
def test_a_backend_that_is_none_is_named_by_its_field(backend: service_pb2.Backend, field: str) -> None:
    with pytest.raises(Invalid) as refused:
        parse_backends([service_pb2.Backend(address="10.0.0.10"), backend])
    assert refused.value.field == field


def test_a_mapping_without_a_protocol_is_tcp_and_one_with_an_unknown_is_refused() -> None:
    assert parse_mappings([service_pb2.PortMapping(client_port=80, server_port=8080)]) == (make.mapping(),)
    unknown = service_pb2.PortMapping.FromString(b"\x08\x50\x10\x50\x18\x09")
    with pytest.raises(Invalid) as refused:
        parse_mappings([unknown])
    assert refused.value.field == "endpoint_service.port_mappings[0].protocol"

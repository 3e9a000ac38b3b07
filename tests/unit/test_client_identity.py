"""What backends learn of clients, port by port: stored, told to gateways, kept where the HTTPS API cannot name it."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from services.common.eventsourcing.store import NewEvent, RecordedEvent
from services.endpoint.domain import forwarding
from services.endpoint.domain.forwarding import ServiceForwarded, ServiceForwardingChanged
from services.endpoint.registry_client import service_of
from services.endpoint.wire.forwarding import STORED_IDENTITY
from services.endpoint.wire.forwarding import ServiceCodec as ForwardingCodec
from services.http_api.vpcep.service_mapping import changed
from services.http_api.vpcep.service_models import UpdateServiceBody
from services.registry.domain import service
from services.registry.domain.publication import ClientIdentity, Protocol
from services.registry.domain.service_events import ServiceChanged
from services.registry.wire.profiles import IDENTITIES
from services.registry.wire.services import ServiceCodec
from sidegate.api.registry.v1.endpoint_service_pb2 import EndpointService, PortMapping
from tests.support import registry as make
from tests.support.registry import AT

GOLDEN: dict[str, str] = json.loads(Path(__file__).with_name("golden").joinpath("client_identity.json").read_text())
"""The bytes of stored events as they were when ports began to say it, in hexadecimal. Never changed, only added to."""

SAID = ServiceChanged(
    AT + 1,
    port_mappings=(
        make.mapping(),
        replace(make.mapping(443, 8443), client_identity=ClientIdentity.PROXY_PROTOCOL),
        replace(make.mapping(53, 53, Protocol.UDP), client_identity=ClientIdentity.NONE),
    ),
    client_identity=ClientIdentity.TOA,
)
TOLD = ServiceForwarded(
    cell="default",
    service=make.uuid(5),
    version=3,
    vpc=make.uuid(1),
    backends=(),
    ports=(
        forwarding.PortMapping(80, 8080, forwarding.Protocol.TCP, forwarding.ClientIdentity.TOA),
        forwarding.PortMapping(443, 8443, forwarding.Protocol.TCP, forwarding.ClientIdentity.PROXY_PROTOCOL),
        forwarding.PortMapping(53, 53, forwarding.Protocol.UDP),
    ),
)


def stored() -> dict[str, NewEvent]:
    after = service.DECIDER.fold([SAID], service.Available(make.service()))
    return {
        "registry.v1.ServiceChanged": ServiceCodec().encode(SAID, after),
        "endpoint.v1.ServiceForwardingChanged": ForwardingCodec().encode(ServiceForwardingChanged(TOLD), TOLD),
    }


def golden(name: str) -> RecordedEvent:
    data = bytes.fromhex(GOLDEN[name])
    return RecordedEvent(1, "stream-1", 1, bytes(16), name, 1, AT, "default", 0, data, b"", bytes(32))


@pytest.mark.parametrize("name", stored())
def test_what_a_port_says_of_clients_is_stored_as_it_was_when_it_came(name: str) -> None:
    assert stored()[name].data.hex() == GOLDEN[name]


def test_golden_events_mean_what_they_always_did() -> None:
    assert ServiceCodec().decode(golden("registry.v1.ServiceChanged")) == SAID
    assert ForwardingCodec().decode(golden("endpoint.v1.ServiceForwardingChanged")) == ServiceForwardingChanged(TOLD)


def test_every_identity_of_the_contract_has_a_meaning_for_both_services() -> None:
    assert {each.value for each in ClientIdentity} == {each.value for each in forwarding.ClientIdentity}
    for identity in forwarding.ClientIdentity:
        told = STORED_IDENTITY[identity] or EndpointService.CLIENT_IDENTITY_NONE
        assert told == IDENTITIES[ClientIdentity(identity.value)]


def test_a_port_that_says_nothing_has_what_its_service_says_and_udp_has_none() -> None:
    for identity in EndpointService.ClientIdentity.values():
        published = EndpointService(
            client_identity=identity,
            port_mappings=[
                PortMapping(client_port=80, server_port=80),
                PortMapping(client_port=81, server_port=81, client_identity=EndpointService.CLIENT_IDENTITY_NONE),
                PortMapping(client_port=82, server_port=82, client_identity=EndpointService.CLIENT_IDENTITY_TOA),
                PortMapping(client_port=53, server_port=53, protocol=PortMapping.PROTOCOL_UDP),
            ],
        )
        said = {number: each.value for each, number in IDENTITIES.items()}.get(identity, "none")
        assert [each.client_identity for each in service_of(published).ports] == [said, "none", "toa", "none"]


def test_ports_that_are_written_on_the_https_api_keep_what_they_say_of_clients() -> None:
    known = EndpointService(
        id="s",
        port_mappings=[
            PortMapping(
                client_port=443,
                server_port=1,
                protocol=PortMapping.PROTOCOL_TCP,
                client_identity=EndpointService.CLIENT_IDENTITY_TOA,
            ),
            PortMapping(client_port=53, server_port=1, protocol=PortMapping.PROTOCOL_UDP),
        ],
    )
    ports = [
        {"client_port": 443, "server_port": 8443, "protocol": "TCP"},
        {"client_port": 444, "server_port": 8444, "protocol": "TCP"},
        {"client_port": 53, "server_port": 53, "protocol": "TCP"},
    ]
    made, paths = changed(UpdateServiceBody.model_validate({"ports": ports}), known)
    assert paths == ["port_mappings"]
    assert [(each.server_port, each.client_identity) for each in made.port_mappings] == [
        (8443, EndpointService.CLIENT_IDENTITY_TOA),
        (8444, EndpointService.CLIENT_IDENTITY_UNSPECIFIED),
        (53, EndpointService.CLIENT_IDENTITY_UNSPECIFIED),
    ]

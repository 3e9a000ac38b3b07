"""What a service may publish, and to whom."""

from dataclasses import replace
from ipaddress import IPv4Address

import pytest

from services.common.addressing import address_of, networks_of
from services.common.errors import Invalid
from services.registry.domain.publication import (
    HIGHEST_WEIGHT,
    MAX_BACKENDS,
    MAX_PORT_MAPPINGS,
    Backend,
    ClientIdentity,
    Grant,
    Protocol,
    check_backends,
    check_port_mappings,
    full_name,
    may_connect,
)
from tests.support import registry as make
from tests.support.registry import NETWORK

BACKEND = Backend(IPv4Address("10.0.0.10"))


def test_a_backend_outside_the_vpc_is_named_by_its_field() -> None:
    with pytest.raises(Invalid) as refused:
        check_backends([BACKEND, Backend(IPv4Address("10.0.1.10"))], NETWORK)
    assert refused.value.field == "endpoint_service.backends[1].address"


@pytest.mark.parametrize("again", [BACKEND, replace(BACKEND, weight=2), replace(BACKEND, draining=True)])
def test_a_backend_is_given_once_whatever_its_weight(again: Backend) -> None:
    with pytest.raises(Invalid) as refused:
        check_backends([BACKEND, Backend(IPv4Address("10.0.0.11")), again], NETWORK)
    assert refused.value.field == "endpoint_service.backends[2]"


@pytest.mark.parametrize("weight", [-1, 0, HIGHEST_WEIGHT + 1])
def test_a_weight_outside_its_range_is_named_by_its_field(weight: int) -> None:
    with pytest.raises(Invalid, match=f"^{weight} is not a weight: 1 to 100$") as refused:
        check_backends([BACKEND, Backend(IPv4Address("10.0.0.11"), weight)], NETWORK)
    assert refused.value.field == "endpoint_service.backends[1].weight"


@pytest.mark.parametrize("weight", [1, HIGHEST_WEIGHT])
def test_weights_go_from_1_to_100(weight: int) -> None:
    check_backends([replace(BACKEND, weight=weight, draining=True)], NETWORK)


@pytest.mark.parametrize("backends", [("10.0.0.10", "fd00:20::a"), ("fd00:20::a", "fd00:20::b", "10.0.0.10")])
def test_backends_of_both_ip_versions_are_refused_and_the_first_stranger_is_named(backends: tuple[str, ...]) -> None:
    listed = [Backend(address_of(each)) for each in backends]
    with pytest.raises(Invalid, match=r"publish a service for each$") as refused:
        check_backends(listed, networks_of(("10.0.0.0/24", "fd00:20::/64")))
    assert refused.value.reason == "BACKENDS_MIXED"
    assert refused.value.field == f"endpoint_service.backends[{len(backends) - 1}].address"


def test_a_backend_outside_the_ranges_of_its_ip_version_is_refused() -> None:
    with pytest.raises(Invalid) as refused:
        check_backends([Backend(address_of("fd00:20::a"))], NETWORK)
    assert refused.value.reason == "BACKEND_OUTSIDE_VPC"
    check_backends([Backend(address_of("fd00:20::a"))], (*NETWORK, *networks_of(("fd00:20::/64",))))


@pytest.mark.parametrize("count", [0, MAX_BACKENDS + 1])
def test_a_service_has_backends_and_not_too_many(count: int) -> None:
    with pytest.raises(Invalid) as refused:
        check_backends([Backend(BACKEND.address + number) for number in range(count)], NETWORK)
    assert refused.value.field == "endpoint_service.backends"


@pytest.mark.parametrize("count", [0, MAX_PORT_MAPPINGS + 1])
def test_a_service_publishes_ports_and_not_too_many(count: int) -> None:
    with pytest.raises(Invalid) as refused:
        check_port_mappings([make.mapping(number + 1) for number in range(count)])
    assert refused.value.field == "endpoint_service.port_mappings"


def test_one_client_port_may_lead_two_protocols_but_one_of_them_only_once() -> None:
    both = [make.mapping(53, 53, Protocol.TCP), make.mapping(53, 53, Protocol.UDP)]
    check_port_mappings(both)
    with pytest.raises(Invalid) as refused:
        check_port_mappings([*both, make.mapping(53, 5353, Protocol.UDP)])
    assert refused.value.field == "endpoint_service.port_mappings[2].client_port"


@pytest.mark.parametrize(("client", "server", "field"), [(0, 80, "client_port"), (80, 65_536, "server_port")])
def test_a_number_that_is_no_port_is_refused(client: int, server: int, field: str) -> None:
    with pytest.raises(Invalid) as refused:
        check_port_mappings([make.mapping(client, server)])
    assert refused.value.field == f"endpoint_service.port_mappings[0].{field}"


@pytest.mark.parametrize(
    ("permissions", "account", "allowed"),
    [
        ((), "payments", True),
        ((), "shop", False),
        (("iam:domain::shop",), "shop", True),
        (("iam:domain::shop",), "shop2", False),
        (("iam:domain::shop2",), "shop", False),
        (("iam:domain::*",), "anybody", True),
    ],
)
def test_only_the_own_account_and_permitted_ones_may_connect(
    permissions: tuple[str, ...], account: str, allowed: bool
) -> None:
    assert may_connect(replace(make.service(), grants=tuple(map(Grant, permissions))), account) is allowed


def test_a_full_name_has_region_name_and_id() -> None:
    assert full_name("local", "web", make.uuid(5)) == f"local.web.{make.uuid(5)}"


@pytest.mark.parametrize("identity", [each for each in ClientIdentity if each is not ClientIdentity.NONE])
def test_what_backends_learn_of_clients_is_said_of_tcp_ports_alone(identity: ClientIdentity) -> None:
    tcp, udp = make.mapping(), make.mapping(53, 53, Protocol.UDP)
    check_port_mappings([replace(tcp, client_identity=identity), replace(udp, client_identity=ClientIdentity.NONE)])
    with pytest.raises(Invalid, match="clients of 53/udp cannot be told of") as refused:
        check_port_mappings([tcp, replace(udp, client_identity=identity)])
    assert (refused.value.reason, refused.value.field) == (
        "CLIENT_IDENTITY_TCP_ONLY",
        "endpoint_service.port_mappings[1].client_identity",
    )

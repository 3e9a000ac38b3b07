"""What is typed of a service, and what the contract is asked for: rows, lengths of time, changes, fields at fault."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import FormData, UploadFile

from services.console.pages import amounts
from services.console.pages.forms import Typed
from services.console.pages.problems import at_fault
from services.console.publishing import said
from services.console.publishing.placing import placed
from services.console.publishing.rows import BACKENDS, MAPPINGS
from services.console.publishing.shown import changes, form_of
from sidegate.api.registry.v1.endpoint_service_pb2 import (
    Backend,
    ConsumerLimits,
    EndpointService,
    HealthCheck,
    PortMapping,
    SessionSettings,
)
from sidegate.api.registry.v1.tag_pb2 import Tag

NONE = EndpointService.CLIENT_IDENTITY_NONE
WEB = EndpointService(
    name="web",
    description="the shop",
    client_identity=NONE,
    approval_required=True,
    backends=[Backend(address="10.0.0.10", weight=1)],
    port_mappings=[PortMapping(client_port=80, server_port=8080, protocol=PortMapping.PROTOCOL_TCP)],
    tags=[Tag(key="stage", value="live")],
)
CHECK = HealthCheck(
    protocol=HealthCheck.PROTOCOL_HTTP,
    port=8080,
    path="/healthz",
    first_status=200,
    last_status=399,
    interval_seconds=5,
    timeout_seconds=2,
    healthy_after=2,
    unhealthy_after=2,
)
USUAL = SessionSettings(
    tcp_established_seconds=350,
    tcp_half_open_seconds=30,
    tcp_closed_seconds=10,
    udp_two_way_seconds=120,
    udp_one_way_seconds=30,
    affinity=SessionSettings.AFFINITY_NONE,
)
LIMITS = ConsumerLimits(endpoints_per_account=7, connections=1, new_connections_per_second=500, bits_per_second=10**10)


def form(*fields: tuple[str, str]) -> Typed:
    data: list[tuple[str, str | UploadFile]] = list(fields)
    return Typed(FormData(data))


def other(service: EndpointService, *fields: tuple[str, str]) -> Typed:
    """The form of a service with some fields typed over."""
    names = {name for name, _ in fields}
    kept = [(name, value) for name, value in form_of(service)._data.multi_items() if name not in names]
    return Typed(FormData([*kept, *fields]))


@given(st.integers(0, 400 * 86_400))
def test_a_length_of_time_is_read_as_it_is_shown(value: int) -> None:
    assert amounts.seconds(amounts.length(value) or "0") == value


@given(st.integers(0, 10**12))
def test_a_number_is_read_as_it_is_shown(value: int) -> None:
    assert amounts.amount(amounts.short(value) or "0") == value


@pytest.mark.parametrize("text", ["soon", "1w", "-1", "1.5h", "9999999999"])
def test_what_is_no_length_of_time_names_its_field(text: str) -> None:
    with pytest.raises(said.Wrong) as wrong:
        said.length(form(("drain", text)), "drain", 3600)
    assert wrong.value.problem.field == "drain"


@pytest.mark.parametrize(
    "service",
    [
        WEB,
        EndpointService(),
        EndpointService(name="checked", client_identity=NONE, health_check=CHECK),
        EndpointService(name="kept", client_identity=NONE, session_settings=USUAL, consumer_limits=LIMITS),
    ],
    ids=lambda service: service.name or "unnamed",
)
def test_a_form_in_which_nothing_was_typed_changes_nothing(service: EndpointService) -> None:
    assert changes(form_of(service), service) == {}


def test_only_what_was_typed_over_is_changed() -> None:
    found = changes(other(WEB, ("description", ""), ("health_protocol", "PROTOCOL_TCP")), WEB)
    assert found == {"description": "", "health_check": HealthCheck(protocol=HealthCheck.PROTOCOL_TCP)}


def test_a_health_check_that_is_not_wanted_any_more_is_taken_away() -> None:
    service = EndpointService(client_identity=NONE, health_check=CHECK)
    assert changes(other(service, ("health_protocol", "")), service) == {"no_health_check": True}


def test_rows_without_anything_do_not_count_and_the_others_keep_their_places() -> None:
    typed = form(
        *(("client_port", port) for port in ("", "80", "", "443")),
        *(("server_port", port) for port in ("", "8080", "", "")),
        *(("protocol", name) for name in ("PROTOCOL_TCP", "PROTOCOL_TCP", "PROTOCOL_TCP", "PROTOCOL_UDP")),
        *(("client_identity_of_port", "CLIENT_IDENTITY_UNSPECIFIED") for _ in range(4)),
    )
    assert [(each.client_port, each.server_port) for each in said.mappings(typed)] == [(80, 8080), (443, 443)]
    refused = at_fault("endpoint_service.port_mappings[1].client_port", "taken")
    assert placed(refused, typed).field == "port_mappings[3].client_port"
    assert len(MAPPINGS.shown(typed)) == 4


def test_a_backend_is_a_port_or_an_address_and_not_both() -> None:
    cells = (("backend_port", "a-port"), ("backend_address", "10.0.0.1"), ("backend_weight", ""))
    with pytest.raises(said.Wrong) as wrong:
        said.backends(form(*cells))
    assert placed(wrong.value.problem, form(*cells)).field == "backends[0].backend_address"
    assert said.backends(form(*cells[1:])) == [Backend(address="10.0.0.1", weight=1)]
    assert len(BACKENDS.shown(form())) >= 3


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("endpoint_service.name", "name"),
        ("endpoint_service.private_name.name", "private_name"),
        ("endpoint_service.health_check.timeout_seconds", "health_timeout_seconds"),
        ("endpoint_service.consumer_limits.bits_per_second", "limit_bits_per_second"),
        ("endpoint_service.session_settings.tcp_closed_seconds", "session_tcp_closed_seconds"),
        ("endpoint_service.approval_rules.accept_accounts[3]", "accept_accounts"),
        ("endpoint_service.tags[1].key", "tags"),
        ("endpoint_service.public_prefixes[0]", "public_prefixes"),
        ("permissions[0]", "permissions"),
        ("endpoint_service.port_mappings", "port_mappings"),
    ],
)
def test_a_refusal_is_shown_at_the_field_of_the_form_that_it_is_about(path: str, field: str) -> None:
    assert placed(at_fault(path, "no"), form()).field == field


def test_accounts_are_permitted_by_their_names_and_everybody_by_a_star() -> None:
    assert said.permissions(form(("permissions", "anna, *\niam:domain::pia"))) == [
        "iam:domain::anna",
        "iam:domain::*",
        "iam:domain::pia",
    ]

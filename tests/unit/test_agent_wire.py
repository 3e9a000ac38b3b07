"""Entries of the forwarding log as one gateway understands them."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.gateway_agent.desired import REMOVED, Versioned
from services.gateway_agent.facts import Fact, Presence
from services.gateway_agent.routes import in_order
from services.gateway_agent.table import (
    ANYWHERE,
    ANYWHERE_V6,
    Address,
    Affinity,
    Attachment,
    Backend,
    ClientIdentity,
    Endpoint,
    Entry,
    HealthCheck,
    HealthProtocol,
    Key,
    Kind,
    Limits,
    PortMapping,
    Protocol,
    Route,
    Service,
    Timeouts,
)
from services.gateway_agent.targets import Interface, Netns, Selector, Vxlan
from services.gateway_agent.wire import (
    MALFORMED,
    MOST_SOURCES,
    NO_LEASE,
    entry_to_proto,
    fact_to_proto,
    news_of,
    news_of_event,
)
from sidegate.api.events.v1 import endpoint_events_pb2 as events_pb
from sidegate.api.events.v1.forwarding_pb2 import ForwardingEntry, SourceLease
from sidegate.api.gateway.v1.gateway_service_pb2 import EndpointReport
from sidegate.api.registry.v1 import endpoint_service_pb2 as service_pb
from tests.support.agent import GATEWAY, PAYMENTS, SHOP, WEB, attachment, endpoint, id_of, service
from tests.support.tables import backends

numbers_of_ports = st.integers(1, 65535)
ports = st.builds(PortMapping, numbers_of_ports, numbers_of_ports, st.sampled_from(Protocol))
ports |= st.builds(
    PortMapping, numbers_of_ports, numbers_of_ports, st.just(Protocol.TCP), st.sampled_from(ClientIdentity)
)
hosts = st.ip_addresses(v=4).filter(int)
targets = st.one_of(
    st.just(Netns("shop", "eth1")),
    st.builds(
        Vxlan,
        st.integers(1, (1 << 24) - 1),
        st.lists(hosts, min_size=1, max_size=64, unique=True).map(sorted).map(tuple),
        st.integers(1, 65535),
        st.none() | hosts,
        st.integers(576, 65485),
    ),
    st.builds(Interface, st.sampled_from(Selector), st.just("eth1")),
)
seconds = st.integers(1, 86_400)
numbers = st.integers(0, 2**63 - 1)
tcp_checks = st.builds(
    HealthCheck,
    st.just(HealthProtocol.TCP),
    st.integers(1, 65535),
    interval=seconds,
    timeout=seconds,
    healthy_after=st.integers(1, 10),
    unhealthy_after=st.integers(1, 10),
)
http_checks = tcp_checks.map(
    lambda check: replace(check, protocol=HealthProtocol.HTTP, path="/healthz?of=web", statuses=(204, 299))
)


ROUTED = Endpoint(id_of("e"), 7, SHOP, IPv4Address("10.0.0.9"), id_of("s"), IPv4Address("198.19.128.7"), 1)
routes = st.lists(
    st.builds(
        Route,
        st.ip_addresses(v=4).map(lambda address: IPv4Network((int(address), 24), strict=False)),
        st.booleans(),
        st.sets(st.tuples(st.sampled_from(Protocol), st.integers(1, 65535)), max_size=3).map(sorted).map(tuple),
    ),
    min_size=1,
    unique_by=lambda route: route.prefix,
).map(in_order)


def addresses(version: int) -> st.SearchStrategy[Address]:
    """None of IPv6 is a mapped one, which is written as what it is."""
    if version == 4:
        return st.ip_addresses(v=4)
    return st.ip_addresses(v=6).filter(lambda address: not isinstance(address, IPv6Address) or not address.ipv4_mapped)


entries = st.one_of(
    st.builds(Attachment, st.uuids().map(str), targets),
    st.builds(
        Service,
        st.uuids().map(str),
        st.uuids().map(str),
        st.sets(ports, min_size=1).map(sorted).map(tuple),
        st.sampled_from((4, 6))
        .flatmap(
            lambda version: st.lists(
                st.builds(Backend, addresses(version), st.integers(1, 100), st.booleans()),
                min_size=1,
                unique_by=lambda backend: backend.address,
            )
        )
        .map(tuple),
        st.just(Timeouts()) | st.builds(Timeouts, seconds, seconds, seconds, seconds, seconds),
        st.sampled_from(Affinity),
        st.builds(Limits, numbers, numbers, numbers),
        st.booleans(),
        st.none() | tcp_checks | http_checks,
    ),
    st.builds(
        Endpoint,
        st.uuids().map(str),
        st.integers(1, 2**53 - 1),
        st.uuids().map(str),
        st.ip_addresses(v=4),
        st.uuids().map(str),
        st.ip_addresses(v=4),
        st.integers(1, 100),
        st.sampled_from([(ANYWHERE,), (IPv4Network("10.0.0.0/24"), IPv4Network("10.2.0.0/16"))]),
        more_sources=st.lists(st.ip_addresses(v=4), max_size=63, unique=True).map(tuple),
    ).filter(lambda endpoint: endpoint.source_address not in endpoint.more_sources),
    st.builds(
        Endpoint,
        st.uuids().map(str),
        st.integers(1, 2**53 - 1),
        st.uuids().map(str),
        addresses(6),
        st.uuids().map(str),
        st.ip_addresses(v=4),
        st.integers(1, 100),
        st.sampled_from([(ANYWHERE_V6,), (IPv6Network("fd00::/64"), IPv6Network("fd01::7/128"))]),
    ),
)


entries |= st.builds(
    lambda endpoint, some: replace(endpoint, address=some[0].prefix.network_address, routes=some),
    st.just(ROUTED),
    routes,
)


@settings(deadline=None)
@given(entries)
def test_an_entry_survives_the_way_to_the_wire_and_back(entry: Entry) -> None:
    lease = str(entry.source_address) if isinstance(entry, Endpoint) else ""
    assert news_of(entry_to_proto(entry, GATEWAY), GATEWAY) == Versioned(entry.key, 0, entry, lease)


def identity_of(protocol: service_pb.PortMapping.Protocol.ValueType, said: int) -> ClientIdentity | object:
    mapping = service_pb.PortMapping(client_port=80, server_port=8080, protocol=protocol)
    mapping.client_identity = said  # type: ignore[assignment]
    told = ForwardingEntry()
    told.service.service_id, told.service.vpc_id = WEB, PAYMENTS
    told.service.port_mappings.append(mapping)
    news = news_of(told, GATEWAY)
    return news.content.ports[0].identity if news and isinstance(news.content, Service) else news and news.content


def test_a_port_tells_of_clients_as_its_entry_says_and_in_entries_of_before_not_at_all() -> None:
    tcp, udp = service_pb.PortMapping.PROTOCOL_TCP, service_pb.PortMapping.PROTOCOL_UDP
    proxy = [ClientIdentity.PROXY] * 3
    wanted = [ClientIdentity.NONE, ClientIdentity.NONE, ClientIdentity.TOA, *proxy]
    assert [identity_of(tcp, number) for number in range(6)] == wanted
    assert {identity_of(udp, number) for number in range(6)} == {ClientIdentity.NONE}
    assert identity_of(tcp, 99) == MALFORMED


def test_the_source_address_is_the_one_leased_to_this_gateway() -> None:
    told = endpoint("7")
    told.endpoint.sources.add(gateway_id="gw-2", address="198.19.130.1")
    mine, others = news_of(told, GATEWAY), news_of(told, "gw-2")
    assert mine is not None
    assert others is not None
    assert isinstance(mine.content, Endpoint)
    assert isinstance(others.content, Endpoint)
    assert mine.content.source_address == IPv4Address("198.19.128.7")
    assert others.content.source_address == IPv4Address("198.19.130.1")


def test_an_endpoint_without_a_lease_for_this_gateway_is_withheld() -> None:
    assert news_of(endpoint("7", 3), "gw-2") == Versioned(Key(Kind.ENDPOINT, id_of("7")), 3, NO_LEASE)


@pytest.mark.parametrize(
    ("told", "key", "version"),
    [
        (attachment(SHOP, "", 4, removed=True), Key(Kind.ATTACHMENT, SHOP), 4),
        (service(5, removed=True), Key(Kind.SERVICE, WEB), 5),
        (endpoint("1", 6, removed=True), Key(Kind.ENDPOINT, id_of("1")), 6),
    ],
)
def test_what_is_removed_is_remembered_with_its_version(told: ForwardingEntry, key: Key, version: int) -> None:
    assert news_of(told, GATEWAY) == Versioned(key, version, REMOVED)


def test_an_attachment_without_a_device_gets_the_usual_one() -> None:
    news = news_of(attachment(SHOP, "shop"), GATEWAY)
    assert news is not None
    assert news.content == Attachment(SHOP, Netns("shop", "sidegate0"))


def test_ports_and_whitelists_have_one_form() -> None:
    told = service(1, "10.0.0.2", "10.0.0.1", "10.0.0.2")
    told.service.port_mappings.add(client_port=53, server_port=53, protocol=2)
    told.service.port_mappings.add(client_port=53, server_port=53, protocol=2)
    news = news_of(told, GATEWAY)
    mappings = (PortMapping(53, 53, Protocol.UDP), PortMapping(80, 8080, Protocol.TCP))
    assert news is not None
    assert news.content == Service(WEB, PAYMENTS, mappings, backends("10.0.0.2", "10.0.0.1"))
    whitelist = endpoint("1")
    whitelist.endpoint.allowed_cidrs.extend(["10.0.1.0/24", "10.0.0.0/24", "10.0.0.7/32"])
    news = news_of(whitelist, GATEWAY)
    assert news is not None
    assert isinstance(news.content, Endpoint)
    assert news.content.allowed == (IPv4Network("10.0.0.0/23"),)


def test_ipv6_has_one_form_and_everybody_is_everybody_of_the_addresss_version() -> None:
    whitelist, everybody = endpoint("1"), endpoint("2")
    whitelist.endpoint.address = everybody.endpoint.address = "FD00:0::7"
    whitelist.endpoint.allowed_cidrs.extend(["fd00:0:0:1::/64", "fd00::/64", "fd00::7/128"])
    first, second = news_of(whitelist, GATEWAY), news_of(everybody, GATEWAY)
    assert first is not None
    assert second is not None
    assert isinstance(first.content, Endpoint)
    assert isinstance(second.content, Endpoint)
    assert (str(first.content.address), first.content.allowed) == ("fd00::7", (IPv6Network("fd00::/63"),))
    assert second.content.allowed == (ANYWHERE_V6,)
    assert list(entry_to_proto(second.content, GATEWAY).endpoint.allowed_cidrs) == []


def test_backends_without_weights_have_weight_1_and_those_with_weights_are_as_told() -> None:
    plain, weighted = service(1, "10.0.0.1", "10.0.0.2"), service(1, "10.0.0.1")
    weighted.service.weighted_backends.add(address="10.0.0.1", weight=3)
    weighted.service.weighted_backends.add(address="10.0.0.2", weight=100, draining=True)
    for told, meant in (
        (plain, backends("10.0.0.1", "10.0.0.2")),
        (weighted, (Backend(IPv4Address("10.0.0.1"), 3), Backend(IPv4Address("10.0.0.2"), 100, draining=True))),
    ):
        news = news_of(told, GATEWAY)
        assert news is not None
        assert isinstance(news.content, Service)
        assert news.content.backends == meant


def test_a_gateway_shows_those_who_know_of_no_weights_what_takes_new_sessions() -> None:
    ends = Backend(IPv4Address("10.0.0.1"), 3), Backend(IPv4Address("10.0.0.2"), draining=True)
    shown = entry_to_proto(Service(WEB, PAYMENTS, (), ends), GATEWAY).service
    assert list(shown.backends) == ["10.0.0.1"]
    assert [(each.address, each.weight, each.draining) for each in shown.weighted_backends] == [
        ("10.0.0.1", 3, False),
        ("10.0.0.2", 1, True),
    ]


def test_a_service_that_asks_nothing_is_kept_as_gateways_always_did_and_shown_without_it() -> None:
    news = news_of(service(), GATEWAY)
    assert news is not None
    assert isinstance(news.content, Service)
    made = news.content
    assert (made.timeouts, made.affinity, made.limits) == (Timeouts(), Affinity.NONE, Limits())
    assert (made.reset_expired, made.health_check) == (False, None)
    shown = entry_to_proto(made, GATEWAY).service
    assert not any(shown.HasField(name) for name in ("session_settings", "limits", "health_check"))


def test_of_idle_limits_those_that_are_told_count_and_the_others_are_the_defaults() -> None:
    told = service()
    told.service.session_settings.udp_two_way_seconds = 15
    told.service.health_check.port = 8080
    news = news_of(told, GATEWAY)
    assert news is not None
    assert isinstance(news.content, Service)
    assert news.content.timeouts == Timeouts(udp_two_way=15)
    assert news.content.health_check == HealthCheck(HealthProtocol.TCP, 8080)


def asking(**said: int | str) -> ForwardingEntry:
    """A service that asks for a health check by HTTP of port 8080, but for what is said."""
    told = service()
    told.service.health_check.MergeFrom(service_pb.HealthCheck(**{"protocol": 2, "port": 8080, **said}))  # type: ignore[arg-type] # numbers and texts
    return told


def malformed_settings() -> list[ForwardingEntry]:
    idle, many, fast = service(), service(), service()
    idle.service.session_settings.tcp_closed_seconds = -1
    many.service.limits.connections = -1
    fast.service.limits.bits_per_second = -1
    checks = [
        *(asking(port=each) for each in (0, -1, 65536)),
        *(asking(path=each) for each in ("healthz", "/ HTTP/1.0", "/\r\n", "/ä")),
        *(asking(first_status=each) for each in (-1, 400)),
        *(asking(**{each: -1}) for each in ("interval_seconds", "timeout_seconds", "healthy_after", "unhealthy_after")),
    ]
    return [idle, many, fast, *checks]


def malformed() -> list[ForwardingEntry]:
    address, source, cidr, vpc = endpoint("1"), endpoint("1"), endpoint("1"), endpoint("1")
    address.endpoint.address = "10.0.0"
    source.endpoint.sources[0].address = "fd00::1"
    cidr.endpoint.allowed_cidrs.append("everybody")
    vpc.endpoint.vpc_id = "shop"
    backend, port, protocol = service(1, "db.example"), service(1), service(1)
    port.service.port_mappings.add(client_port=0, server_port=80)
    protocol.service.port_mappings.add(client_port=1, server_port=1, protocol=99)
    both, other, mapped = endpoint("1"), endpoint("1"), endpoint("1")
    both.endpoint.allowed_cidrs.extend(["10.0.0.0/24", "fd00::/64"])
    other.endpoint.address = "fd00::7"
    other.endpoint.allowed_cidrs.append("10.0.0.0/24")
    mapped.endpoint.address = "::ffff:10.0.0.7"
    mixed = service(1, "10.0.0.1", "fd00::1")
    weightless, heavy = service(1), service(1)
    weightless.service.weighted_backends.add(address="10.0.0.1")
    heavy.service.weighted_backends.add(address="10.0.0.1", weight=101)
    versions = [both, other, mapped, mixed]
    return [address, source, cidr, vpc, backend, port, protocol, weightless, heavy, *versions, attachment(SHOP, "")]


@pytest.mark.parametrize("told", malformed() + malformed_settings())
def test_what_cannot_be_understood_is_not_forwarded_and_takes_the_place_of_what_was(told: ForwardingEntry) -> None:
    news = news_of(told, GATEWAY)
    assert news is not None
    assert (news.version, news.content) == (1, MALFORMED)


def test_an_event_that_is_not_about_forwarding_is_no_news() -> None:
    joined = events_pb.EndpointEvent(gateway_joined=events_pb.GatewayJoined(gateway_id=GATEWAY, cell="c1"))
    assert news_of_event(joined.SerializeToString(), GATEWAY) is None
    assert news_of_event(events_pb.EndpointEvent(forwarding=ForwardingEntry()).SerializeToString(), GATEWAY) is None
    assert news_of_event(events_pb.EndpointEvent(forwarding=service()).SerializeToString(), GATEWAY) is not None


def test_an_entry_without_an_id_is_no_news() -> None:
    told = service()
    told.service.service_id = "web"
    assert news_of(told, GATEWAY) is None


def test_a_fact_becomes_a_report() -> None:
    report = fact_to_proto(Fact(id_of("1"), 3, Presence.HINDERED, "x" * 400))
    assert report == EndpointReport(
        endpoint_id=id_of("1"), generation=3, presence=EndpointReport.PRESENCE_HINDERED, reason="x" * 300
    )


def sources_of(told: ForwardingEntry) -> list[str]:
    news = news_of(told, GATEWAY)
    assert news is not None
    assert isinstance(news.content, Endpoint)
    assert news.lease == str(news.content.source_address), "others compare tables by the first"
    return [str(address) for address in (news.content.source_address, *news.content.more_sources)]


def test_a_gateway_has_its_source_addresses_in_the_order_in_which_they_came() -> None:
    told = endpoint(sources=3)
    theirs = told.endpoint.sources[0]
    told.endpoint.sources.insert(1, SourceLease(gateway_id="gw-2", address="198.19.200.200"))
    assert sources_of(told) == ["198.19.128.1", "198.19.129.1", "198.19.130.1"]
    told.endpoint.sources.append(theirs)
    assert len(sources_of(told)) == 3, "each once"


def test_of_more_source_addresses_than_there_can_be_a_gateway_uses_the_first() -> None:
    assert len(sources_of(endpoint(sources=90))) == MOST_SOURCES == 64


def told_routes(**fields: object) -> ForwardingEntry:
    entry = entry_to_proto(ROUTED, GATEWAY)
    entry.endpoint.routes.add(**fields)
    return entry


def test_an_endpoint_with_routes_has_the_lowest_of_their_addresses() -> None:
    entry = told_routes(prefix="100.126.0.0/16")
    entry.endpoint.address = ""
    entry.endpoint.routes.add(prefix="100.125.0.0/16", denied=True)
    news = news_of(entry, GATEWAY)
    assert news is not None
    assert isinstance(news.content, Endpoint)
    assert str(news.content.address) == "100.125.0.0"
    assert [str(route.prefix) for route in news.content.routes] == ["100.125.0.0/16", "100.126.0.0/16"]


@pytest.mark.parametrize(
    "fields",
    [
        {"prefix": ""},
        {"prefix": "100.125.0.1/16"},
        {"prefix": "100.125.0.0/16", "ports": [{"client_port": 80}]},
        {"prefix": "100.125.0.0/16", "ports": [{"client_port": 0, "protocol": 1}]},
        {"prefix": "100.125.0.0/16", "ports": [{"client_port": 65536, "protocol": 2}]},
        {"prefix": "100.125.0.0/16", "ports": [{"client_port": 80, "protocol": 9}]},
    ],
)
def test_an_endpoint_with_a_route_that_is_not_understood_is_withheld(fields: dict[str, object]) -> None:
    news = news_of(told_routes(**fields), GATEWAY)
    assert news is not None
    assert news.content is MALFORMED


def test_routes_that_contradict_each_other_are_withheld() -> None:
    for other in ("100.125.0.0/16", "2001:db8::/32"):
        entry = told_routes(prefix="100.125.0.0/16")
        entry.endpoint.routes.add(prefix=other, denied=True)
        news = news_of(entry, GATEWAY)
        assert news is not None
        assert news.content is MALFORMED

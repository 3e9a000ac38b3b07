"""Resolvers and names as the forwarding log tells of them."""

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.name_servers import NameServer
from services.gateway_agent.desired import REMOVED, Desired
from services.gateway_agent.table import Key, Kind, Resolver
from services.gateway_agent.wire import MALFORMED, entry_to_proto, news_of
from sidegate.api.events.v1.forwarding_pb2 import ForwardingEntry, ResolverForwarding
from tests.support.agent import GATEWAY, SHOP, ZONE, attachment, endpoint, resolver

# No mapped IPv6 address: it is written as what it is.
addresses = st.ip_addresses(v=4) | st.integers(1 << 64, (1 << 128) - 1).map(ip_address)
servers = st.builds(NameServer, addresses, st.integers(1, 65_535))
resolvers = st.builds(
    Resolver,
    st.uuids().map(str),
    addresses,
    st.lists(servers, max_size=3).map(tuple),
    st.just("region-1.sidegate.internal"),
)


@given(resolvers)
def test_a_resolver_survives_the_way_to_the_wire_and_back(wanted: Resolver) -> None:
    told = entry_to_proto(wanted, GATEWAY)
    told.resolver.version = 7
    news = news_of(told, GATEWAY)
    assert news is not None
    assert (news.key, news.version, news.content) == (Key(Kind.RESOLVER, wanted.vpc), 7, wanted)


@pytest.mark.parametrize(
    "wrong",
    [
        {"address": "nobody"},
        {"address": ""},
        {"zone": ""},
        {"zone": "a..b"},
        {"forwarders": ["192.0.2.1:0"]},
        {"forwarders": ["192.0.2.1:65536"]},
        {"forwarders": ["[::1:53"]},
        {"forwarders": ["dns.example.com:53"]},
    ],
)
def test_a_resolver_that_makes_no_sense_is_none(wrong: dict[str, str | list[str]]) -> None:
    told = ForwardingEntry(resolver=ResolverForwarding(vpc_id=SHOP, version=1, address="10.0.0.53", zone=ZONE))
    told.resolver.MergeFrom(ResolverForwarding(**wrong))  # type: ignore[arg-type] # its fields
    for name, value in wrong.items():
        if value == "":
            told.resolver.ClearField(name)  # type: ignore[arg-type] # as above
    news = news_of(told, GATEWAY)
    assert news is not None
    assert news.content == MALFORMED


def test_names_are_beside_the_entry_in_one_form_and_no_more_than_make_sense() -> None:
    said = [
        "E1.Region-1.Sidegate.Internal",
        "api.example.com",
        "api.example.com",
        "",
        "a..b",
        "x" * 64,
        "ä.example.com",
    ]
    news, plain = (news_of(endpoint("1", names=names), GATEWAY) for names in (said, ()))
    assert news is not None
    assert plain is not None
    assert news.names == ("e1.region-1.sidegate.internal", "api.example.com")
    assert news.content == plain.content, "the kernel's table knows of none"
    many = news_of(endpoint("1", names=[f"n{number}.example.com" for number in range(1000)]), GATEWAY)
    assert many is not None
    assert len(many.names) < 100


def test_a_resolver_is_in_what_is_compared_and_in_no_table() -> None:
    desired = Desired()
    told = [news for each in (attachment(SHOP, "shop"), resolver(3)) if (news := news_of(each, GATEWAY)) is not None]
    desired.replace(told, position=5)
    assert {(kind, version) for kind, _, version, _ in desired.versions()} == {("attachment", 1), ("resolver", 3)}
    assert {key.kind for key in desired.table().entries} == {Kind.ATTACHMENT}
    assert [each.vpc for each in desired.resolvers()] == [SHOP]
    gone = news_of(resolver(4, removed=True), GATEWAY)
    assert gone is not None
    assert gone.content == REMOVED
    assert desired.hear(gone)
    assert list(desired.resolvers()) == []
    assert desired.resolver(SHOP) is None
    assert [kind for kind, *_ in desired.versions()] == ["attachment"]

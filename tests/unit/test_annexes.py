"""What annexes put into a table: the same whatever came first, and nothing of it afterwards."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from ipaddress import IPv4Address, ip_address

from hypothesis import given, settings
from hypothesis import strategies as st

from services.gateway_agent.annexes import Annexes, Proxied, expand, inner_id, proxy_id, resolver_id
from services.gateway_agent.desired import REMOVED, Desired, Versioned
from services.gateway_agent.table import (
    Attachment,
    Backend,
    ClientIdentity,
    Endpoint,
    Entry,
    ForwardingTable,
    Key,
    Kind,
    PortMapping,
    Protocol,
    Remove,
    Resolver,
    Service,
    everybody,
)
from services.gateway_agent.targets import RESOLVER, RESOLVER_V6, Annex, Netns, annex_id
from services.gateway_agent.tracker import Tracker
from tests.support.agent import id_of

SHOPS, PROVIDER = [id_of(f"shop {number}") for number in range(2)], id_of("provider")
SERVICES = [id_of(f"service {number}") for number in range(2)]
PLAIN = PortMapping(80, 8080, Protocol.TCP)
DNS = PortMapping(53, 5353, Protocol.UDP)
TOLD = PortMapping(443, 8443, Protocol.TCP, ClientIdentity.PROXY)
TOLD_TOO = PortMapping(25, 2525, Protocol.TCP, ClientIdentity.PROXY)
PORTS = [(PLAIN,), (PLAIN, DNS, TOLD), (TOLD, TOLD_TOO), (replace(PLAIN, identity=ClientIdentity.TOA),)]


def service(number: int = 0, ports: tuple[PortMapping, ...] = (PLAIN, DNS, TOLD)) -> Service:
    return Service(SERVICES[number], PROVIDER, ports, (Backend(IPv4Address("10.0.0.20")),))


def endpoint(number: int = 0, of: int = 0, drains: int = 0, admission: int = 1) -> Endpoint:
    address, source = IPv4Address("10.0.0.100") + number, IPv4Address("198.19.128.1") + number
    id_ = id_of(f"endpoint {number}")
    return Endpoint(id_, 7 + number, SHOPS[number % 2], address, SERVICES[of], source, admission, draining_until=drains)


def resolver(number: int = 0, address: str = "10.0.0.53") -> Resolver:
    return Resolver(SHOPS[number], ip_address(address), (), "test.sidegate.internal")


def attachments() -> list[Entry]:
    return [Attachment(vpc, Netns(f"ns{place}", "sidegate0")) for place, vpc in enumerate([*SHOPS, PROVIDER])]


News = tuple[Key, Entry | Resolver | None]

news = st.one_of(
    st.builds(service, st.integers(0, 1), st.sampled_from(PORTS)).map(lambda each: (each.key, each)),
    st.builds(endpoint, st.integers(0, 3), st.integers(0, 1), st.sampled_from([0, 99]), st.integers(1, 2)).map(
        lambda each: (each.key, each)
    ),
    st.builds(resolver, st.integers(0, 1)).map(lambda each: (each.key, each)),
    st.integers(0, 3).map(lambda number: (endpoint(number).key, None)),
    st.integers(0, 1).map(lambda number: (service(number).key, None)),
    st.integers(0, 1).map(lambda number: (resolver(number).key, None)),
)


def told(annexes: Annexes, said: Iterable[News]) -> dict[Key, Entry]:
    wanted: dict[Key, Entry | None] = {}
    for key, entry in said:
        wanted.update(annexes.give(key, entry))
    return {key: entry for key, entry in wanted.items() if entry is not None}


def last_words(said: Sequence[News]) -> dict[Key, Entry | Resolver]:
    return {key: entry for key, entry in dict(said).items() if entry is not None}


@settings(max_examples=40)
@given(st.lists(news, max_size=30), st.randoms(use_true_random=False))
def test_whatever_was_said_before_the_last_words_of_each_key_make_the_table(said: list[News], chance: object) -> None:
    last = list(last_words(said).values())
    chance.shuffle(last)  # type: ignore[attr-defined] # hypothesis gives a random.Random
    afresh = Annexes()
    assert told(Annexes(), said) == told(afresh, [(each.key, each) for each in last])
    at_once = expand(
        ForwardingTable.of(each for each in last if not isinstance(each, Resolver)),
        [each for each in last if isinstance(each, Resolver)],
    )
    assert dict(at_once.entries) == told(Annexes(), said)


@settings(max_examples=40)
@given(st.lists(news, max_size=30))
def test_nothing_is_left_of_what_has_gone_and_saying_things_twice_changes_nothing(said: list[News]) -> None:
    annexes = Annexes()
    table = told(annexes, said)
    assert told(annexes, [*last_words(said).items()]).items() <= table.items()
    gone: dict[Key, Entry | None] = {**table}
    for key in sorted(last_words(said), reverse=True):
        gone.update(annexes.give(key, None))
    assert not any(gone.values())
    assert not any(annexes.proxied(vpc) or annexes.owners(Key(Kind.ATTACHMENT, annex_id(vpc))) for vpc in SHOPS)
    assert not any(
        vars(annexes)[each] for each in ("_services", "_endpoints", "_users", "_made", "_tenants", "_owners")
    )


@settings(max_examples=40)
@given(st.lists(news, max_size=25), st.lists(news, max_size=25))
def test_a_tracker_brings_the_table_from_one_expansion_to_the_next_and_is_done(
    first: list[News], then: list[News]
) -> None:
    desired, annexes, tracker = Desired(), Annexes(), Tracker()
    for entry in attachments():
        desired.hear(Versioned(entry.key, 1, entry))
    for version, (key, said) in enumerate([*first, *then], 2):
        desired.hear(Versioned(key, version, REMOVED if said is None else said))
        if version in (len(first) + 1, len(first) + len(then) + 1):
            for changed in desired.take_changed():
                asked = desired.resolver(changed.id) if changed.kind is Kind.RESOLVER else desired.wanted(changed)
                for each, wish in annexes.give(changed, asked).items():
                    tracker.want(each, wish)
            actual = _applied(tracker)
            assert actual == expand(desired.table(), desired.resolvers())
    assert tracker.settled


def _applied(tracker: Tracker) -> ForwardingTable:
    """Everything pending is done; what an entry needs is there before it, and goes after it."""
    while tracker.ready:
        for change in tracker.pending():
            before = tracker.table().entries
            if isinstance(change, Remove):
                assert not any(change.key in entry.needs for entry in before.values())
            else:
                assert change.entry.needs <= before.keys()
            tracker.applied(change)
    return tracker.table()


def test_an_endpoint_with_proxy_ports_gets_a_proxy_in_its_vpcs_annex_and_an_endpoint_for_it_there() -> None:
    mine, leads_to = endpoint(), service()
    table = told(Annexes(), [(leads_to.key, leads_to), (mine.key, mine)])
    annex = annex_id(mine.vpc)
    assert table[Key(Kind.ATTACHMENT, annex)] == Attachment(annex, Annex(mine.vpc))
    proxy, inner = table[Key(Kind.SERVICE, proxy_id(mine.id))], table[Key(Kind.ENDPOINT, inner_id(mine.id))]
    assert isinstance(proxy, Service)
    assert isinstance(inner, Endpoint)
    assert (proxy.vpc, proxy.keeps_source, proxy.ports) == (annex, True, (PortMapping(443, 443, Protocol.TCP),))
    assert proxy.backends == (Backend(mine.address),)
    assert inner == replace(mine, id=inner.id, vpc=annex, proxy=mine.service)
    assert table[mine.key] == replace(mine, proxy=proxy.id)


def test_an_inner_endpoint_lets_the_proxy_in_whomever_the_endpoint_does() -> None:
    mine = replace(
        endpoint(), allowed=(everybody(4)[0],), draining_until=99, more_sources=(IPv4Address("198.19.130.1"),)
    )
    table = told(Annexes(), [(mine.key, mine), (service().key, service())])
    inner = table[Key(Kind.ENDPOINT, inner_id(mine.id))]
    assert isinstance(inner, Endpoint)
    assert inner.allowed == everybody(4)
    assert (inner.draining_until, inner.more_sources) == (99, mine.more_sources)


def test_the_proxy_is_told_of_its_endpoints_and_who_asks_for_which_annex_has_changed() -> None:
    annexes, mine = Annexes(), endpoint()
    annexes.give(mine.key, mine)
    assert not annexes.take_changed()
    annexes.give(service().key, service())
    assert [*annexes.take_changed()] == [mine.vpc]
    assert annexes.proxied(mine.vpc) == {Proxied(mine.id, 7, mine.vpc, mine.address, (443,))}
    annexes.give(service().key, replace(service(), backends=()))
    assert not annexes.take_changed()
    annexes.give(service().key, service(ports=(PLAIN,)))
    assert [*annexes.take_changed()] == [mine.vpc]
    assert not annexes.proxied(mine.vpc)


def test_a_resolver_is_an_endpoint_of_a_service_in_the_annex_that_sees_who_asks() -> None:
    for asked, server in ((resolver(), RESOLVER), (resolver(0, "fd00::53"), RESOLVER_V6)):
        table = told(Annexes(), [(asked.key, asked)])
        id_ = resolver_id(asked.vpc)
        leads_to, mine = table[Key(Kind.SERVICE, id_)], table[Key(Kind.ENDPOINT, id_)]
        assert isinstance(leads_to, Service)
        assert isinstance(mine, Endpoint)
        assert (leads_to.vpc, leads_to.keeps_source, leads_to.backends) == (
            annex_id(asked.vpc),
            True,
            (Backend(server),),
        )
        assert {(each.client_port, each.server_port, each.protocol) for each in leads_to.ports} == {
            (53, 53, Protocol.UDP),
            (53, 53, Protocol.TCP),
        }
        assert (mine.vpc, mine.address, mine.allowed) == (asked.vpc, asked.address, everybody(asked.address.version))
        assert len(table) == 3


def test_an_annex_that_a_resolver_needs_stays_when_its_last_proxied_endpoint_goes() -> None:
    annexes, mine = Annexes(), endpoint()
    told(annexes, [(service().key, service()), (mine.key, mine), (resolver().key, resolver())])
    annex = Key(Kind.ATTACHMENT, annex_id(mine.vpc))
    assert set(annexes.owners(annex)) == {mine.key, resolver().key}
    assert annex not in annexes.give(mine.key, None)
    assert annexes.give(resolver().key, None)[annex] is None

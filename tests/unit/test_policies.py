"""Policies of gateway-type endpoints: the routes that are made of one say what a naive reader of it says."""

import json
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.addressing import Network, networks_of
from services.common.errors import Invalid
from services.endpoint.domain import policy
from services.endpoint.domain.forwarding import Protocol
from services.endpoint.domain.policy import MOST_PORTS, MOST_PREFIXES, Held
from services.endpoint.domain.routes import Port, Route

PREFIXES = networks_of(("100.125.0.0/24", "100.126.0.10/32"))
HTTPS, HTTP, DNS, SSH = Port(443, Protocol.TCP), Port(80, Protocol.TCP), Port(53, Protocol.UDP), Port(22, Protocol.TCP)
PUBLISHED = frozenset({HTTPS, HTTP, DNS})
OURS, OTHERS = "shop", "stranger"


def document(*statements: Mapping[str, Any]) -> str:
    return json.dumps({"Version": "1", "Statement": statements})


def allow(*resources: str) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": ["*"], "Resource": resources}


def deny(*resources: str) -> dict[str, Any]:
    return {"Effect": "Deny", "Action": ["sidegate:Connect"], "Resource": resources}


def routes(*statements: Mapping[str, Any], ports: frozenset[Port] = PUBLISHED) -> dict[str, str]:
    """What holds for each prefix, in words."""
    text = document(*statements) if statements else ""
    made = policy.routing(["t"], PREFIXES, [], Held(text, OURS, ports)).routes
    assert [route.prefix for route in made[: len(PREFIXES)]] == list(PREFIXES)
    return {str(route.prefix): _words(route) for route in made}


def _words(route: Route) -> str:
    return "denied" if route.denied else " ".join(map(str, route.ports)) or "all"


def test_without_a_policy_everything_is_allowed() -> None:
    assert routes() == routes(allow("*")) == {"100.125.0.0/24": "all", "100.126.0.10/32": "all"}


def test_what_nothing_allows_is_denied_and_deny_wins() -> None:
    assert routes(deny("*"), allow("*")) == {"100.125.0.0/24": "denied", "100.126.0.10/32": "denied"}
    assert routes(allow("100.126.0.10")) == {"100.125.0.0/24": "denied", "100.126.0.10/32": "all"}
    assert routes(allow("*"), deny("100.125.0.128/25")) == {
        "100.125.0.0/24": "all",
        "100.126.0.10/32": "all",
        "100.125.0.128/25": "denied",
    }


def test_ports_are_those_that_are_allowed_whatever_the_service_publishes_later() -> None:
    assert routes(allow("tcp/443"))["100.125.0.0/24"] == "tcp/443"
    assert routes(allow("tcp/443"), ports=frozenset())["100.125.0.0/24"] == "tcp/443"
    assert routes(allow("*"), deny("tcp/80"))["100.125.0.0/24"] == "udp/53 tcp/443"
    assert routes(allow("*"), deny("tcp/22"))["100.125.0.0/24"] == "udp/53 tcp/80 tcp/443"
    assert routes(allow("*"), deny("tcp/80"), ports=frozenset({HTTP}))["100.125.0.0/24"] == "denied"
    both = routes(allow("tcp/443", "100.125.0.0/28 tcp/80"))
    assert both == {"100.125.0.0/24": "tcp/443", "100.126.0.10/32": "tcp/443", "100.125.0.0/28": "tcp/80 tcp/443"}


def test_what_is_said_of_other_accounts_means_nothing_here() -> None:
    said = (allow(f"account/{OURS}"), deny(f"account/{OTHERS}"), deny(f"account/{OURS} tcp/80"))
    assert set(routes(*said).values()) == {"udp/53 tcp/443"}
    assert set(routes(allow(f"account/{OTHERS}")).values()) == {"denied"}


def test_a_part_for_which_nothing_else_holds_has_no_route_of_its_own() -> None:
    assert len(routes(allow("*", "100.125.0.16/28"))) == len(PREFIXES)
    assert routes(allow("*"), deny("100.125.0.0/25"), allow("100.125.0.0/26"))["100.125.0.0/25"] == "denied"
    assert "100.125.0.0/26" not in routes(allow("*"), deny("100.125.0.0/25"), allow("100.125.0.0/26"))


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        (allow("*") | {"Action": ["*", "obs:GetObject"]}, "the Action 'obs:GetObject'"),
        (allow("obs:*:*:object:bucket/*"), "the Resource 'obs:*:*:object:bucket/*'"),
        (allow("bucket"), "the Resource 'bucket'"),
        (allow("tcp/443 tcp/80"), "the Resource 'tcp/443 tcp/80'"),
        (allow("tcp/0"), "the Resource 'tcp/0'"),
        (allow("tcp/65536"), "the Resource 'tcp/65536'"),
        (allow("tcp/000080999"), "the Resource 'tcp/000080999'"),
        (allow("tcp/1" + "0" * 5000), "the Resource 'tcp/1"),
        (allow("icmp/1"), "the Resource 'icmp/1'"),
        (allow("* tcp/443"), "the Resource '* tcp/443'"),
        (allow("*") | {"Condition": {"IpAddress": {}}}, "'Condition' cannot be held to"),
        (allow("*") | {"NotAction": ["*"]}, "'NotAction' cannot be held to"),
        (allow("*") | {"Principal": "*"}, "'Principal' cannot be held to"),
    ],
)
def test_what_no_gateway_sees_is_refused_with_the_statement_and_what_could_be_held_to(
    statement: Mapping[str, Any], named: str
) -> None:
    with pytest.raises(Invalid) as refused:
        policy.parse(document(allow("*"), {**statement, "Sid": "mine"}), PREFIXES)
    assert refused.value.reason == "POLICY_NOT_ENFORCEABLE"
    assert refused.value.field == "endpoint.policy"
    assert refused.value.text.startswith(f"statement 2 (mine): {named}")
    assert "a gateway sees addresses, ports and accounts" in refused.value.text


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        '{"Statement": []}',
        '{"Statement": "Allow"}',
        '{"Statement": ["Allow"]}',
        document(*[allow("*")] * 11),
        document(allow("*") | {"Effect": "Perhaps"}),
        document({"Effect": "Allow", "Action": "*"}),
        document(allow()),
        document(allow("")),
        document(allow("*") | {"Action": [1]}),
        document(allow("100.127.0.0/24")),
        document(allow("100.0.0.0/8")),
        document(allow("2001:db8::/64")),
        document(allow(*(f"100.125.0.{number}/32" for number in range(MOST_PREFIXES + 1)))),
        document(allow(*(f"tcp/{number}" for number in range(1, MOST_PORTS + 2)))),
    ],
)
def test_what_is_no_policy_of_the_service_is_refused(text: str) -> None:
    with pytest.raises(Invalid) as refused:
        policy.parse(text, PREFIXES)
    assert refused.value.reason == "POLICY_INVALID"


@pytest.mark.parametrize(
    "said", [{"Action": ["x" * 9000]}, {"Resource": "x" * 9000}, {"Sid": "x" * 9000, "NotAction": 1}]
)
def test_a_refusal_names_what_is_refused_without_all_of_it(said: dict[str, Any]) -> None:
    """It has to fit into the trailers of a call."""
    with pytest.raises(Invalid) as refused:
        routes(allow("*") | said)
    assert refused.value.reason == "POLICY_NOT_ENFORCEABLE"
    assert len(refused.value.text) < 500
    assert "xxxx…" in refused.value.text


def test_one_statement_and_one_text_need_no_list() -> None:
    text = json.dumps({"Statement": {"Effect": "Deny", "Action": "*", "Resource": "tcp/80"}})
    assert policy.parse(text, PREFIXES) == policy.parse(document(deny("tcp/80")), PREFIXES)


parts = st.sampled_from(
    ["100.125.0.0/24", "100.125.0.0/25", "100.125.0.64/26", "100.125.0.64/30", "100.125.0.66", "100.126.0.10", ""]
)
ports = st.sampled_from(["tcp/443", "tcp/80", "udp/53", "tcp/22", ""])
accounts = st.sampled_from([f"account/{OURS}", f"account/{OTHERS}", "", ""])
resources = st.builds(lambda *words: " ".join(filter(None, words)) or "*", accounts, parts, ports)
statements = st.builds(
    lambda effect, named: {"Effect": effect, "Action": "*", "Resource": named},
    st.sampled_from(["Allow", "Allow", "Deny"]),
    st.lists(resources, min_size=1, max_size=4),
)
addresses = st.sampled_from(
    [*(f"100.125.0.{last}" for last in (0, 1, 63, 64, 65, 66, 67, 68, 127, 128, 255)), "100.126.0.10"]
)


def naively(said: Sequence[Mapping[str, Any]], address: str, port: Port) -> bool:
    """Read as it stands: every statement, every resource, one address."""
    effects = [each["Effect"] for each in said if any(_names(resource, address, port) for resource in each["Resource"])]
    return "Allow" in effects and "Deny" not in effects


def _names(resource: str, address: str, port: Port) -> bool:
    for word in resource.split():
        if word.startswith("account/"):
            fits = word == f"account/{OURS}"
        elif word.startswith(("tcp/", "udp/")):
            fits = word == str(port)
        else:
            fits = word == "*" or IPv4Address(address) in IPv4Network(word)
        if not fits:
            return False
    return True


def _passes(made: Sequence[Route], address: str, port: Port) -> bool:
    """As a gateway decides: the longest route that fits."""
    fitting: list[tuple[int, Route]] = [
        (route.prefix.prefixlen, route) for route in made if _contains(route.prefix, address)
    ]
    route = max(fitting, key=lambda each: each[0])[1]
    return not route.denied and (not route.ports or port in route.ports)


def _contains(prefix: Network, address: str) -> bool:
    return IPv4Address(address) in prefix


@given(st.lists(statements, min_size=1, max_size=6), addresses, st.sampled_from([HTTPS, HTTP, DNS, SSH]))
def test_routes_say_what_a_naive_reader_of_the_policy_says(
    said: Sequence[Mapping[str, Any]], address: str, port: Port
) -> None:
    published = PUBLISHED | {SSH}
    made = policy.routing(["t"], PREFIXES, [], Held(document(*said), OURS, published)).routes
    assert len({route.prefix for route in made}) == len(made)
    assert _passes(made, address, port) == naively(said, address, port)

"""Policies of gateway-type endpoints: statements of Effect, Action and Resource, made into routes. Pure.

A gateway sees addresses, ports, and whose an endpoint is. What else a policy may ask for is refused, in a sentence that
says what can be held to. Deny wins; what nothing allows is denied; without a policy everything is allowed.
"""

import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from services.common.addressing import Network, collapsed, network_of
from services.common.errors import Invalid
from services.endpoint.domain.forwarding import Protocol
from services.endpoint.domain.routes import Port, Route, Routing

FIELD = "endpoint.policy"
MOST_STATEMENTS, MOST_PREFIXES, MOST_PORTS = 10, 64, 64
"""How many statements a policy has, and how many prefixes and ports all of them name."""

EVERYTHING = "*"
ACTIONS = frozenset({EVERYTHING, "sidegate:*", "sidegate:Connect"})
ACCOUNT = "account/"
ENFORCEABLE = (
    "a gateway sees addresses, ports and accounts: Action '*' or 'sidegate:Connect', and Resource '*', prefixes such as"
    " '100.125.1.0/24', ports such as 'tcp/443', 'account/NAME', or some of these with a blank between"
)
KEYS = frozenset({"Effect", "Action", "Resource", "Sid"})
HIGHEST_PORT, SHOWN_CHARACTERS = 65_535, 64
PORT_NUMBER = re.compile(r"[1-9][0-9]{0,4}")
"""As everybody writes it: of leading zeros only so many were looked at."""


@dataclass(frozen=True, slots=True)
class Target:
    """What a Resource names; None is all of its kind."""

    prefix: Network | None = None
    port: Port | None = None
    account: str | None = None

    def covers(self, prefix: Network, port: Port | None, account: str) -> bool:
        """Whether all of these addresses are in it, on this port; None is one that no statement names."""
        return (
            (self.prefix is None or _inside(prefix, self.prefix))
            and (self.port is None or self.port == port)
            and self.account in (None, account)
        )


@dataclass(frozen=True, slots=True)
class Statement:
    allows: bool
    targets: tuple[Target, ...]


Policy = tuple[Statement, ...]
OPEN: Policy = (Statement(True, (Target(),)),)
"""What holds where there is no policy."""


@dataclass(frozen=True, slots=True)
class Held:
    """A policy's document with what it is held against: the account whose endpoint it is, and the service's ports."""

    document: str
    account: str
    ports: frozenset[Port]


def parse(document: str, prefixes: Sequence[Network]) -> Policy:
    """A policy of an endpoint to these public prefixes. Raises Invalid: POLICY_INVALID, or POLICY_NOT_ENFORCEABLE for
    what means something that no gateway sees."""
    if not document:
        return OPEN
    said = json.loads(document)
    if strange := sorted(said.keys() - {"Version", "Statement", "Id"}):
        raise _not_enforceable(
            "the policy", f"'{_shown(strange[0])}' is nothing that it has: it has Version and Statement"
        )
    statements = said.get("Statement")
    if isinstance(statements, Mapping):
        statements = [statements]
    if not isinstance(statements, list) or not 1 <= len(statements) <= MOST_STATEMENTS:
        raise _invalid("the policy", f"has 1 to {MOST_STATEMENTS} statements, in 'Statement'")
    policy = tuple(_statement(each, number, prefixes) for number, each in enumerate(statements, 1))
    targets = [target for statement in policy for target in statement.targets]
    if len({target.prefix for target in targets}) > MOST_PREFIXES:
        raise _invalid("the policy", f"names more than {MOST_PREFIXES} prefixes: name wider ones")
    if len({target.port for target in targets}) > MOST_PORTS:
        raise _invalid("the policy", f"names more than {MOST_PORTS} ports: name fewer")
    return policy


def routes(policy: Policy, prefixes: Sequence[Network], ports: Collection[Port], account: str) -> tuple[Route, ...]:
    """What gateways hold: public prefixes in their order, then parts of them for which something else holds.

    `ports` are those that the service publishes.
    """
    named = {target.prefix for statement in policy for target in statement.targets if target.prefix is not None}
    made = {prefix: _route(policy, prefix, ports, account) for prefix in prefixes}
    for part in sorted(named - made.keys(), key=lambda each: (each.prefixlen, each)):
        route = _route(policy, part, ports, account)
        if (route.denied, route.ports) != _around(part, made):
            made[part] = route
    return tuple(made.values())


def _around(part: Network, made: Mapping[Network, Route]) -> tuple[bool, tuple[Port, ...]]:
    """What holds for it without a route of its own."""
    wider = max((each for each in made if _inside(part, each)), key=lambda each: each.prefixlen)
    return made[wider].denied, made[wider].ports


def _route(policy: Policy, prefix: Network, ports: Collection[Port], account: str) -> Route:
    """What holds for all addresses of the prefix that no longer one has."""
    named = {target.port for statement in policy for target in statement.targets if target.port is not None}
    permitted = frozenset(port for port in named if _permitted(policy, prefix, port, account))
    if _permitted(policy, prefix, None, account):
        if permitted == named:
            return Route(prefix)
        permitted |= frozenset(ports) - named
    if not permitted:
        return Route(prefix, denied=True)
    return Route(prefix, ports=tuple(sorted(permitted)))


def _permitted(policy: Policy, prefix: Network, port: Port | None, account: str) -> bool:
    covering = [
        statement.allows
        for statement in policy
        if any(each.covers(prefix, port, account) for each in statement.targets)
    ]
    return bool(covering) and all(covering)


def _statement(said: object, number: int, prefixes: Sequence[Network]) -> Statement:
    if not isinstance(said, Mapping):
        raise _invalid(f"statement {number}", "is an object of Effect, Action and Resource")
    named = said.get("Sid")
    where = f"statement {number}" + (f" ({_shown(named)})" if isinstance(named, str) and named else "")
    if strange := sorted(said.keys() - KEYS):
        raise _not_enforceable(where, f"'{_shown(strange[0])}' cannot be held to")
    if said.get("Effect") not in ("Allow", "Deny"):
        raise _invalid(where, "has the Effect Allow or Deny")
    for action in _texts(said, "Action", where):
        if action not in ACTIONS:
            raise _not_enforceable(where, f"the Action '{_shown(action)}' is the service's own affair")
    resources = _texts(said, "Resource", where)
    targets = tuple(_target(resource, where, prefixes) for resource in resources)
    return Statement(said["Effect"] == "Allow", targets)


def _target(resource: str, where: str, prefixes: Sequence[Network]) -> Target:
    prefix: Network | None = None
    port: Port | None = None
    account: str | None = None
    words = resource.split()
    if not words:
        raise _invalid(where, "has a Resource that names nothing")
    if words == [EVERYTHING]:
        return Target()
    for word in words:
        if word.startswith(ACCOUNT) and account is None and word != ACCOUNT:
            account = word.removeprefix(ACCOUNT)
        elif port is None and (found := _port(word)) is not None:
            port = found
        elif prefix is None and (part := _prefix(word)) is not None:
            prefix = part
        else:
            raise _not_enforceable(where, f"the Resource '{_shown(resource)}' names what a gateway does not see")
    if prefix is not None and not any(_inside(prefix, each) for each in prefixes):
        public = ", ".join(map(str, prefixes))
        raise _invalid(where, f"names {prefix}, which is outside the public prefixes of the service: {public}")
    return Target(prefix, port, account)


def _port(word: str) -> Port | None:
    protocol, slash, number = word.partition("/")
    if not slash or protocol not in tuple(Protocol) or not PORT_NUMBER.fullmatch(number):
        return None
    return Port(int(number), Protocol(protocol)) if int(number) <= HIGHEST_PORT else None


def _prefix(word: str) -> Network | None:
    try:
        return network_of(word)
    except ValueError:
        return None


def _inside(part: Network, whole: Network) -> bool:
    return part.version == whole.version and part.network_address in whole and part.prefixlen >= whole.prefixlen


def _texts(said: Mapping[str, Any], key: str, where: str) -> Sequence[str]:
    """One text, or a list of some."""
    found = said.get(key)
    texts = [found] if isinstance(found, str) else found
    if not isinstance(texts, list) or not texts or not all(isinstance(each, str) for each in texts):
        raise _invalid(where, f"has the texts of {key} in a list")
    return texts


def _shown(text: str) -> str:
    """The caller's own words in a refusal, which has to fit into the trailers of a call."""
    printable = "".join(each if each.isprintable() else "?" for each in text[: SHOWN_CHARACTERS + 1])
    return printable if len(printable) <= SHOWN_CHARACTERS else printable[:SHOWN_CHARACTERS] + "…"


def _invalid(where: str, why: str) -> Invalid:
    return Invalid("POLICY_INVALID", f"{where} {why}", field=FIELD)


def _not_enforceable(where: str, why: str) -> Invalid:
    return Invalid("POLICY_NOT_ENFORCEABLE", f"{where}: {why}; {ENFORCEABLE}", field=FIELD)


def routing(tables: Sequence[str], prefixes: Sequence[Network], clients: Iterable[Network], policy: Held) -> Routing:
    """What an endpoint in these tables has; `clients` are the ranges of their subnets. Raises Invalid."""
    version = prefixes[0].version
    return Routing(
        tables=tuple(tables),
        prefixes=tuple(prefixes),
        subnets=collapsed(client for client in clients if client.version == version),
        routes=routes(parse(policy.document, prefixes), prefixes, policy.ports, policy.account),
    )

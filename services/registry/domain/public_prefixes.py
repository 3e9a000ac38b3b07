"""Public prefixes of gateway-type services: ranges whose every address leads to the service, apart in the region."""

from collections.abc import Iterable, Iterator, Sequence
from ipaddress import IPv4Network

from services.common.addressing import Network, family, network_of, networks_of
from services.common.errors import AlreadyExists, Invalid
from services.common.eventsourcing.store import Claim, Constraints, Count
from services.registry.domain.addresses import ANNEX_RANGE_V6, SOURCE_RANGE, SOURCE_RANGE_V6

FIELD = "endpoint_service.public_prefixes"
EXAMPLE = "such as 100.125.0.0/16 or 2001:db8:100::/48"
PUBLIC_PREFIX, EXACT, UNDER = "public-prefix", "prefix-exact", "prefix-under"
"""The claim that names who has a prefix, and the counters that keep prefixes apart: of a range how many services have
it (one at most), and how many have a part of it (none, where a service has the range)."""

MOST = 32
_LENGTHS = {4: (8, 32), 6: (16, 128)}
_KEPT: tuple[Network, ...] = (SOURCE_RANGE, SOURCE_RANGE_V6, ANNEX_RANGE_V6)
_NOT_UNICAST = networks_of(
    ("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3", "::/8", "fe80::/10", "fec0::/10", "ff00::/8")
)


def parse(texts: Sequence[str]) -> tuple[Network, ...]:
    """Prefixes as a caller gives them. Raises Invalid."""
    return tuple(_parsed(text, f"{FIELD}[{index}]") for index, text in enumerate(texts))


def check(prefixes: Sequence[Network], version: int) -> None:
    """Refuses none, too many, those of another IP version, and those that overlap one another."""
    if not prefixes:
        text = f"a service that is reached by routes has 1 to {MOST} public prefixes, {EXAMPLE}"
        raise Invalid("PREFIXES_MISSING", text, field=FIELD)
    if len(prefixes) > MOST:
        raise Invalid(
            "TOO_MANY_PREFIXES", f"a service has {MOST} public prefixes at most, not {len(prefixes)}", field=FIELD
        )
    for index, prefix in enumerate(prefixes):
        field = f"{FIELD}[{index}]"
        if prefix.version != version:
            text = (
                f"{prefix} is {family(prefix.version)} and the backends {family(version)}: publish a service for each"
            )
            raise Invalid("PREFIX_IP_VERSION", text, field=field)
        if clash := next((other for other in prefixes[:index] if other.overlaps(prefix)), None):
            raise Invalid("PREFIXES_OVERLAP", f"{prefix} overlaps {clash}: leave one of them out", field=field)


def constraints(prefixes: Iterable[Network], delta: int) -> Constraints:
    """What a service claims and counts that begins (1) or ends (-1) to have these prefixes."""
    known = tuple(prefixes)
    claims = tuple(Claim(PUBLIC_PREFIX, str(prefix)) for prefix in known)
    counts = tuple(count for prefix in known for count in _counts(prefix, delta))
    return Constraints(claims=claims, counts=counts) if delta > 0 else Constraints(releases=claims, counts=counts)


def taken(prefixes: Iterable[Network], held: Iterable[str]) -> AlreadyExists:
    """Why these prefixes cannot be had, when those of other services are these."""
    others = networks_of(held)
    clashes = ((prefix, other) for prefix in prefixes for other in others if prefix.overlaps(other))
    prefix, other = next(clashes, (None, None))
    words = f"{prefix} overlaps the public prefix {other}" if other else "one of them overlaps a public prefix"
    text = f"{words} of another service of the region: an address leads to one service at most"
    return AlreadyExists("PREFIX_TAKEN", text, field=FIELD)


def _counts(prefix: Network, delta: int) -> Iterator[Count]:
    """With limits where it is taken; nothing stands in the way of giving it back."""
    yield Count(EXACT, str(prefix), delta, 1 if delta > 0 else None)
    if delta > 0:
        yield Count(UNDER, str(prefix), 0, 0)
    shortest, _ = _LENGTHS[prefix.version]
    for length in range(shortest, prefix.prefixlen):
        wider = str(prefix.supernet(new_prefix=length))
        yield Count(UNDER, wider, delta)
        if delta > 0:
            yield Count(EXACT, wider, 0, 0)


def _parsed(text: str, field: str) -> Network:
    malformed = Invalid("MALFORMED_CIDR", f"{text!r} is no range {EXAMPLE}, with no bits set behind it", field=field)
    try:
        prefix = network_of(text)
    except ValueError:
        raise malformed from None
    if isinstance(prefix, IPv4Network) and str(prefix) != text:
        raise malformed
    shortest, longest = _LENGTHS[prefix.version]
    if not shortest <= prefix.prefixlen <= longest:
        words = f"{text} is not between /{shortest} and /{longest}, as public prefixes of {family(prefix.version)} are"
        raise Invalid("PREFIX_OUT_OF_RANGE", words, field=field)
    if kept := next((each for each in _KEPT if each.overlaps(prefix)), None):
        raise Invalid("CIDR_RESERVED", f"{prefix} overlaps {kept}, which Sidegate keeps for itself", field=field)
    if any(prefix.overlaps(other) for other in _NOT_UNICAST):
        raise Invalid("CIDR_NOT_UNICAST", f"{prefix} holds addresses that no machine can have", field=field)
    return prefix

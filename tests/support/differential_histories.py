"""Random histories for the differential test.

They are thrown by plain dice: hypothesis takes twenty times as long to draw a frame as the kernel and the model take to
judge it.
"""

import random
from collections.abc import Callable

from services.gateway_agent.table import Affinity, Backend, Kind, PortMapping
from tests.support.differential_steps import (
    ADDRESSES,
    CLIENTS,
    ENDPOINTS,
    FLAGS,
    HOSTS,
    LIMITS,
    PLAIN,
    PORTS,
    PUBLIC,
    ROUTES,
    SERVICES,
    SHORTEST,
    SILENT,
    SOURCES,
    STRANGERS,
    TIMEOUTS,
    VLAN,
    VPCS,
    WHITELISTS,
    Arp,
    Drop,
    Fill,
    Following,
    Idle,
    Lose,
    Neighbour,
    Opening,
    PutEndpoint,
    PutService,
    Restore,
    Send,
    Step,
    Stray,
    Twist,
)
from tests.support.wire import ACK, ICMP, SYN, TCP, UDP

FRAMES_BETWEEN_CHANGES = 20
MOST_CHANGES = 12
LONGEST_PADDING = 3400  # what a test run takes is less than a page
OURS = (*SOURCES, *ADDRESSES, *PUBLIC)
EVERYBODY = (*CLIENTS, *HOSTS, *ADDRESSES, *SOURCES, *STRANGERS, *PUBLIC)
PAYLOADS = (b"\0", b"\xff" * 1459, b"\xff" * 1460, b"\1" * 1461, bytes(1473), b"x" * 2000)
ETHER_TYPES = (0, 46, 0x05FF, 0x0806, 0x8035, VLAN, 0x88A8, 0x86DD, 0xFFFF)
TCP_OPTIONS = tuple(
    bytes.fromhex(each)
    for each in (
        "020405b4",
        "0204ffff 01010402",
        "01020423 28010303",
        "01010204 22220000",
        "0303070204 2328 00",
        "00020423 28000000",
        "02030423 28000000",
        "0101010204",
        "0300020423280000",
        "080affffffffffffffff0204ffff",
    )
    if len(bytes.fromhex(each)) % 4 == 0
)
OPTION_PARTS = tuple(
    map(bytes.fromhex, ("fe08616263646566", "fe03", "fe", "00", "01", "0101", "020405b4", "6306", "6300", "63"))
)
BYTES = (0, 1, 5, 0x45, 0x7F, 0xFF)


def history(chance: random.Random) -> list[Step]:
    """A table, and changes of it with frames after each."""
    steps: list[Step] = [_put_service(chance) for _ in range(chance.randint(1, 3))]
    steps += [_put_endpoint(chance) for _ in range(chance.randint(1, 4))]
    steps += _frames(chance)
    for _ in range(chance.randrange(MOST_CHANGES)):
        steps += [*_change(chance), *_frames(chance)]
    return steps


def _frames(chance: random.Random) -> list[Step]:
    return [_send(chance) for _ in range(chance.randrange(2 * FRAMES_BETWEEN_CHANGES))]


def _send(chance: random.Random) -> Send:
    """Now and then so many of the longest frames that they are more than what a limit lets pass at once."""
    if chance.random() < 0.02:
        return Send(Following(chance.randrange(40), chance.random() < 0.5, ACK), Twist(padding=LONGEST_PADDING), 25)
    return Send(_packet(chance), _twist(chance))


def _change(chance: random.Random) -> list[Step]:
    match chance.randrange(11):
        case 0 | 1 | 2:
            return [_put_service(chance)]
        case 3 | 4 | 5:
            return [_put_endpoint(chance)]
        case 6:
            return [Drop(chance.choice([Kind.SERVICE, Kind.ENDPOINT, Kind.ENDPOINT]), chance.randrange(ENDPOINTS))]
        case 7:
            return [Lose(chance.randrange(len(VPCS)))]
        case 8:
            return [Restore(chance.randrange(len(VPCS)))]
        case 9:
            return [Fill(chance.randrange(5))]
        case _:
            return [Idle(chance.choice([1, 17, 61, 170, 500]))]


def _put_service(chance: random.Random) -> PutService:
    ports: dict[object, PortMapping] = {}
    for mapping in chance.sample(PORTS, chance.randint(1, len(PORTS))):
        ports.setdefault((mapping.protocol, mapping.client_port), mapping)
    hosts = chance.sample([*HOSTS, SILENT] if chance.random() < 0.2 else HOSTS, chance.randint(0, len(HOSTS)))
    backends = tuple(Backend(host, chance.choice([1, 1, 2, 7, 100]), chance.random() < 0.2) for host in hosts)
    return PutService(
        number=chance.randrange(SERVICES),
        vpc=chance.randrange(len(VPCS)),
        ports=tuple(ports.values()),
        backends=backends,
        affinity=chance.choice(list(Affinity)),
        timeouts=chance.choice(TIMEOUTS),
        limits=chance.choice([LIMITS[0], LIMITS[0], LIMITS[0], *LIMITS]),
        six=chance.random() < 0.4,
        keeps=chance.random() < 0.3,
    )


def _put_endpoint(chance: random.Random) -> PutEndpoint:
    return PutEndpoint(
        number=chance.randrange(ENDPOINTS),
        vpc=chance.randrange(len(VPCS)),
        service=chance.randrange(SERVICES),
        address=chance.randrange(len(ADDRESSES)),
        source=chance.randrange(len(SOURCES)),
        admission=chance.randint(1, 2),
        allowed=chance.choice([WHITELISTS[0], WHITELISTS[0], *WHITELISTS]),
        drain=chance.choice([0, 0, 0, 0, 1, 2]),
        more=chance.choice([0, 0, 1, 3]),
        routes=chance.choice([(), (), *ROUTES]),
        proxy=chance.choice([None, *range(SERVICES)]),
    )


def _packet(chance: random.Random) -> Opening | Following | Stray | Arp | Neighbour:
    match chance.randrange(20):
        case 0 | 1 | 2 | 3 | 4:
            return _opening(chance)
        case 5:
            return _opening(chance, chance.choice(FLAGS))
        case 6:
            return _stray(chance)
        case 7:
            return _arp(chance) if chance.random() < 0.5 else _neighbour(chance)
        case _:
            return Following(chance.randrange(40), chance.random() < 0.5, chance.choice(FLAGS))


def _opening(chance: random.Random, flags: int = SYN) -> Opening:
    client, to = chance.randrange(len(CLIENTS)), chance.choice([0, 0, chance.randrange(len(PUBLIC))])
    return Opening(chance.randrange(ENDPOINTS), client, chance.randrange(6), chance.randrange(len(PORTS)), flags, to)


def _stray(chance: random.Random) -> Stray:
    return Stray(
        vpc=chance.randrange(len(VPCS)),
        source=chance.choice(EVERYBODY),
        destination=chance.choice(EVERYBODY),
        source_port=chance.choice([0, 1, 80, 8080, 40000, 65535]),
        destination_port=chance.choice([0, 53, 80, 81, 1024, 40000, 65535]),
        protocol=chance.choice([TCP, TCP, UDP, UDP, ICMP, 132, 255]),
        flags=chance.choice(FLAGS),
        six=chance.random() < 0.4,
    )


def _arp(chance: random.Random) -> Arp:
    operation = chance.choice([1, 1, 1, 2, 0, 3, 257])
    padding = chance.choice([0, 18, 60])
    target = chance.choice([chance.choice(OURS), chance.choice(EVERYBODY)])
    return Arp(chance.randrange(len(VPCS)), operation, chance.choice(EVERYBODY), target, padding)


def _neighbour(chance: random.Random) -> Neighbour:
    return Neighbour(
        vpc=chance.randrange(len(VPCS)),
        kind=chance.choice([135, 135, 135, 136, 133, 128]),
        source=chance.choice([STRANGERS[0], chance.choice(EVERYBODY)]),
        target=chance.choice([chance.choice(OURS), chance.choice(EVERYBODY)]),
        hops=chance.choice([255, 255, 255, 254]),
        code=chance.choice([0, 0, 0, 1]),
        padding=chance.choice([0, 8, 60]),
    )


def _bytes(chance: random.Random) -> tuple[tuple[int, int], ...]:
    return tuple((chance.randint(6, 60), chance.choice(BYTES)) for _ in range(chance.randint(1, 3)))


def _only_options(chance: random.Random) -> Twist:
    """A segment that ends with them; some of random ones."""
    mixed = b"".join(chance.choices(OPTION_PARTS, k=chance.randrange(12)))[: 4 * chance.randrange(11)]
    options = chance.choice([*TCP_OPTIONS, mixed + b"\1" * (-len(mixed) % 4)])
    return Twist(payload=bytes(len(options)), tcp_options=options, padding=chance.choice([0, 0, 6]))


TWISTS: tuple[Callable[[random.Random], Twist], ...] = (
    lambda chance: Twist(payload=bytes(40), tcp_options=chance.choice(TCP_OPTIONS)),
    lambda chance: Twist(payload=bytes(40), tcp_options=chance.choice(TCP_OPTIONS)),
    lambda chance: Twist(payload=bytes(40), tcp_options=chance.choice(TCP_OPTIONS)),
    _only_options,
    _only_options,
    lambda chance: Twist(payload=chance.choice(PAYLOADS)),
    lambda chance: Twist(ttl=chance.choice([0, 1, 2, 3, 255])),
    lambda chance: Twist(options=chance.choice([b"\1" * 4, bytes(40)])),
    lambda chance: Twist(fragment=chance.choice([0x4000, 0x2000, 0x1FFF, 0x8000, 1])),
    lambda chance: Twist(version=chance.choice([0, 5, 6, 15])),
    lambda chance: Twist(missing=chance.choice([1, 8, 9, 12, 20, 28, -1, -1000])),
    lambda chance: Twist(vpc=chance.randrange(len(VPCS))),
    lambda chance: Twist(to=chance.choice([b"\xff" * 6, bytes.fromhex("01005e000001"), b"\2" * 6])),
    lambda chance: Twist(ether_type=chance.choice(ETHER_TYPES)),
    lambda chance: Twist(cut=chance.randint(SHORTEST, 60)),
    lambda chance: Twist(padding=chance.choice([1, 6, 1460, 2000])),
    lambda chance: Twist(bytes_at=_bytes(chance)),
)


def _twist(chance: random.Random) -> Twist:
    """None for half of all frames, and only another payload for a quarter."""
    match chance.randrange(4):
        case 0 | 1:
            return PLAIN
        case 2:
            return Twist(payload=chance.randbytes(chance.randrange(40)))
        case _:
            return chance.choice(TWISTS)(chance)

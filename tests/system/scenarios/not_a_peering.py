"""Not a peering: two adversaries, each in a VPC of his own, who try to find what they should not."""

import asyncio
import contextlib
import difflib
import random
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from ipaddress import IPv4Network, ip_address

from sidegate.api.endpoint.v1.backend_health_pb2 import BackendHealth
from sidegate.api.endpoint.v1.endpoint_pb2 import Endpoint
from sidegate.api.registry.v1.endpoint_service_pb2 import Backend, EndpointService, HealthCheck
from sidegate.api.registry.v1.tag_pb2 import Tag
from tests.support.adversary import Adversary, Heard, adversary, packed
from tests.support.daemons import said_in
from tests.support.namespaces import host_ip
from tests.support.reading import Reader, Targets, leaks
from tests.support.standalone import until
from tests.support.switched import NIC
from tests.support.wire import ACK, FIN, ICMP, RST, SYN, TCP, UDP
from tests.support.world import ask_over_udp, call, machine, repeat_over_udp, tcp, udp, who_answers
from tests.system.scenarios.scenario import Scenario
from tests.system.scenarios.stage import Host, Network, Stage, last

DRAWING = """
  VPC of eve, 10.0.0.0/24                                 VPC of ivy, 10.0.0.0/24
 ┌──────────────────────┐       ┌───────────┐       ┌────────────────────────────────┐
 │ eve      10.0.0.137  │       │           │       │ backend a 10.0.0.201:8080 (ivy)│
 │ neighbour 10.0.0.138 │       │           │       │ backend b 10.0.0.202:8080      │
 │ endpoint 10.0.0.150 ─┼──80──▶│  gateway  ├──────▶│ bystander 10.0.0.203:8080, :22 │
 └──────────────────────┘       └───────────┘       └────────────────────────────────┘
   what else is there?                                what is on the other side?
"""
EVE, NEIGHBOUR, ENDPOINT = "10.0.0.137", "10.0.0.138", "10.0.0.150"
A, B, BYSTANDER = "10.0.0.201", "10.0.0.202", "10.0.0.203"
EVES_RESOLVER, IVYS_RESOLVER = "10.0.0.140", "10.0.0.240"
NET = [str(each) for each in IPv4Network("10.0.0.0/24").hosts()]
SOURCES = IPv4Network("198.19.128.0/17")
SAMPLE = 2048
NOTHING = "nothing"
NAMES = {ICMP: "ICMP", TCP: "TCP", UDP: "UDP"}
LATE = "did not answer"
MANY = 4096

NOT_THERE = "00000000-0000-4000-8000-000000000000"
CHANGING = r"'date': '[^']*'|'[a-z-]*request-id': '[^']*'|\"request_id\": ?\"[^\"]*\"|trace[_-]id\S*"
CHANGING += r"|position \d+|(?m:^\s*(seconds|nanos|position|epoch|log_id): .*$)"
SEED = random.SystemRandom().getrandbits(32)
RECORD_ROUTE = bytes([7, 15, 4]) + bytes(12) + b"\x00"
LOOSE_ROUTE = bytes([131, 7, 4]) + packed(BYSTANDER) + b"\x00"
TIMESTAMPS = bytes([68, 20, 5, 1]) + bytes(16)


@dataclass
class World:
    stage: Stage
    consumer: Network
    provider: Network
    hosts: dict[str, Host]
    eve: Adversary
    ivy: Adversary
    eve_reads: Reader
    ivy_reads: Reader
    service: EndpointService
    endpoint: Endpoint
    seen_by: Sequence[list[str]]
    ports_of_ivy: Sequence[str]
    said: dict[str, str] = field(default_factory=dict)
    chance: random.Random = field(default_factory=lambda: random.Random(SEED))

    @property
    def seen(self) -> list[str]:
        """Source addresses that ivy's backends saw."""
        return [source for seen in self.seen_by for source in seen]

    def ivys_things(self) -> Targets:
        """What eve asks about: her endpoint, its service, and what she should know nothing of."""
        own = self.provider
        ids = self.service.id, self.service.full_name, self.endpoint.id
        return Targets(*ids, own.vpc_id, own.subnet_id, self.ports_of_ivy[0], EVE)

    def eves_things(self) -> Targets:
        own = self.consumer
        ids = self.service.id, self.service.full_name, self.endpoint.id
        return Targets(*ids, own.vpc_id, own.subnet_id, self.endpoint.port_id, EVE)

    def secrets_of_ivy(self) -> dict[str, str]:
        own = self.provider
        hosts = {f"name of {name}": self.hosts[name].space.name for name in ("backend a", "backend b", "bystander")}
        return {
            "VPC": own.vpc_id,
            "subnet": own.subnet_id,
            "name of the VPC": "ivysnet",
            "account": "ivy",
            "description": "cellar",
            "note on the permission": "corner shop",
            "server port": "8080",
            "other server port": "5353",
            "attachment": own.switch.space.name,
            **{f"port {each}": each for each in self.ports_of_ivy},
            **{f"address {each}": each for each in (A, B, BYSTANDER, *self.seen)},
            **hosts,
        }

    def secrets_of_eve(self) -> dict[str, str]:
        own = self.consumer
        return {
            "VPC": own.vpc_id,
            "subnet": own.subnet_id,
            "port": self.endpoint.port_id,
            "name of the VPC": "evesnet",
            "name of the endpoint": "eves-keyhole",
            "description": "looks through",
            "tag": "burglary",
            "whitelist": "10.0.0.128",
            "attachment": own.switch.space.name,
            **{f"address {each}": each for each in (EVE, NEIGHBOUR, ENDPOINT)},
            **{f"name of {name}": self.hosts[name].space.name for name in ("eve", "neighbour")},
        }

    def on_ivys_wire(self) -> dict[str, bytes]:
        """What must not arrive at eve's."""
        addresses = {each: packed(each) for each in (A, B, BYSTANDER, *self.seen)}
        macs = {f"MAC of {name}": self.hosts[name].space.mac(NIC) for name in ("backend a", "backend b", "bystander")}
        return {**addresses, **macs, "MAC of the gateway's device": self.ivy.gateway}

    def on_eves_wire(self) -> dict[str, bytes]:
        addresses = {each: packed(each) for each in (EVE, NEIGHBOUR, ENDPOINT)}
        macs = {f"MAC of {name}": self.hosts[name].space.mac(NIC) for name in ("eve", "neighbour")}
        return {**addresses, **macs, "MAC of the gateway's device": self.eve.gateway}

    async def finds(self, who: str, what: str, through: str, found: Callable[[], Awaitable[Sequence[str]]]) -> str:
        async def ask() -> str:
            return ", ".join(await found()) or NOTHING

        return await self.stage.observe(what, self.hosts[who], through, ask, times=1)

    def ports(self) -> list[int]:
        """The first thousand, those that matter, and others by chance."""
        known = [*range(1, 1025), 5353, 5454, 8080]
        return known + self.chance.sample(range(8081, 65536), MANY - len(known))

    @cached_property
    def insiders(self) -> list[str]:
        """Addresses that somebody who knows more than he should would try first, and many by chance."""
        sampled = [str(SOURCES[each]) for each in self.chance.sample(range(1, SOURCES.num_addresses - 1), SAMPLE)]
        return [*dict.fromkeys([*NET, *self.seen, *sampled, *hosts_own()])]


def hosts_own() -> list[str]:
    """Addresses of the machine that the gateway runs on."""
    return [line.split()[3].partition("/")[0] for line in host_ip("-4", "-oneline", "address", "show").splitlines()]


@contextlib.asynccontextmanager
async def world(stage: Stage) -> AsyncIterator[World]:
    stage.tell(f"seed {SEED}")
    consumer = await stage.network("eves net", "eve", "10.0.0.0/24")
    provider = await stage.network("ivys net", "ivy", "10.0.0.0/24")
    hosts = {name: await consumer.host(name, at) for name, at in (("eve", EVE), ("neighbour", NEIGHBOUR))}
    for name, at in (("backend a", A), ("backend b", B), ("bystander", BYSTANDER)):
        hosts[name] = await provider.host(name, at)
    async with contextlib.AsyncExitStack() as running:
        seen_by = []
        for name, at in (("backend a", A), ("backend b", B)):
            seen_by.append(await running.enter_async_context(machine(hosts[name].space, "the service", address=at)))
            await running.enter_async_context(repeating(hosts[name], at))
        for port in (8080, 22):
            await running.enter_async_context(machine(hosts["bystander"].space, "bystander", port, BYSTANDER))
        service = await provider.client.services.create(
            "vault",
            provider.vpc_id,
            [Backend(address=A), Backend(address=B)],
            [tcp(80, 8080), udp(53, 5353), udp(54, 5454)],
            health_check=HealthCheck(interval_seconds=1),
            description="ivy keeps it in her cellar",
            tags=[Tag(key="rack", value="cellar-9")],
        )
        await provider.client.services.permit(service.id, ["iam:domain::eve"], description="eve of the corner shop")
        endpoint = await consumer.client.endpoints.create(
            service.full_name,
            consumer.subnet_id,
            address=ENDPOINT,
            allowed_cidrs=["10.0.0.128/25"],
            name="eves-keyhole",
            description="eve looks through it",
            tags=[Tag(key="purpose", value="burglary")],
        )
        endpoint = await consumer.accepted(endpoint)
        eve_reads = await Reader.of(stage.sidegate, stage.operator, "eve", stage.project)
        running.push_async_callback(eve_reads.close)
        ivy_reads = await Reader.of(stage.sidegate, stage.operator, "ivy", stage.project)
        running.push_async_callback(ivy_reads.close)
        eve = running.enter_context(adversary(hosts["eve"].space, EVE, NIC))
        ivy = running.enter_context(adversary(hosts["backend a"].space, A, NIC))
        await eve.find_gateway(ENDPOINT)
        ports = [each.id async for each in provider.client.ports.list()]
        yield World(stage, consumer, provider, hosts, eve, ivy, eve_reads, ivy_reads, service, endpoint, seen_by, ports)


@contextlib.asynccontextmanager
async def repeating(host: Host, address: str) -> AsyncIterator[None]:
    """A server of UDP at :5353."""
    with host.space.udp_socket(address, 5353) as ear:
        task = asyncio.create_task(repeat_over_udp(ear, b"the service"))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def the_published_ports_are_there(world: World) -> None:
    """Eve has an endpoint of ivy's service: TCP :80 and UDP :53 answer her; ivy sees a source of 198.19.128.0/17."""

    async def ask() -> str:
        return str(await who_answers(world.eve.space, ENDPOINT, 80, 5.0))

    async def ask_udp() -> str:
        return (await ask_over_udp(world.eve.space, ENDPOINT, 53) or b"").decode()

    through = f"endpoint {ENDPOINT}"
    newest = last(world.seen_by[0])
    await well(world, 2)
    assert await world.stage.observe("TCP :80", world.hosts["eve"], through, ask, seen=newest) == "the service"
    assert await world.stage.observe("UDP :53", world.hosts["eve"], through, ask_udp) == "the service hello"
    assert all(source.startswith("198.19.") for source in world.seen)


async def no_other_port_answers(world: World) -> None:
    """Eve asks all 65,535 ports of TCP, many of UDP, and some with ACK, FIN, nothing, and everything."""

    async def syn() -> Sequence[str]:
        return _ports(await world.eve.sends(world.eve.segments(ENDPOINT, range(1, 65536))), TCP)

    async def datagrams() -> Sequence[str]:
        sent = world.eve.segments(ENDPOINT, world.ports(), protocol=UDP, payload=b"?")
        return _ports(await world.eve.sends(sent), UDP)

    async def odd() -> Sequence[str]:
        flags = (ACK, FIN, 0, FIN | 0x28, SYN | FIN, SYN | ACK, RST)
        ports = (22, 79, 80, 81, 443, 5353, 8080)
        sent = (world.eve.segment(ENDPOINT, port, flags=each, source_port=50_000) for each in flags for port in ports)
        return _ports(await world.eve.sends(sent), TCP)

    through = f"endpoint {ENDPOINT}"
    assert await world.finds("eve", "TCP :1-65535, SYN", through, syn) == "80"
    assert await world.finds("eve", f"UDP, {MANY:,} ports", through, datagrams) == "53, ICMP"
    assert await world.finds("eve", "TCP, seven odd kinds of flags", through, odd) in (NOTHING, "80")


async def no_other_host_answers(world: World) -> None:
    """Eve asks for every address, ivy's and Sidegate's own among them: by ARP, ping and SYN, at the gateway itself."""

    async def arp() -> Sequence[str]:
        return _told_apart(await world.eve.who_has(world.insiders), world.insiders)

    async def ping() -> Sequence[str]:
        heard = await world.eve.sends(world.eve.echo(each) for each in (ENDPOINT, *world.insiders))
        return _sources(heard)

    async def syn() -> Sequence[str]:
        targets = [(each, port) for each in world.insiders if each != ENDPOINT for port in (22, 80, 8080)]
        return _sources(await world.eve.sends(world.eve.segment(each, port) for each, port in targets))

    through = "the gateway's MAC address"
    found = await world.finds("eve", f"ARP for {len(world.insiders):,} addresses", "her network", arp)
    assert found == f"{NEIGHBOUR}, {ENDPOINT}"
    assert await world.finds("eve", "ping, as many", through, ping) == NOTHING
    assert await world.finds("eve", "TCP :22, :80, :8080, as many", through, syn) == NOTHING


async def no_header_tells(world: World) -> None:
    """Eve asks packets to write down their way, lets them die on it, and asks where nobody listens."""
    eve = world.eve

    async def options() -> Sequence[str]:
        ways = (RECORD_ROUTE, LOOSE_ROUTE, TIMESTAMPS)
        return _ports(
            await eve.sends(eve.segment(ENDPOINT, 80, options=each, source_port=51_000) for each in ways), TCP
        )

    async def dying() -> Sequence[str]:
        sent = [eve.segment(ENDPOINT, 80, ttl=ttl, source_port=52_000 + ttl) for ttl in range(1, 6)]
        return _sources(await eve.sends([*sent, *(eve.echo(ENDPOINT, ttl=ttl) for ttl in range(1, 6))]))

    async def closed() -> Sequence[str]:
        """Port 54 is published, and nobody listens there: ivy's machine says so, with its address."""
        heard = await eve.sends([eve.segment(ENDPOINT, 54, protocol=UDP, payload=b"?", source_port=53_000)])
        return [
            f"{each.source} says that {each.frame[58:62].hex()} is closed" for each in heard if each.protocol == ICMP
        ]

    through = f"endpoint {ENDPOINT}"
    assert await world.finds("eve", "record route, loose source route, timestamp", through, options) == NOTHING
    assert await world.finds("eve", "TTL 1 to 5", through, dying) in (NOTHING, ENDPOINT)
    answer = await world.finds("eve", "UDP :54, where nobody listens", through, closed)
    assert answer == f"{ENDPOINT} says that {packed(ENDPOINT).hex()} is closed"
    answered = [heard for frame in eve.frames if (heard := Heard.read(frame)) and heard.source != NEIGHBOUR]
    assert {heard.source for heard in answered} == {ENDPOINT}
    assert {heard.sender for heard in answered} == {eve.gateway}
    assert eve.heard_anything_of(world.on_ivys_wire()) == {}


async def nothing_that_eve_reads_tells_of_ivy(world: World) -> None:
    """Eve reads all that she may, and asks for what she may not: gRPC, HTTPS, trace, test, watches, events on NATS."""
    about = world.ivys_things()
    world.said = await world.eve_reads.everything(about)
    assert len(world.said) > 40
    assert leaks(world.said, world.secrets_of_ivy(), about.ids) == []
    world.stage.tell(f"{len(world.said)} answers, {sum(map(len, world.said.values())):,} characters: nothing of ivy's")
    nowhere = Targets(NOT_THERE, f"local.vault.{NOT_THERE}", NOT_THERE, NOT_THERE, NOT_THERE, NOT_THERE, EVE)
    same = await world.eve_reads.answers(nowhere)
    for kind in ("GetVpc", "GetSubnet", "GetPort", "CreatePort", "GetEndpointService", "DeleteEndpointService"):
        ours, theirs = world.said[f"gRPC {kind}"], same[kind]
        assert _without_ids(ours, about) == _without_ids(theirs, nowhere), kind
    world.stage.tell("what is ivy's is refused in the words for what is not there")


async def how_many_backends_there_are_is_ivys(world: World) -> None:
    """Ivy takes a backend away, and makes the other a heavy one: whatever eve asks, the answers are the same."""
    for change in ([Backend(address=A, weight=7)], [Backend(address=each) for each in (A, B, BYSTANDER)]):
        await world.provider.client.services.update(world.service.id, backends=change)
        await well(world, len(change))
        now = await world.eve_reads.everything(world.ivys_things())
        before, after = _still(world.said), _still(now)
        assert not changed(before, after), changed(before, after)
        assert leaks(now, world.secrets_of_ivy(), world.ivys_things().ids) == []


async def ivy_finds_nobody(world: World) -> None:
    """The other direction: ivy asks the source address that she saw, every port of it, and every other address."""
    ivy, source = world.ivy, world.seen_by[0][-1]
    await ivy.find_gateway(source)

    async def syn() -> Sequence[str]:
        """From the port that she serves at; low ones from another, since the gateway's questions come from there."""
        low, high = ([each for each in world.ports() if (each < 1024) is below] for below in (True, False))
        sent = [*ivy.segments(source, low, source_port=9999), *ivy.segments(source, high, source_port=8080)]
        return _sources(await ivy.sends(sent))

    async def datagrams() -> Sequence[str]:
        """But for those that eve has asked from: there she may hear, and say that she hears no more."""
        asked = {each.port for frame in ivy.frames if (each := Heard.read(frame)) and each.protocol == UDP}
        ports = [each for each in world.ports() if each not in asked]
        sent = ivy.segments(source, ports, protocol=UDP, source_port=5353, payload=b"?")
        return _sources(await ivy.sends(sent))

    async def arp() -> Sequence[str]:
        return _told_apart(await ivy.who_has(world.insiders), world.insiders)

    async def sweep() -> Sequence[str]:
        sent = [ivy.echo(each) for each in world.insiders]
        sent += [ivy.segment(each, port, source_port=9999) for each in world.insiders for port in (22, 80, 8080)]
        return _sources(await ivy.sends(sent))

    assert await world.finds("backend a", f"TCP, {MANY:,} ports of eve's source address", source, syn) == NOTHING
    assert await world.finds("backend a", f"UDP, {MANY:,} ports of it", source, datagrams) == NOTHING
    found = await world.finds("backend a", "ARP for every address", "her network", arp)
    assert found == f"{B}, {BYSTANDER}"
    assert await world.finds("backend a", "ping and TCP, every address", source, sweep) == NOTHING


async def an_open_session_is_no_way_back(world: World) -> None:
    """While eve's connection is open, ivy begins one by its addresses and ports, for eve might listen there."""
    await world.provider.client.services.update(world.service.id, backends=[Backend(address=A)])
    await well(world, 1)
    talking = await call(world.eve.space, ENDPOINT, 80, source_port=47_000, patience=5.0)
    assert talking is not None
    assert await talking.goes_on(5.0)
    opened = [each for frame in world.ivy.frames if (each := Heard.read(frame)) and _is_opening(each)][-1]
    before = len(world.eve.frames)

    async def opening() -> Sequence[str]:
        ways = (SYN, SYN | FIN, SYN | 0xC0)
        await world.ivy.sends(
            world.ivy.segment(opened.source, opened.port, source_port=8080, flags=each) for each in ways
        )
        came = [each for frame in world.eve.frames[before:] if (each := Heard.read(frame)) and each.protocol == TCP]
        return [each.source for each in came if each.flags & SYN and not each.flags & ACK]

    where = f"{opened.source}:{opened.port}"
    assert await world.finds("backend a", "SYN into eve's session", where, opening) == NOTHING
    assert await talking.goes_on(5.0)
    talking.close()


async def resolvers_tell_each_his_own(world: World) -> None:
    """Both have a resolver. Each asks his own for the other's: names, addresses the other way round, the whole zone."""
    consumer, provider, zone = world.consumer, world.provider, "local.sidegate.internal"
    await consumer.client.vpcs.set_resolver(consumer.vpc_id, consumer.subnet_id, address=EVES_RESOLVER)
    await provider.client.vpcs.set_resolver(provider.vpc_id, provider.subnet_id, address=IVYS_RESOLVER)
    named = await consumer.client.endpoints.update(world.endpoint.id, dns_enabled=True)
    (name,) = named.dns_names
    eve, ivy = world.hosts["eve"], world.hosts["backend a"]

    async def known() -> bool:
        answered = await dig(eve, EVES_RESOLVER, name, "A"), await dig(ivy, IVYS_RESOLVER, name, "A")
        return ENDPOINT in answered[0] and "NXDOMAIN" in answered[1]

    await until("both resolvers to answer", known)
    questions = [
        *([f"{id_}.{zone}", "ANY"] for id_ in (world.service.id, provider.vpc_id, provider.subnet_id, "vault", "ivy")),
        *(["-x", each] for each in (A, B, BYSTANDER, EVE, ENDPOINT, world.seen[0])),
        *([zone, kind] for kind in ("AXFR", "NS", "SOA", "ANY", "TXT")),
        ["version.bind", "CH", "TXT"],
        ["hostname.bind", "CH", "TXT"],
        ["id.server", "CH", "TXT"],
    ]

    async def all_of(host: Host, server: str) -> dict[str, str]:
        said = await asyncio.gather(*(dig(host, server, *each) for each in questions))
        return {f"DNS {' '.join(each)}": answer for each, answer in zip(questions, said, strict=True)}

    async def ask_eves() -> Sequence[str]:
        said = await all_of(eve, EVES_RESOLVER)
        return leaks(said, world.secrets_of_ivy(), [each[1] if each[0] == "-x" else each[0] for each in questions])

    async def ask_ivys() -> Sequence[str]:
        return leaks(await all_of(ivy, IVYS_RESOLVER), {**world.secrets_of_eve(), "name": name}, ())

    async def ask_across() -> Sequence[str]:
        both = await dig(ivy, EVES_RESOLVER, name, "A"), await dig(eve, IVYS_RESOLVER, name, "A")
        return [each for each in both if each]

    assert (
        await world.finds("eve", f"DNS, {len(questions)} questions", f"resolver {EVES_RESOLVER}", ask_eves) == NOTHING
    )
    assert await world.finds("backend a", "DNS, as many", f"resolver {IVYS_RESOLVER}", ask_ivys) == NOTHING
    assert await world.finds("eve", "DNS, the other's resolver", "each other's address", ask_across) == NOTHING


async def dig(host: Host, server: str, *question: str) -> str:
    """What is answered, without the question; nothing where nobody answers."""
    command = (
        "dig",
        f"@{server}",
        "+noall",
        "+comments",
        "+answer",
        "+authority",
        "+additional",
        "+time=1",
        "+tries=1",
    )
    done = await asyncio.to_thread(said_in, host.space, *command, *question)
    return "" if "no servers could be reached" in done or "connection refused" in done else done


async def nothing_that_ivy_reads_tells_of_eve(world: World) -> None:
    """Ivy reads all that she may of the connection, and asks for what is eve's; nothing on her wires tells of eve."""
    said = await world.ivy_reads.everything(world.eves_things())
    assert leaks(said, world.secrets_of_eve(), world.eves_things().ids) == []
    assert world.ivy.heard_anything_of(world.on_eves_wire()) == {}
    world.stage.tell(f"{len(said)} answers, {sum(map(len, said.values())):,} characters: nothing of eve's network")


def _ports(heard: Sequence[Heard], protocol: int) -> list[str]:
    """Those that answered anything but RST; whatever else came, says what it is."""
    found = {str(each.port) if each.protocol == protocol else NAMES[each.protocol] for each in heard}
    return sorted(found)


def _sources(heard: Sequence[Heard]) -> list[str]:
    """Who answered. Health checks of the gateway's and tests of endpoints, which it makes of itself, are no answers."""
    return sorted(
        {each.source for each in heard if not (each.protocol == TCP and each.port < 1024 and each.to == 8080)}
    )


def _told_apart(answered: Collection[str], asked: Collection[str]) -> list[str]:
    """Those that answer; in the source range the gateway answers for every address alike, which says nothing."""
    own = [each for each in asked if ip_address(each) in SOURCES]
    assert {*own} & {*answered} in ({*own}, set())
    return sorted({*answered} - {*own})


def _is_opening(heard: Heard) -> bool:
    """Of a session: health checks come from ports below 1024."""
    return heard.protocol == TCP and heard.flags == SYN and heard.port >= 1024 and heard.source.startswith("198.19.")


async def well(world: World, backends: int) -> None:
    """Waits until the gateway has asked so many backends, and all are well."""

    async def asked() -> bool:
        health = await world.provider.client.connections.health(world.service.id)
        conditions = [each.condition for gateway in health.gateways for each in gateway.backends]
        return conditions == [BackendHealth.CONDITION_WELL] * backends

    await until(f"{backends} backends to be well", asked)


def _still(said: dict[str, str]) -> dict[str, str]:
    """Without moments and positions, which say that something happened in the region, and not what; and without what
    counts eve's own packets and sessions."""
    compared = {where: text for where, text in said.items() if where != "NATS refusals" and "raffic" not in where}
    still = {where: re.sub(CHANGING, "", text) for where, text in compared.items()}
    return {where: "\n".join(dict.fromkeys(filter(None, text.splitlines()))) for where, text in still.items()}


def changed(before: Mapping[str, str], after: Mapping[str, str]) -> str:
    """What is said otherwise now, line by line, but for what a busy gateway did not answer in time."""
    told: list[str] = []
    for where in before:
        if LATE in before[where] or LATE in after[where]:
            continue
        lines = difflib.unified_diff(before[where].splitlines(), after[where].splitlines(), where, n=0, lineterm="")
        told += lines
    return "\n".join(told)


def _without_ids(text: str, about: Targets) -> str:
    for each in about.ids:
        text = text.replace(each, "THAT")
    return text


SCENARIO = Scenario(
    name="not-a-peering",
    title="Not a peering: two adversaries look for what they should not find",
    drawing=DRAWING,
    world=world,
    steps=(
        the_published_ports_are_there,
        no_other_port_answers,
        no_other_host_answers,
        no_header_tells,
        nothing_that_eve_reads_tells_of_ivy,
        how_many_backends_there_are_is_ivys,
        ivy_finds_nobody,
        an_open_session_is_no_way_back,
        resolvers_tell_each_his_own,
        nothing_that_ivy_reads_tells_of_eve,
    ),
)

"""Names in VPCs' DNS, through the whole system: asked with dig in the VPC, connected to by name, and gone in time."""

import asyncio
import contextlib
import os
import re
import signal
import socket
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import pytest
import pytest_asyncio

from sidegate import errors
from sidegate.api.endpoint.v1.endpoint_pb2 import Endpoint
from sidegate.api.registry.v1.endpoint_service_pb2 import Backend, PrivateName
from tests.support import namespaces
from tests.support.namespaces import Namespace
from tests.support.standalone import Standalone, require_root, until
from tests.support.world import MACHINE, Site, machine, site, tcp, who_answers

pytestmark = [pytest.mark.root, pytest.mark.asyncio(loop_scope="module")]

HERE = "127.0.0.1"
AT = "10.0.0.53"
PRIVATE = "api.pia.example"
WAYS = ("+notcp", "+tcp")


@dataclass(frozen=True)
class Answer:
    """What dig was told; the status is empty where nobody answered."""

    status: str
    addresses: tuple[str, ...] = ()


NOBODY = Answer("")


async def dig(namespace: Namespace, name: str, way: str = "+notcp", kind: str = "A", wait: int = 3) -> Answer:
    command = ["ip", "netns", "exec", namespace.name, "dig", f"@{AT}", way, "+tries=1", f"+timeout={wait}", kind, name]
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    out = (await process.communicate())[0].decode()
    status = re.search(r"status: (\w+)", out)
    found = re.findall(r"^[^;\s]\S*\s+\d+\s+IN\s+(?:A|AAAA)\s+(\S+)$", out, re.MULTILINE)
    return Answer(status[1], tuple(found)) if status else NOBODY


async def until_told(namespace: Namespace, name: str, expected: Answer) -> None:
    async def ask() -> bool:
        return await dig(namespace, name) == expected

    await until(f"{name} to be {expected}", ask)


@dataclass
class World:
    sidegate: Standalone
    upstream: int  # the port of a name server that the operator allows

    @contextlib.asynccontextmanager
    async def name_server(self, name: PrivateName) -> AsyncIterator[None]:
        """dnsmasq, which knows the TXT record of a private name, one address, and nothing else."""
        options = ["--keep-in-foreground", "--no-resolv", "--no-hosts", "--conf-file=", "--pid-file=", "--user="]
        options += [f"--port={self.upstream}", f"--listen-address={HERE}", "--bind-interfaces", "--local=/example/"]
        options += [f"--txt-record={name.record_name},{name.record_value}", "--host-record=www.other.example,192.0.2.9"]
        quiet = asyncio.subprocess.DEVNULL
        process = await asyncio.create_subprocess_exec("/usr/sbin/dnsmasq", *options, stdout=quiet, stderr=quiet)
        try:
            yield
        finally:
            process.terminate()
            await process.wait()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    require_root()
    with socket.socket() as probe:
        probe.bind((HERE, 0))
        port = int(probe.getsockname()[1])
    told = ("--name-servers", f"{HERE}:{port}", "--allowed-forwarders", f"{HERE}:{port}")
    async with Standalone(tmp_path_factory.mktemp("sidegate"), *told) as running:
        yield World(running, port)


@pytest_asyncio.fixture(loop_scope="module")
async def sites(world: World) -> AsyncIterator[Sequence[Site]]:
    """Two consumers and a provider; all of them are 10.0.0.0/24."""
    async with contextlib.AsyncExitStack() as stack:
        made = stack.enter_context(namespaces.make("anna", "bert", "pia"))
        pairs = zip(("anna", "bert", "pia"), made, strict=True)
        yield [await stack.enter_async_context(site(world.sidegate, name, space)) for name, space in pairs]


async def connected(consumer: Site, service: str, address: str) -> Endpoint:
    """Whoever is answered its name connects, from the first answer on."""
    made = await consumer.client.endpoints.create(
        service=service, subnet_id=consumer.subnet_id, address=address, dns_enabled=True
    )
    own, there = f"{made.id}.local.sidegate.internal", Answer("NOERROR", (address,))

    async def answered() -> bool:
        found = await dig(consumer.namespace, own, wait=1)
        assert found in (there, Answer("NXDOMAIN"), Answer("SERVFAIL"), NOBODY)
        return found == there

    await until("the name", answered)
    assert await who_answers(consumer.namespace, address, 80, patience=5.0) == "pia"
    return await consumer.accepted(made)


async def test_names_come_with_packets_are_one_vpcs_own_and_go_before_the_endpoint(
    world: World, sites: Sequence[Site]
) -> None:
    anna, bert, pia = sites
    service = await pia.client.services.create(
        "web", pia.vpc_id, [Backend(address=MACHINE)], [tcp(80, 8080)], private_name=PRIVATE
    )
    await pia.client.services.permit(service.id, ["iam:domain::anna", "iam:domain::bert"])
    async with world.name_server(service.private_name), machine(pia.namespace, "pia"):
        await _verified(pia, service.id)
        await anna.client.vpcs.set_resolver(
            anna.vpc_id, anna.subnet_id, address=AT, forwarders=[f"{HERE}:{world.upstream}"]
        )
        await bert.client.vpcs.set_resolver(bert.vpc_id, bert.subnet_id, address=AT)
        endpoint = await connected(anna, service.full_name, "10.0.0.100")
        own, theirs = endpoint.dns_names
        assert (own, theirs) == (f"{endpoint.id}.local.sidegate.internal", PRIVATE)
        there = Answer("NOERROR", ("10.0.0.100",))
        await until_told(anna.namespace, own, there)
        for name in (own, theirs, own.upper()):
            assert [await dig(anna.namespace, name, way) for way in WAYS] == [there, there]
        assert await who_answers(anna.namespace, there.addresses[0], 80) == "pia"
        assert await dig(anna.namespace, own, kind="AAAA") == Answer("NOERROR")
        assert await dig(anna.namespace, f"x.{own}") == Answer("NXDOMAIN")

        await until_told(bert.namespace, own, Answer("NXDOMAIN"))
        for way in WAYS:
            assert await dig(bert.namespace, own, way) == Answer("NXDOMAIN")
            assert await dig(bert.namespace, theirs, way) == Answer("REFUSED")
            assert await dig(bert.namespace, "www.other.example", way) == Answer("REFUSED")
            assert await dig(anna.namespace, "www.other.example", way) == Answer("NOERROR", ("192.0.2.9",))
        assert await dig(pia.namespace, own, wait=1) == NOBODY, "it has no resolver"

        shown = await asyncio.to_thread(world.sidegate.answer, "gateway", "show")
        resolvers = [each["entry"]["resolver"] for each in shown["entries"] if each["entry"].get("resolver")]
        assert {each["vpc_id"] for each in resolvers} == {anna.vpc_id, bert.vpc_id}
        compared = await asyncio.to_thread(world.sidegate.cli, "audit", "replay", "--compare")
        assert compared.returncode == 0, compared.stdout
        logs = (world.sidegate.data / "logs" / "gateway.log").read_text()
        assert "beginning anew" not in logs, "the control plane's digest has resolvers too"
        assert own not in logs
        assert PRIVATE not in logs

        await _restarted(world.sidegate, anna.namespace, own, there)
        await _gone_in_time(anna, endpoint, own, there)
        assert await dig(anna.namespace, theirs) == Answer("NOERROR"), (
            "dnsmasq is asked again, who knows a name below it"
        )
        await anna.client.vpcs.delete_resolver(anna.vpc_id)
        await until_told(anna.namespace, own, NOBODY)


async def _verified(provider: Site, service: str) -> None:
    """As soon as the name server answers."""

    async def verify() -> bool:
        with contextlib.suppress(errors.WrongState):
            found = await provider.client.services.verify_name(service)
            return found.private_name.state == PrivateName.STATE_VERIFIED
        return False

    await until("the name to be verified", verify)


async def _restarted(sidegate: Standalone, namespace: Namespace, name: str, there: Answer) -> None:
    """While the agent is killed and comes back, nobody is told that the name is not there."""
    before = sidegate.pid_of("gateway")
    os.kill(before, signal.SIGKILL)
    heard = [await dig(namespace, name, wait=1)]

    async def back() -> bool:
        heard.append(await dig(namespace, name, wait=1))
        return heard[-1] == there and sidegate.pid_of("gateway") != before

    await until("the agent to answer again", back)
    assert {each.status for each in heard} <= {"", "SERVFAIL", "NOERROR"}


async def _gone_in_time(consumer: Site, endpoint: Endpoint, name: str, there: Answer) -> None:
    """Asked all the while: whenever the name is answered, whoever connects at once is served, or it goes just then."""
    deleting = asyncio.create_task(consumer.client.endpoints.delete(endpoint.id))
    answers = list[tuple[Answer, str | None]]()

    async def gone() -> bool:
        told = await dig(consumer.namespace, name)
        served = await who_answers(consumer.namespace, endpoint.address, 80, patience=2.0) if told == there else None
        answers.append((told, served))
        return told == Answer("NXDOMAIN")

    await until("the name to be gone", gone)
    await deleting
    assert {told for told, _ in answers} <= {there, Answer("NXDOMAIN")}
    last = [index for index, (told, _) in enumerate(answers) if told == there]
    assert all(served for told, served in answers[: last[-1] if last else 0] if told == there)
    for _ in range(5):
        assert await dig(consumer.namespace, name) == Answer("NXDOMAIN"), "never again"

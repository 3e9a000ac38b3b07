"""VPCs behind a device, a VXLAN and a namespace, driven by the command line alone; all of them are 10.0.0.0/24."""

import contextlib
from collections.abc import AsyncIterator, Iterator
from uuid import uuid4

import pytest
import pytest_asyncio

from services.gateway_agent.targets import Annex, Interface, Netns, Target, Vxlan
from sidegate.api.registry.v1.endpoint_service_pb2 import Backend
from sidegate.errors import NotFound
from tests.support.namespaces import Namespace, host_devices, host_ip
from tests.support.sites import SITES, InterfaceSite, Site
from tests.support.standalone import Standalone, require_root, until
from tests.support.world import CIDR, call, eventually_answers, machine, tcp, who_answers

pytestmark = [pytest.mark.root, pytest.mark.asyncio(loop_scope="module")]

MACHINE = "10.0.0.10"
ENDPOINT = "10.0.0.100"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sidegate(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Standalone]:
    require_root()
    async with Standalone(tmp_path_factory.mktemp("sidegate")) as running:
        yield running


@contextlib.contextmanager
def sites(*kinds: str) -> Iterator[list[Site]]:
    made: list[Site] = []
    try:
        for kind in kinds:
            made.append(SITES[kind].named(kind))
            made[-1].build()
        yield made
    finally:
        for site in made:
            site.delete()


def options(target: Target) -> tuple[str, ...]:
    """As an operator types it."""
    match target:
        case Netns(namespace, _):
            return "--netns", namespace
        case Vxlan(vni, remotes):
            return "--vxlan", str(vni), *(word for remote in remotes for word in ("--remote", str(remote)))
        case Interface(_, name):
            return "--interface", name
        case Annex():
            raise AssertionError("an annex is the gateway's own: nobody types one")


async def vpc(sidegate: Standalone, account: str) -> str:
    """The id of an account's new VPC with a subnet."""
    async with sidegate.client(account) as client:
        made = await client.vpcs.create("net", [CIDR])
        await client.subnets.create("main", made.id, CIDR)
        return made.id


def attach(sidegate: Standalone, vpc_id: str, target: Target) -> str:
    """The id of the attachment."""
    return str(sidegate.answer("attachment", "create", "--vpc", vpc_id, *options(target))["id"])


async def settled(sidegate: Standalone, attachments: int) -> None:
    """So many are in the gateway's table, without difficulty."""
    async with sidegate.client("operator") as operator:

        async def ask() -> bool:
            entries = (await operator.gateway.table()).entries
            there = [each.difficulty for each in entries if each.entry.HasField("attachment")]
            return len(there) == attachments and not any(there)

        await until("attachments without difficulty", ask)


@contextlib.asynccontextmanager
async def leading(sidegate: Standalone, consumer: str, provider: str) -> AsyncIterator[None]:
    """An endpoint of the consumer at ENDPOINT that leads to the provider's machine."""
    async with sidegate.client(consumer) as ours, sidegate.client(provider) as theirs:
        (vpc_of_provider,) = [each async for each in theirs.vpcs.list()]
        (subnet,) = [each async for each in ours.subnets.list()]
        backend = [Backend(address=MACHINE)]
        service = await theirs.services.create("web", vpc_of_provider.id, backend, [tcp(80, 8080)])
        await theirs.services.permit(service.id, [f"iam:domain::{consumer}"])
        endpoint = await ours.endpoints.create(service=service.full_name, subnet_id=subnet.id, address=ENDPOINT)
        yield
        await ours.endpoints.delete(endpoint.id)

        async def is_gone() -> bool:
            with contextlib.suppress(NotFound):
                await ours.endpoints.get(endpoint.id)
                return False
            return True

        await until("the endpoint to be gone", is_gone)


async def given_back(site: Site) -> None:
    async def ask() -> bool:
        (device,) = [device for device in host_devices() if site.has(device)]
        return "NOARP" not in device.flags

    await until("the device to be given back", ask)


async def test_each_kind_of_network_reaches_another_and_outlives_a_killed_agent(sidegate: Standalone) -> None:
    """Round a circle: every kind consumes and provides, at one address, in one range."""
    accounts = [f"{kind}-{uuid4().hex[:6]}" for kind in SITES]
    providers = [accounts[number - 1] for number in range(len(accounts))]
    with sites(*SITES) as made:
        vpcs = [await vpc(sidegate, account) for account in accounts]
        attachments = [attach(sidegate, id, site.target) for id, site in zip(vpcs, made, strict=True)]
        await settled(sidegate, len(made))
        homes = [site.home(MACHINE) for site in made]
        async with contextlib.AsyncExitStack() as stack:
            for account, site, home in zip(accounts, made, homes, strict=True):
                site.add_address(MACHINE)
                await stack.enter_async_context(machine(home, account))
            for account, provider in zip(accounts, providers, strict=True):
                await stack.enter_async_context(leading(sidegate, account, provider))
            for provider, home in zip(providers, homes, strict=True):
                assert await eventually_answers(home, ENDPOINT, 80) == provider
            await outlive(sidegate, homes)
        for attachment in attachments:
            sidegate.answer("attachment", "delete", attachment)
        await given_back(made[list(SITES).index("interface")])


async def outlive(sidegate: Standalone, homes: list[Namespace]) -> None:
    conversations = [await call(home, ENDPOINT, 80, patience=10) for home in homes]
    await sidegate.kill_program("gateway")
    for conversation in conversations:
        assert conversation is not None
        assert await conversation.goes_on(10)
        conversation.close()
    await settled(sidegate, len(homes))


async def test_an_interface_that_comes_late_goes_and_comes_again_is_told_and_healed(sidegate: Standalone) -> None:
    account, provider = f"late-{uuid4().hex[:6]}", f"provider-{uuid4().hex[:6]}"
    with sites("interface", "netns") as (late, other):
        assert isinstance(late, InterfaceSite)
        late.lose()
        attachments = [
            attach(sidegate, await vpc(sidegate, whose), site.target)
            for whose, site in ((account, late), (provider, other))
        ]
        await shown(sidegate, f"not there: device {late.name} is not there")
        late.restore()
        await settled(sidegate, len(attachments))
        for site in (late, other):
            site.add_address(MACHINE)
        async with machine(other.home(MACHINE), provider), leading(sidegate, account, provider):
            assert await eventually_answers(late.home(MACHINE), ENDPOINT, 80) == provider
            host_ip("link", "set", late.name, "down")
            await shown(sidegate, f"device {late.name} is down: ip link set {late.name} up")
            assert await who_answers(late.home(MACHINE), ENDPOINT, 80) is None
            host_ip("link", "set", late.name, "up")
            assert await eventually_answers(late.home(MACHINE), ENDPOINT, 80) == provider
        for attachment in attachments:
            sidegate.answer("attachment", "delete", attachment)
        await given_back(late)


async def shown(sidegate: Standalone, difficulty: str) -> None:
    async def ask() -> bool:
        return difficulty in " ".join(sidegate.cli("gateway", "show").stdout.split())

    await until(f"{difficulty} to be shown", ask)


async def test_a_target_is_attached_once_in_a_cell_and_wrong_ones_are_refused(sidegate: Standalone) -> None:
    first, second = [await vpc(sidegate, f"once-{uuid4().hex[:6]}") for _ in range(2)]
    vxlan = ("--vxlan", "7654321", "--remote", "192.0.2.10")
    made = sidegate.answer("attachment", "create", "--vpc", first, *vxlan, "--cell", "west")
    assert made["vxlan"]["port"] == 4789
    for arguments, code, words in (
        ((*vxlan[:2], "--remote", "192.0.2.11", "--cell", "west"), 4, "vxlan 7654321 4789 is attached in cell west"),
        (("--vxlan", "8", "--remote", "192.0.2.10", "--remote", "192.0.2.10"), 2, "remotes"),
        (("--vxlan", "8", "--remote", "224.0.0.1"), 2, "224.0.0.1 is not the address of a host"),
        (("--interface", "a-name-of-16-ltr"), 2, "name"),
    ):
        done = sidegate.cli("attachment", "create", "--vpc", second, *arguments)
        assert (done.returncode, words in done.stderr) == (code, True), (arguments, done.returncode, done.stderr)
        assert "Traceback" not in done.stderr
    sidegate.answer("attachment", "create", "--vpc", second, *vxlan, "--port", "4790", "--cell", "west")
    listed = sidegate.cli("attachment", "list").stdout
    assert "VXLAN 7654321 to 192.0.2.10" in listed
    assert "VXLAN 7654321 port 4790 to 192.0.2.10" in listed

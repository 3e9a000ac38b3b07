"""One running Sidegate with the HTTPS API for all of these tests, and two accounts of each module's own."""

import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack

import pytest
import pytest_asyncio

from sidegate.api.registry.v1.vpc_pb2 import NetnsTarget
from tests.support import namespaces
from tests.support.namespaces import Namespace
from tests.support.signed import Key
from tests.support.standalone import Standalone, require_root, until
from tests.support.tenants import Tenant

NAMES = itertools.count(1)
CIDR, MACHINES = "10.0.0.0/24", ("10.0.0.10", "10.0.0.11")


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def sidegate(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Standalone]:
    """As root, so that gateways forward and endpoints are accepted."""
    require_root()
    async with Standalone(tmp_path_factory.mktemp("sidegate"), http=True) as running:
        yield running


@pytest.fixture(scope="package")
def networks() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


async def _tenant(sidegate: Standalone, networks: ExitStack, name: str) -> Tenant:
    """An account with a VPC that is attached, a subnet and two machines."""
    account = f"{name}{next(NAMES)}"
    [namespace] = networks.enter_context(namespaces.make(account))
    async with sidegate.client(account) as client, sidegate.client("operator") as operator:
        made = (await operator.accounts.create(account)).key
        key = Key(made.key.id, made.secret_key, account)
        vpc = await client.vpcs.create("net", [CIDR])
        subnet = await client.subnets.create("main", vpc.id, CIDR)
        await operator.attachments.create(vpc.id, NetnsTarget(namespace=namespace.name))
        await until("the gateway's device", lambda: _is_attached(namespace))
        for machine in MACHINES:
            namespace.add_address(f"{machine}/24")
        ports = [
            await client.ports.create(subnet.id, f"machine/m{place}", machine) for place, machine in enumerate(MACHINES)
        ]
    return Tenant(sidegate, key, namespace, vpc.id, subnet.id, tuple(port.id for port in ports))


async def _is_attached(namespace: Namespace) -> bool:
    return "sidegate0" in namespace.devices()


@pytest_asyncio.fixture(scope="module", loop_scope="package")
async def shop(sidegate: Standalone, networks: ExitStack) -> Tenant:
    """Who consumes."""
    return await _tenant(sidegate, networks, "shop")


@pytest_asyncio.fixture(scope="module", loop_scope="package")
async def pay(sidegate: Standalone, networks: ExitStack) -> Tenant:
    """Who provides."""
    return await _tenant(sidegate, networks, "pay")

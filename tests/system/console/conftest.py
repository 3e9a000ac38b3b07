"""One running Sidegate with the console and one Chromium for all of these tests, and people of each test's own."""

import itertools
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from sidegate.credentials import Credential
from tests.support.browser import Chromium, People, chromium_runs
from tests.support.name_server import HERE, free_port
from tests.support.standalone import Standalone, require_root
from tests.system.console.town import Town, town_of

NAMES = itertools.count(1)


@pytest.fixture(scope="package")
def names_port() -> int:
    """Where the registry looks private names up: a test that wants an answer has somebody give one."""
    return free_port()


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def sidegate(tmp_path_factory: pytest.TempPathFactory, names_port: int) -> AsyncIterator[Standalone]:
    """As root, so that gateways forward and endpoints are accepted."""
    require_root()
    asks = ("--name-servers", f"{HERE}:{names_port}")
    async with Standalone(tmp_path_factory.mktemp("sidegate"), *asks, console=True) as running:
        yield running


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def chromium(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Chromium]:
    async with chromium_runs(tmp_path_factory.mktemp("browser")) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="package")
async def people(chromium: Chromium, sidegate: Standalone) -> AsyncIterator[People]:
    """Fails the test whose pages did what no page may do."""
    async with People(chromium, sidegate.console_url) as all_of_them:
        yield all_of_them


@pytest.fixture(scope="package")
def operator(sidegate: Standalone) -> Credential:
    return Credential.read(Path(sidegate.ready["credential"]))


@pytest.fixture(scope="package")
def tenant(sidegate: Standalone) -> Callable[[str], Credential]:
    """Makes an account of a name like this one, and gives its first access key."""

    def made(name: str) -> Credential:
        return Credential.of(sidegate.answer("account", "create", f"{name}{next(NAMES)}"))

    return made


@pytest_asyncio.fixture(scope="module", loop_scope="package")
async def settled(sidegate: Standalone, tenant: Callable[[str], Credential]) -> AsyncIterator[Town]:
    """A town of each module's own."""
    async with town_of(sidegate, tenant) as living:
        yield living


@pytest_asyncio.fixture(loop_scope="package")
async def town(settled: Town) -> AsyncIterator[Town]:
    """What a test makes in it is gone after the test."""
    yield settled
    await settled.clear()

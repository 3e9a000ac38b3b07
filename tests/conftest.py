"""What every test has: a look, at the very end, for anything of this run that was left behind."""

import os
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import namespaces, postgres, standalone, sweeping

pytest.register_assert_rewrite("tests.support.models", "tests.system.scenarios")

PATIENCE_SECONDS = 10.0
BYTECODE = {
    "PYTHONDONTWRITEBYTECODE": "",
    "PYTHONPYCACHEPREFIX": str(Path(__file__).resolve().parents[1] / "build" / "bytecode"),
}
os.environ.update(BYTECODE)  # programs and workers that this run starts find compiled what others have compiled
RUN = f"SIDEGATE_TEST_RUN={uuid.uuid4()}"
"""In the environment of every process that this run starts, so that it can tell its own from others'."""


def is_ours(text: str) -> bool:
    """Whether something says that it is of a gateway of this run."""
    return any(name in text for name in (namespaces.PREFIX, *standalone.GATEWAYS))


def devices() -> Iterator[str]:
    links = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=False).stdout.splitlines()
    for line in links:
        _, _, alias = line.partition("alias ")
        if is_ours(alias):
            yield f"device {line.split(':')[1].strip()}"


def processes() -> Iterator[str]:
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if RUN.encode() in path.read_bytes() and path.parent.name != str(os.getpid()):
                yield f"process {(path.parent / 'cmdline').read_text()}"
        except OSError:  # it has ended, or is not ours to look at
            continue


def things_of_this_run(temporary: Path) -> set[str]:
    mounts = Path("/proc/mounts").read_text().splitlines()
    return {
        *(f"network namespace {path.name}" for path in Path("/run/netns").glob(f"{namespaces.PREFIX}-*")),
        *(f"annex {path.name}" for path in Path("/run/netns").glob("sidegate-annex-*") if is_ours(path.name)),
        *(f"mount {line}" for line in mounts if str(temporary) in line or namespaces.PREFIX in line),
        *devices(),
        *processes(),
    }


@pytest.fixture(scope="session", autouse=True)
def nothing_is_left_behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Fails the last test of the run where something of ours is still there after ten seconds."""
    name, _, value = RUN.partition("=")
    os.environ[name] = value
    yield
    temporary, deadline = tmp_path_factory.getbasetemp(), time.monotonic() + PATIENCE_SECONDS
    while (left := things_of_this_run(temporary)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert left == set()


@pytest.fixture(scope="session", autouse=True)
def a_database_server_ends_with_the_run(nothing_is_left_behind: None) -> Iterator[None]:
    """The one that tests have asked for, if any has."""
    yield
    postgres.remove_shared()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Whoever has given tests to workers takes away what they were kept from taking away themselves."""
    if config.getoption("numprocesses", None):
        sweeping.sweep(config._tmp_path_factory.getbasetemp())  # type: ignore[attr-defined] # it is not public


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where several workers share the suite, the long files come first: no worker is left alone with one at the end."""
    if config.getoption("numprocesses", None) or os.environ.get("PYTEST_XDIST_WORKER"):
        items.sort(key=lambda item: "/system/" not in str(item.path))

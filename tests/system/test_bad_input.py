"""What a person who errs reads: the field or thing at fault, in one line, and nothing half done."""

import asyncio
import json
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest
import pytest_asyncio

from services.common.eventsourcing.sql_store import SqlStore
from sidegate.resources.logs import LogName
from tests.support.command_line import CommandLine
from tests.support.standalone import ROOT, Standalone


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sidegate(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Standalone]:
    async with Standalone(tmp_path_factory.mktemp("sidegate"), rootless=True) as running:
        running.answer("vpc", "create", "shop", "--cidr", "10.0.0.0/16", account="shop")
        running.answer("subnet", "create", "main", "--vpc", "shop", "--cidr", "10.0.0.0/24", account="shop")
        running.answer("vpc", "create", "six", "--cidr", "fd00:10::/48", account="shop")
        running.answer("subnet", "create", "main6", "--vpc", "six", "--cidr", "fd00:10::/64", account="shop")
        service = ("--vpc", "shop", "--backend", "10.0.0.9", "--port", "80")
        running.answer("service", "create", "four", *service, account="shop")
        yield running


pytestmark = pytest.mark.asyncio(loop_scope="module")

NOBODYS = "5b0c9ab4-6d6c-4a51-9a25-5a90e5c8a9a7"
SUBNET = ("subnet", "create", "more", "--vpc", "shop", "--cidr")
PORT = ("port", "create", "--subnet", "main", "--holder", "machine/a", "--ip")
PORT6 = ("port", "create", "--subnet", "main6", "--holder", "machine/a", "--ip")
MIXED = ("--backend", "fd00:10::9", "--backend", "10.0.0.9")


async def log_heads(sidegate: Standalone) -> list[int]:
    async with sidegate.client("operator") as client:
        return [(await client.audit.log(name).head()).position for name in LogName]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("vpc", "create", "v", "--cidr", "10.0.0/24"), 2, "10.0.0/24"),
        (("vpc", "create", "v", "--cidr", "10.0.0.1/24"), 2, "10.0.0.1/24"),
        (("vpc", "create", "v", "--cidr", "fd00::1/64"), 2, "its range is fd00::/64"),
        (("vpc", "create", "v", "--cidr", "fd00::/8"), 2, "/16"),
        (("vpc", "create", "v", "--cidr", "fd73:6964:6567:6174::/64"), 2, "fd73:6964:6567:6174::/96"),
        (("vpc", "create", "v", "--cidr", "fe80::/64"), 2, "no machine can have"),
        (("vpc", "create", "v", "--cidr", "fd00::/48", "--cidr", "10.0.0.0/8", "--cidr", "fd00::/64"), 2, "overlaps"),
        (("vpc", "create", "v", "--cidr", "10.0.0.0/16", "--cidr", "10.0.3.0/24"), 2, "10.0.3.0/24"),
        (("vpc", "create", "v", "--cidr", "198.19.0.0/16"), 2, "198.19.128.0/17"),
        (("vpc", "create", "no spaces", "--cidr", "10.0.0.0/24"), 2, "name"),
        (("vpc", "create", "shop", "--cidr", "10.0.0.0/24"), 4, "shop"),
        ((*SUBNET, "10.1.0.0/24"), 2, "10.1.0.0/24"),
        ((*SUBNET, "10.0.0.128/25"), 2, "overlaps 10.0.0.0/24"),
        ((*PORT, "10.0.1.5"), 2, "10.0.1.5"),
        ((*PORT, "10.0.0.0"), 2, "10.0.0.0"),
        ((*PORT, "10.0.0.255"), 2, "10.0.0.255"),
        ((*PORT, "fd00:10::7"), 2, "name a subnet of its family"),
        ((*PORT6, "10.0.0.5"), 2, "name a subnet of its family"),
        ((*PORT6, "fd00:10::"), 2, "RFC 4291"),
        ((*PORT6, "fe80::7%eth0"), 2, "fe80::7%eth0"),
        (("endpoint", "create", "--service", "four", "--subnet", "main6"), 2, "name a subnet of IPv4"),
        (("vpc", "get", NOBODYS), 3, "not there"),
        (("endpoint", "create", "--service", NOBODYS, "--subnet", "main"), 3, "not there"),
        (("connection", "accept", NOBODYS, NOBODYS), 3, "not there"),
        (("vpc", "delete", "shop"), 4, "in the way"),
        (("attachment", "create", "--vpc", NOBODYS, "--netns", "shop"), 4, "operator"),
        (("vpc", "create", "v", "--cider", "10.0.0.0/24"), 2, "--cider"),
        (("service", "create", "s", "--vpc", "shop", "--backend", "10.0.0.9", "--port", "80:99999/tcp"), 2, "99999"),
        (("service", "create", "s", "--vpc", "shop", "--backend", "192.168.0.9", "--port", "80"), 2, "192.168.0.9"),
        (("service", "create", "s", "--vpc", "shop", "--backend", "fd00:10::9", "--port", "80"), 2, "fd00:10::9"),
        (
            ("service", "create", "s", "--vpc", "six", *MIXED, "--port", "80"),
            2,
            "publish a service for each",
        ),
        (("service", "update", "four", "--backend", "fd00:10::9"), 2, "fd00:10::9"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
async def test_the_error_names_what_is_wrong(
    sidegate: Standalone, arguments: tuple[str, ...], code: int, words: str
) -> None:
    before = await log_heads(sidegate)
    error = await asyncio.to_thread(CommandLine(sidegate).error, "--account", "shop", *arguments, code=code)
    assert words in error
    assert "Traceback" not in error
    assert await log_heads(sidegate) == before, "something was stored although the command was refused"


async def test_an_address_in_use_is_refused_to_the_next(sidegate: Standalone) -> None:
    sidegate.answer(*PORT, "10.0.0.7", account="shop")
    done = sidegate.cli(*PORT, "10.0.0.7", account="shop")
    assert done.returncode == 4
    assert "10.0.0.7" in done.stderr


async def test_a_program_that_is_away_is_named(sidegate: Standalone, tmp_path: Path) -> None:
    facts = json.loads(json.dumps(sidegate.ready)) | {"registry": {"grpc": "127.0.0.1:1"}}
    config = tmp_path / "config.json"
    config.write_text(json.dumps(facts))
    program = Path(sys.executable).with_name("sidegate")
    command = [str(program), "--config", str(config), "--account", "shop", "vpc", "list"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 5
    assert "127.0.0.1:1" in done.stderr
    assert "Traceback" not in done.stderr


async def test_a_database_of_another_version_is_refused_with_the_way_out(tmp_path: Path) -> None:
    store = await SqlStore.open(tmp_path / "registry.sqlite", program="registry")
    await store.close()
    with closing(sqlite3.connect(tmp_path / "registry.sqlite")) as database, database:
        database.execute("UPDATE log_info SET schema_version = 99")
    command = [sys.executable, "-m", "services.standalone", "--data-dir", str(tmp_path)]
    done = subprocess.run(
        ["unshare", "--user", *command], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 1
    assert "registry.sqlite" in done.stderr
    assert "99" in done.stderr


async def test_a_second_standalone_on_one_directory_is_refused(sidegate: Standalone) -> None:
    command = [sys.executable, "-m", "services.standalone", "--data-dir", str(sidegate.data)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert "in use" in done.stderr
    assert sidegate.answer("vpc", "list", account="shop")

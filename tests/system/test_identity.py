"""Who may what, in a whole Sidegate: a tenant with a file of its own, what it may not, and where secrets are not."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from sidegate.credentials import Credential
from tests.support.standalone import Standalone


@pytest.fixture
async def sidegate(tmp_path: Path) -> AsyncIterator[Standalone]:
    async with Standalone(tmp_path, rootless=True) as running:
        yield running


def as_tenant(file: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command line of somebody who has nothing but the file."""
    left_out = ("SIDEGATE_",)
    environment = {key: value for key, value in os.environ.items() if not key.startswith(left_out)}
    command = [str(Path(sys.executable).with_name("sidegate")), *arguments, "-o", "json"]
    told = {**environment, "SIDEGATE_CONFIG": str(file)}
    return subprocess.run(command, env=told, cwd=file.parent, capture_output=True, text=True, check=False, timeout=60)


def holding(directory: Path, secret: str) -> set[str]:
    """The files below the directory that have the secret in them."""
    files = [path for path in directory.rglob("*") if path.is_file() and not path.is_symlink()]
    return {str(path.relative_to(directory)) for path in files if secret.encode() in path.read_bytes()}


@pytest.mark.timeout(240)
async def test_a_tenants_file_is_all_that_it_needs_and_its_secret_lies_nowhere_else(
    sidegate: Standalone, tmp_path: Path
) -> None:
    operator = Credential.read(sidegate.data / "credentials" / "operator.json")
    for private in ("credentials/operator.json", "credentials/master.key", "tls/ca.key", "tls/registry/key.pem"):
        assert (sidegate.data / private).stat().st_mode & 0o777 == 0o600, private

    def story() -> tuple[Any, list[str]]:
        made = sidegate.answer("account", "create", "shop")
        file = tmp_path / "shop.json"
        file.write_text(json.dumps(made))
        who = as_tenant(file, "whoami")
        assert json.loads(who.stdout)["account"] == "shop", who.stderr
        assert json.loads(as_tenant(file, "vpc", "create", "main", "--cidr", "10.0.0.0/24").stdout)["account"] == "shop"
        for forbidden in (("account", "list"), ("audit", "list"), ("--account", "payments", "vpc", "list")):
            done = as_tenant(file, *forbidden)
            assert (done.returncode, json.loads(done.stderr)["reason"]) == (3, "NOT_FOUND")
        rotated = sidegate.answer("key", "rotate", made["access_key"])
        assert as_tenant(file, "vpc", "list").returncode == 4
        file.write_text(json.dumps(rotated))
        assert as_tenant(file, "vpc", "list").returncode == 0
        sidegate.answer("key", "revoke", made["access_key"])
        assert as_tenant(file, "vpc", "list").returncode == 4
        return sidegate.answer("audit", "refused"), [made["secret_key"], rotated["secret_key"]]

    refused, secrets = await asyncio.to_thread(story)
    whys = [each["reason"] for each in refused]
    assert {"NOT_ALLOWED", "OTHER_ACCOUNT", "SIGNATURE_WRONG", "KEY_UNKNOWN"} <= set(whys)
    for secret in secrets:
        assert holding(sidegate.data, secret) == set()
        assert secret not in sidegate.output
    assert holding(sidegate.data, operator.secret_key) == {"credentials/operator.json"}
    master = (sidegate.data / "credentials" / "master.key").read_text().strip()
    assert holding(sidegate.data, master) == {"credentials/master.key"}
    assert "Bearer" not in sidegate.output


@pytest.mark.timeout(240)
async def test_keys_and_certificates_are_the_same_after_a_restart_with_another_master_key_too(tmp_path: Path) -> None:
    async with Standalone(tmp_path, rootless=True) as sidegate:
        async with sidegate.client("operator") as operator:
            before = await operator.accounts.who_am_i()
            ca = sidegate.ca
        await sidegate.stop()
        await sidegate.start()
        async with sidegate.client("operator") as operator:
            assert (await operator.accounts.who_am_i()).access_key == before.access_key
            assert sidegate.ca == ca
        await sidegate.stop()
        master = sidegate.data / "credentials" / "master.key"
        old = master.rename(master.with_name("master.key.previous")).read_text()
        await sidegate.start()
        async with sidegate.client("operator") as operator:
            assert (await operator.accounts.who_am_i()).access_key == before.access_key
        assert master.read_text() != old
        await sidegate.stop()
        master.with_name("master.key.previous").unlink()
        master.write_text("00" * 32)
        with pytest.raises(AssertionError, match="the master key is not the one"):
            await sidegate.start()
        sidegate._process = None

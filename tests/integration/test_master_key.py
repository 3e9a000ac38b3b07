"""Another master key: all secrets are sealed anew or none, whenever the program dies; and nonces outlive it."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from services.common.eventsourcing.sql_store import SqlStore
from services.common.identity.ended import EndedTokens
from services.common.identity.tokens import Issuer, Untrusted, Verifier
from services.common.principal import Role
from services.registry.application.tokens import WINDOW_SECONDS, Nonces
from services.registry.master_key import BadMasterKey, MasterKey
from services.registry.nonces import TakenNonces
from services.registry.vault import Vault
from tests.support.stores import LOGS

OLD, NEW, OTHER = MasterKey(b"o" * 32), MasterKey(b"n" * 32), MasterKey(b"x" * 32)
OWNERS = {f"secret-{number}": f"AK{number}" for number in range(8)}

DYING = """
import asyncio, os, signal, sys
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from services.common.eventsourcing.sql_store import SqlStore
from services.registry import vault
from tests.integration.test_master_key import NEW, OLD, OWNERS

class Dying:
    left = int(sys.argv[2])
    def __init__(self, key):
        self.inner = AESGCM(key)
    def decrypt(self, *sealed):
        return self.inner.decrypt(*sealed)
    def encrypt(self, *plain):
        Dying.left -= 1
        if not Dying.left:
            os.kill(os.getpid(), signal.SIGKILL)
        return self.inner.encrypt(*plain)

async def main():
    vault.AESGCM = Dying
    store = await SqlStore.open(sys.argv[1])
    await vault.Vault.replaced(store, NEW, OLD, OWNERS)

asyncio.run(main())
"""


async def fill(store: SqlStore) -> None:
    vault = await Vault.open(store, OLD)
    for secret_id, key_id in OWNERS.items():
        await vault.keep(secret_id, key_id, f"the secret of {key_id}")
    await vault.keep("nobodys", "AK-gone", "of a key that no event names")


async def require_all(vault: Vault) -> None:
    for secret_id, key_id in OWNERS.items():
        assert await vault.reveal(secret_id, key_id) == f"the secret of {key_id}"


@pytest.mark.parametrize("sealed", [5, len(OWNERS) + 1])
async def test_a_program_that_is_killed_between_two_secrets_has_sealed_none(tmp_path: Path, sealed: int) -> None:
    path = tmp_path / "registry.db"
    store = await SqlStore.open(path)
    await fill(store)
    await store.close()
    dead = subprocess.run([sys.executable, "-c", DYING, str(path), str(sealed)], check=False, timeout=120)
    assert dead.returncode == -signal.SIGKILL
    store = await SqlStore.open(path)
    try:
        await require_all(await Vault.open(store, OLD))
        await require_all(await Vault.replaced(store, NEW, OLD, OWNERS))
        await require_all(await Vault.open(store, NEW))
    finally:
        await store.close()


@pytest.mark.parametrize("database", LOGS)
async def test_secrets_open_with_the_new_key_alone_and_again_is_not_an_error(database: str, tmp_path: Path) -> None:
    with LOGS[database](tmp_path) as where:
        store = await SqlStore.open(where)
        try:
            await fill(store)
            with pytest.raises(BadMasterKey):
                await Vault.replaced(store, NEW, OTHER, OWNERS)
            for _ in range(2):
                vault = await Vault.replaced(store, NEW, OLD, OWNERS)
                await require_all(vault)
            assert await vault.reveal("nobodys", "AK-gone") is None
            with pytest.raises(BadMasterKey):
                await Vault.open(store, OLD)
        finally:
            await store.close()


def test_a_key_of_before_is_never_made(tmp_path: Path) -> None:
    with pytest.raises(BadMasterKey):
        MasterKey.before(tmp_path / "nothing")
    assert not list(tmp_path.iterdir())


async def test_tokens_that_the_key_of_before_signed_are_believed_until_they_end() -> None:
    before = Issuer(OLD.signing_key(), "local")
    token, _ = before.issue("AK1", "shop", "default", Role.ADMIN, 1)
    after = Issuer(NEW.signing_key(), "local", before=[before.public_key])
    assert (await Verifier(after, EndedTokens()).bearer(token)).access_key == "AK1"
    assert after.issue("AK1", "shop", "default", Role.ADMIN, 1)[0] != token
    with pytest.raises(Untrusted):
        await Verifier(Issuer(NEW.signing_key(), "local"), EndedTokens()).bearer(token)


@pytest.mark.parametrize("database", LOGS)
async def test_a_nonce_is_taken_once_whatever_restarts_in_between(database: str, tmp_path: Path) -> None:
    moment = time.time()
    with LOGS[database](tmp_path) as where:
        for attempt in range(2):
            store = await SqlStore.open(where)
            try:
                nonces = Nonces(TakenNonces(store), lambda: moment)
                assert await nonces.take("AK1", b"n" * 16) == (attempt == 0)
                assert not await nonces.take("AK1", b"n" * 16)
                assert await nonces.take("AK2", b"n" * 16) == (attempt == 0)
            finally:
                await store.close()
        store = await SqlStore.open(where)
        try:
            later = Nonces(TakenNonces(store), lambda: moment + 2 * WINDOW_SECONDS + 1)
            assert await later.take("AK1", b"m" * 16)
            assert len(await TakenNonces(store).recall()) == 1
        finally:
            await store.close()

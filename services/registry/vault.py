"""Access keys' secrets: encrypted, in a table of the registry's database that is no part of the log."""

import secrets
from collections.abc import Mapping
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import Column, Connection, LargeBinary, MetaData, Row, Table, delete, insert, select, update

from services.common.eventsourcing.sql_schema import Name
from services.common.eventsourcing.sql_store import SqlStore
from services.registry.master_key import BadMasterKey, MasterKey

METADATA = MetaData()
SECRETS = Table(
    "access_key_secrets",
    METADATA,
    Column("secret_id", Name, primary_key=True),
    Column("nonce", LargeBinary(12), nullable=False),
    Column("sealed", LargeBinary, nullable=False),
)
PROBE = "probe"
"""A secret that is nobody's: it tells whether the master key is the one that the others are sealed with."""


class Vault:
    """Keeps secrets under ids of their own. One that no event names is harmless: it opens nothing."""

    def __init__(self, store: SqlStore, cipher: AESGCM) -> None:
        self._store, self._cipher = store, cipher

    @classmethod
    async def open(cls, store: SqlStore, master: MasterKey) -> "Vault":
        """Raises BadMasterKey where the secrets there are another key's."""
        vault = cls(store, AESGCM(master.secrets_key()))
        await store.write(METADATA.create_all)
        if await vault.reveal(PROBE, PROBE) is None:
            await vault.keep(PROBE, PROBE, PROBE)
        return vault

    @classmethod
    async def replaced(
        cls, store: SqlStore, master: MasterKey, before: MasterKey | None, owners: Mapping[str, str]
    ) -> "Vault":
        """As `open`; where the secrets there are still the key's of `before`, they are sealed anew first: all or none.

        `owners` are the access keys of secrets that events name; others are nobody's, and are thrown away.
        """
        if before is not None:
            await store.write(METADATA.create_all)
            old, new = AESGCM(before.secrets_key()), AESGCM(master.secrets_key())
            await store.write(lambda connection: _reseal(connection, old, new, {**owners, PROBE: PROBE}))
        return await cls.open(store, master)

    async def keep(self, secret_id: str, key_id: str, secret: str) -> None:
        """Seals the secret of that key; it is on disk when this returns."""
        nonce = secrets.token_bytes(12)
        sealed = self._cipher.encrypt(nonce, secret.encode(), _bound(secret_id, key_id))
        row = {"secret_id": secret_id, "nonce": nonce, "sealed": sealed}
        await self._store.write(lambda connection: connection.execute(insert(SECRETS).values(row)))

    async def reveal(self, secret_id: str, key_id: str) -> str | None:
        """The secret; None where none lies there. Raises BadMasterKey where it was sealed for something else."""
        wanted = select(SECRETS.c.nonce, SECRETS.c.sealed).where(SECRETS.c.secret_id == secret_id)
        row = await self._store.query(lambda connection: connection.execute(wanted).first())
        if row is None:
            return None
        try:
            return self._cipher.decrypt(row.nonce, row.sealed, _bound(secret_id, key_id)).decode()
        except InvalidTag:
            raise BadMasterKey("the master key is not the one that the database's secrets are sealed with") from None

    async def forget(self, secret_id: str) -> None:
        """Again is not an error."""
        unwanted = delete(SECRETS).where(SECRETS.c.secret_id == secret_id)
        await self._store.write(lambda connection: connection.execute(unwanted))


def _reseal(connection: Connection, old: AESGCM, new: AESGCM, owners: Mapping[str, str]) -> None:
    """Raises BadMasterKey where a secret is neither the one key's nor the other's."""
    rows = connection.execute(select(SECRETS)).all()
    if any(row.secret_id == PROBE and _opens(new, row, _bound(PROBE, PROBE)) for row in rows):
        return  # it was done before
    for row in rows:
        this = SECRETS.c.secret_id == row.secret_id
        if row.secret_id not in owners:
            connection.execute(delete(SECRETS).where(this))
            continue
        bound = _bound(row.secret_id, owners[row.secret_id])
        if not _opens(old, row, bound):
            raise BadMasterKey("neither master key is the one that the database's secrets are sealed with")
        nonce = secrets.token_bytes(12)
        sealed = new.encrypt(nonce, old.decrypt(row.nonce, row.sealed, bound), bound)
        connection.execute(update(SECRETS).where(this).values(nonce=nonce, sealed=sealed))


def _opens(cipher: AESGCM, row: Row[Any], bound: bytes) -> bool:
    try:
        cipher.decrypt(row.nonce, row.sealed, bound)
    except InvalidTag:
        return False
    return True


def _bound(secret_id: str, key_id: str) -> bytes:
    """What a sealed secret is good for: nothing is gained by moving it to another row."""
    return f"{key_id}/{secret_id}".encode()

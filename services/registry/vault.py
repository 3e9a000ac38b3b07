"""Access keys' secrets: encrypted, in a table of the registry's database that is no part of the log."""

import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import Column, LargeBinary, MetaData, Table, delete, insert, select

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


def _bound(secret_id: str, key_id: str) -> bytes:
    """What a sealed secret is good for: nothing is gained by moving it to another row."""
    return f"{key_id}/{secret_id}".encode()

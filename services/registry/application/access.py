"""Who may call, whole: accounts and tokens on one store; and how the operator comes to its first key."""

import json
import os
from pathlib import Path

from services.common.clock import Clock, now
from services.common.eventsourcing.sql_store import SqlStore
from services.common.identity.ended import EndedTokens
from services.common.identity.tokens import Issuer, Verifier
from services.registry.application.accounts import Accounts, Secrets, new_credential
from services.registry.application.streams import Streams, on_our_own
from services.registry.application.tokens import Taken, Tokens
from services.registry.projections import Resources
from sidegate.credentials import FIELDS, Credential


class Access:
    """`vault` keeps the secrets of access keys, `issuer` signs tokens, `taken` remembers nonces."""

    def __init__(self, store: SqlStore, vault: Secrets, issuer: Issuer, taken: Taken) -> None:
        resources, ended = Resources(store), EndedTokens()
        self.accounts = Accounts(Streams(store), resources, vault, ended)
        self.tokens = Tokens(resources, vault, issuer, ended, taken=taken)
        self.verifier = Verifier(issuer, ended)

    async def begin(self, path: Path, clock: Clock = now) -> None:
        """Ends what was ended before the start; leaves the operator's first key in the file where there is none yet.

        The file comes first: a start that was interrupted goes on with the key that is in it.
        """
        await self.tokens.recall()
        if await self.accounts.has_operator():
            return
        await self.accounts.begin(_first(path), on_our_own("CreateOperator", clock()))


def _first(path: Path) -> Credential:
    return Credential.read(path) if path.exists() else _left(path, new_credential())


def _left(path: Path, credential: Credential) -> Credential:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.unlink(missing_ok=True)
    opened = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(opened, "w") as file:
        json.dump({name: getattr(credential, name) for name in FIELDS}, file, indent=2)
        file.write("\n")
    part.replace(path)
    return credential

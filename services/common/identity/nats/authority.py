"""Who makes users of NATS: the keys in a directory, what the server is told, and a credential for each program.

The keys are in one file, so that they are all there or none. The registry gets two of them: what signs subscribers, and
what signs anew what the server is told of the subscribers' account, by which it revokes.
"""

import json
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from services.common.identity.nats import accounts, claims, rights
from services.common.identity.nats.accounts import Admission, Keys
from services.common.identity.nats.claims import User
from services.common.identity.nats.rights import Rights
from services.common.identity.pki import Unfit
from services.common.identity.private_file import write_private
from sidegate.nkeys import BadKey, KeyPair, Role, UserCredential

KEYS_FILE, SERVER_FILE = "nats-keys.json", "nats/accounts.conf"
CREDENTIAL_FILE, OFFICE_FILE = "nats.creds", "nats-office.json"
SECRET = ("operator", "operator_signer", "programs", "gateways", "subscribers_signer")

SERVER = """\
operator: "{operator}"
system_account: {system}
resolver_preload: {{
{accounts}
}}
"""


class NoOffice(Exception):
    """There is no file to make subscribers with, or nothing useful in it; the text names the file."""


@dataclass(frozen=True, slots=True)
class Office:
    """What the registry makes and revokes subscribers with. Its file is for it alone."""

    keys: Keys
    operator_signer: KeyPair = field(repr=False)
    subscribers_signer: KeyPair = field(repr=False)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Raises NoOffice."""
        try:
            said = json.loads(path.read_text())
            signer, subscribers = (KeyPair.from_seed(said[name]) for name in ("operator_signer", "subscribers_signer"))
            return cls(Keys(**said["keys"]), signer, subscribers)
        except (OSError, ValueError, KeyError, TypeError) as error:
            text = f"{path} does not let subscribers of NATS be made ({type(error).__name__})"
            raise NoOffice(
                f"{text}: `python -m services.common.identity` makes it with the registry's certificate"
            ) from None

    def user(self, key: str, credential: str, until: int) -> str:
        """The JWT of a subscriber with this public key; `until` is in seconds since the epoch."""
        name = rights.subscriber(credential)
        about = User(name, key, rights.reader(name), until)
        return claims.user(self.subscribers_signer, self.keys.subscribers, about, int(time.time()))

    def account(self, admission: Admission) -> str:
        """The JWT of the subscribers' account, as it should be now."""
        return claims.account(self.operator_signer, accounts.subscribers(self.keys, admission), int(time.time()))


class NatsAuthority:
    """The keys, made where there are none. Raises Unfit."""

    def __init__(self, directory: Path, name: str = "sidegate") -> None:
        self.directory = directory
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = directory / KEYS_FILE
        if not path.exists():
            _make(path)
        try:
            said = json.loads(path.read_text())
            self._secret = {name: KeyPair.from_seed(said[name]) for name in SECRET}
            self.keys = Keys(
                system=said["system"],
                programs=self._secret["programs"].public,
                gateways=self._secret["gateways"].public,
                subscribers=said["subscribers"],
                subscribers_signer=self._secret["subscribers_signer"].public,
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            text = f"{path} has no keys of NATS ({type(error).__name__}): restore it, or remove it to have others made"
            raise Unfit(text) from None
        self._tell_server(name)

    @property
    def server_file(self) -> Path:
        """What the server's configuration includes, in a folder of its own; no secret is in it."""
        return self.directory / SERVER_FILE

    def program(self, directory: Path, name: str) -> None:
        """The credential of the registry or the endpoint service in its directory, and the registry's office."""
        if name == "registry":
            self.user(directory, name, rights.registry(self.keys.subscribers))
            office = {key: self._secret[key].seed for key in ("operator_signer", "subscribers_signer")}
            _keep(directory / OFFICE_FILE, json.dumps({"keys": asdict(self.keys), **office}, indent=2), 0o600)
        elif name == "endpoint":
            self.user(directory, name, rights.endpoint())

    def gateway(self, directory: Path, cell: str, gateway_id: str) -> None:
        """The credential of a gateway in its directory: good for this gateway in this cell."""
        name = rights.gateway(cell, gateway_id)
        self.user(directory, name, rights.reader(name), "gateways")

    def user(self, directory: Path, name: str, allowed: Rights, account: str = "programs") -> None:
        """The credential of a user with these rights; one that is there and says the same stays."""
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        path, issuer = directory / CREDENTIAL_FILE, self._secret[account]
        with suppress(OSError, BadKey):
            found = UserCredential.parse(path.read_text())
            now = claims.user(issuer, issuer.public, User(name, found.key.public, allowed), 0)
            if _meaning(found.jwt) == _meaning(now):
                return
        key = KeyPair.new(Role.USER)
        jwt = claims.user(issuer, issuer.public, User(name, key.public, allowed), int(time.time()))
        write_private(path, UserCredential(jwt, key).text)

    def _tell_server(self, name: str) -> None:
        operator, at = self._secret["operator"], int(time.time())
        of_accounts = [
            accounts.system(self.keys),
            accounts.programs(self.keys),
            accounts.gateways(self.keys),
            accounts.subscribers(self.keys, Admission()),
        ]
        said = claims.operator(operator, name, self.keys.system, at, [self._secret["operator_signer"].public])
        told = {each.key: claims.account(operator, each, at) for each in of_accounts}
        before = self.server_file.read_text() if self.server_file.exists() else ""
        # What is there stays as it is where it says the same: the server goes by which is newer, and the registry has
        # told it more of the subscribers since.
        if [_meaning(jwt) for jwt in (said, *told.values())] != [_meaning(jwt) for jwt in _jwts(before)]:
            lines = "\n".join(f'  {key}: "{jwt}"' for key, jwt in told.items())
            text = SERVER.format(operator=said, system=self.keys.system, accounts=lines)
            self.server_file.parent.mkdir(mode=0o755, exist_ok=True)
            _keep(self.server_file, text, 0o644)


def _make(path: Path) -> None:
    roles = {name: Role.OPERATOR if name.startswith("operator") else Role.ACCOUNT for name in SECRET}
    seeds = {name: KeyPair.new(role).seed for name, role in roles.items()}
    # Nobody ever signs with the keys of these two: they are names.
    names = {name: KeyPair.new(Role.ACCOUNT).public for name in ("system", "subscribers")}
    write_private(path, json.dumps({**seeds, **names}, indent=2) + "\n")


def _keep(path: Path, text: str, mode: int) -> None:
    if not path.exists() or path.read_text() != text:
        write_private(path, text, mode)


def _jwts(text: str) -> list[str]:
    return [part for part in text.split('"') if part.count(".") == 2]


def _meaning(jwt: str) -> Mapping[str, Any]:
    """What it says but for when it was signed."""
    return {name: value for name, value in claims.read(jwt).items() if name not in ("iat", "jti")}

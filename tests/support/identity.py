"""Identities for tests, through the product's own code: an authority, an issuer of tokens, and who has what of them."""

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

import grpc

from services.common.identity.access_log import AccessLog
from services.common.identity.certificates import Certificates
from services.common.identity.ended import EndedTokens
from services.common.identity.nats.authority import CREDENTIAL_FILE, OFFICE_FILE, NatsAuthority, Office
from services.common.identity.nats.rights import Rights
from services.common.identity.pki import CA_FILE, LOCAL, Authority, Subject, gateway_uri, program_uri
from services.common.identity.tokens import Issuer, Verifier
from services.common.principal import OPERATOR, SYSTEM, Principal, Role
from services.common.rpc.auth import Doorman
from services.common.rpc.recognition import SERVICES, Bearers, Programs
from services.common.rpc.server import Entrance
from services.registry.master_key import MasterKey
from sidegate.access import Certified, Untold
from sidegate.client import Client
from sidegate.transport import Access, Metadata
from tests.support import namespaces

REGION = "local"
MASTER = b"m" * 32
"""The master key of every registry here: so a test's issuer signs what a registry that is a program trusts, too."""

EVERYTHING = Rights((">",), (">",))


@cache
def authority() -> Authority:
    """This test run's; it is gone when the run is."""
    directory = Path(tempfile.mkdtemp(prefix=f"{namespaces.PREFIX}-tls-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    return Authority(directory, REGION)


@cache
def nats_authority() -> NatsAuthority:
    return NatsAuthority(authority().directory)


@cache
def directory_of(program: str) -> Path:
    """The certificate of the registry or the endpoint service, and its user of NATS."""
    directory = authority().directory / program
    authority().provide(directory, Subject(program, program_uri(REGION, program), LOCAL))
    nats_authority().program(directory, program)
    return directory


def nats_user(program: str = "endpoint") -> Path:
    """The credential of the registry or the endpoint service on NATS."""
    return directory_of(program) / CREDENTIAL_FILE


@cache
def office() -> Office:
    """What a registry makes subscribers with."""
    return Office.read(directory_of("registry") / OFFICE_FILE)


@cache
def nats_anybody(name: str = "anybody", rights: Rights = EVERYTHING, account: str = "programs") -> Path:
    """A credential with rights that Sidegate gives nobody, to look with and to break things."""
    directory = authority().directory / f"nats-{account}-{name}"
    nats_authority().user(directory, name, rights, account)
    return directory / CREDENTIAL_FILE


@cache
def directory_of_gateway(cell: str, gateway_id: str) -> Path:
    directory = authority().directory / f"{cell}-{gateway_id}"
    authority().provide(directory, Subject(gateway_id, gateway_uri(REGION, cell, gateway_id)))
    nats_authority().gateway(directory, cell, gateway_id)
    return directory


def nats_gateway(cell: str, gateway_id: str) -> Path:
    """The credential of a gateway on NATS."""
    return directory_of_gateway(cell, gateway_id) / CREDENTIAL_FILE


def ca() -> bytes:
    return (authority().directory / CA_FILE).read_bytes()


@cache
def issuer() -> Issuer:
    return Issuer(MasterKey(MASTER).signing_key(), REGION)


@cache
def verifier() -> Verifier:
    return Verifier(issuer(), EndedTokens())


def public(listen: str = "127.0.0.1:0", log: AccessLog | None = None, verified_by: Verifier | None = None) -> Entrance:
    """Where whoever has a token is let in."""
    doorman = Doorman(Bearers(verified_by or verifier()), log or AccessLog())
    return Entrance(listen, doorman, Certificates(directory_of("registry")))


def internal(listen: str = "127.0.0.1:0", log: AccessLog | None = None) -> Entrance:
    """Where programs and gateways are let in."""
    doorman = Doorman(Programs(REGION), log or AccessLog())
    return Entrance(listen, doorman, Certificates(directory_of("endpoint")), programs_only=True)


class Bearing(Untold):
    """A token of the test's issuer, or whatever else is said to be one."""

    def __init__(self, token: str, *more: tuple[str, str]) -> None:
        super().__init__(Certificates(directory_of("registry")).trusting())
        self._metadata = (("authorization", f"Bearer {token}"), *more)

    async def metadata(self) -> Metadata:
        return self._metadata


def token(account: str, project: str = "default", role: Role | None = None, access_key: str = "AKTEST") -> str:
    role = role or (Role.OPERATOR if account == OPERATOR else Role.ADMIN)
    return issuer().issue(access_key, account, project, role, 1)[0]


def bearer(account: str, project: str = "default", role: Role | None = None) -> Access:
    return Bearing(token(account, project, role))


def program(name: str) -> Access:
    return Certified(Certificates(directory_of(name)).calling())


def gateway(cell: str, gateway_id: str) -> Access:
    return Certified(Certificates(directory_of_gateway(cell, gateway_id)).calling())


def access_of(who: Principal) -> Access:
    """A certificate for `system`: a program's, or a gateway's of cell `default`; a token for everybody else."""
    if who.account != SYSTEM:
        return bearer(who.account, who.project)
    return program(who.project) if who.project in SERVICES else gateway("default", who.project)


class Known(Client):
    """A client whose tokens the test's issuer has signed: for whatever account and project it names."""

    def _access(self, address: str) -> Access:
        return Untold() if address.startswith("unix:") else bearer(self._account, self._project or "default")


def arguments(directory: Path) -> list[str]:
    """What `python -m services.registry` is told of identities, with its files in the directory."""
    master = directory / "master.key"
    master.write_text(MASTER.hex())
    places = ("--master-key", str(master), "--operator-credential", str(directory / "operator.json"))
    return ["--tls", str(directory_of("registry")), *places]


def channel(address: str) -> grpc.aio.Channel:
    """For whoever has nothing to prove."""
    return grpc.aio.secure_channel(address, Certificates(directory_of("registry")).trusting())


def metadata(account: str, project: str = "default", role: Role | None = None) -> Metadata:
    return (("authorization", f"Bearer {token(account, project, role)}"),)

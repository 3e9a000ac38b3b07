"""Where Sidegate is: the file that a running one writes when it is ready."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sidegate.cli.outcome import Complaint, Exit
from sidegate.credentials import BadCredential, Credential

READY_FILE = "ready.json"
DEFAULT = Path("data") / READY_FILE
VARIABLE = "SIDEGATE_CONFIG"

START_ONE = f"start one with `make up`, or point at one: --config FILE, --data-dir DIR, or {VARIABLE}=FILE"

HAVE_ONE = (
    "run as who may read it, or name another: --credential FILE, SIDEGATE_CREDENTIAL=FILE; "
    "the operator makes them with `sidegate account create NAME -o json`"
)


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the programs listen; empty where there is none. `no_gateway_because` says why, where it is known.

    `https` is the HTTPS API's URL, `http_api` and `console` are the sockets on which these two say how they are doing.

    `ca` (PEM) is what their certificates are verified with; `credential` is what the file holds itself, else it lies
    in `credential_file`.
    """

    registry: str
    endpoint: str
    gateway: str
    ca: bytes
    credential: Credential | None
    credential_file: str = ""
    no_gateway_because: str = ""
    http_api: str = ""
    console: str = ""
    https: str = ""


def locate(config: Path | None, data_dir: Path | None, environment: Mapping[str, str]) -> Path:
    """The file to read: what the command line names, else what the environment does, else the default."""
    if config and data_dir:
        raise Complaint("--config and --data-dir both say where Sidegate is", Exit.USAGE, "give one of them")
    if config:
        return config
    if data_dir:
        return data_dir / READY_FILE
    return Path(environment[VARIABLE]) if environment.get(VARIABLE) else DEFAULT


def read(path: Path) -> Addresses:
    """The addresses in a ready file. Raises Complaint where it is not there or is not one."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise Complaint(f"no Sidegate found: {path.absolute()} is not there", Exit.UNAVAILABLE, START_ONE) from error
    except OSError as error:
        raise Complaint(f"cannot read {path}: {error.strerror}", Exit.USAGE, START_ONE) from error
    except (ValueError, RecursionError) as error:
        raise Complaint(f"{path} is not a ready file: {error}", Exit.USAGE, START_ONE) from error
    return Addresses(
        registry=_text(found, "registry", "grpc"),
        endpoint=_text(found, "endpoint", "grpc"),
        gateway=_socket(found, "gateway"),
        ca=_ca(_text(found, "ca"), path),
        credential=_inline(found),
        credential_file=_text(found, "credential"),
        no_gateway_because=_text(found, "no_gateway_because"),
        http_api=_socket(found, "http_api"),
        console=_socket(found, "console"),
        https=_text(found, "http_api", "https"),
    )


def _text(found: object, *path: str) -> str:
    for key in path:
        found = found.get(key) if isinstance(found, dict) else None
    return found if isinstance(found, str) else ""


def _socket(found: object, program: str) -> str:
    path = _text(found, program, "socket")
    return f"unix:{path}" if path else ""


def credential_of(found: Addresses, chosen: Path | None) -> Credential:
    """What to prove with who asks: what is chosen, else what the file holds or names. Raises Complaint."""
    if chosen is None and found.credential is not None:
        return found.credential
    path = chosen or (Path(found.credential_file) if found.credential_file else None)
    if path is None:
        raise Complaint("no credential is known to prove who asks", Exit.USAGE, HAVE_ONE)
    try:
        return Credential.read(path)
    except OSError as error:
        text = f"the credential at {path} cannot be read: {error.strerror}"
        raise Complaint(text, Exit.REFUSED, HAVE_ONE) from error
    except BadCredential as error:
        raise Complaint(f"the credential at {path} is none: {error}", Exit.USAGE, HAVE_ONE) from error


def _ca(said: str, config: Path) -> bytes:
    """The certificate authority: itself, or the file that it is in."""
    if said.startswith("-----BEGIN") or not said:
        return said.encode()
    try:
        return Path(said).read_bytes()
    except OSError as error:
        text = f"{config} names the certificate authority {said}, which cannot be read: {error.strerror}"
        raise Complaint(text, Exit.USAGE) from error


def _inline(found: object) -> Credential | None:
    try:
        return Credential.of(found) if isinstance(found, dict) else None
    except BadCredential:
        return None

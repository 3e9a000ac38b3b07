"""Where Sidegate is: the file that a running one writes when it is ready."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sidegate.cli.outcome import Complaint, Exit

READY_FILE = "ready.json"
DEFAULT = Path("data") / READY_FILE
VARIABLE = "SIDEGATE_CONFIG"

START_ONE = f"start one with `make up`, or point at one: --config FILE, --data-dir DIR, or {VARIABLE}=FILE"


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the programs listen; empty where there is none. `no_gateway_because` says why, where it is known."""

    registry: str
    endpoint: str
    gateway: str
    no_gateway_because: str = ""


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
    socket = _text(found, "gateway", "socket")
    return Addresses(
        registry=_text(found, "registry", "grpc"),
        endpoint=_text(found, "endpoint", "grpc"),
        gateway=f"unix:{socket}" if socket else "",
        no_gateway_because=_text(found, "no_gateway_because"),
    )


def _text(found: object, *path: str) -> str:
    for key in path:
        found = found.get(key) if isinstance(found, dict) else None
    return found if isinstance(found, str) else ""

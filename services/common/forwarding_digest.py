"""The digest of a cell's forwarding table, which the control plane and its gateways compare."""

from collections.abc import Iterable
from hashlib import sha256


def line(kind: str, id_: str, version: int) -> str:
    """What stands for an entry that is not removed. `kind` is attachment, service or endpoint."""
    return f"{kind} {id_} {version}"


def digest(lines: Iterable[str]) -> bytes:
    """SHA-256 over the lines, sorted, each ended by a line feed."""
    return sha256("".join(f"{each}\n" for each in sorted(lines)).encode()).digest()

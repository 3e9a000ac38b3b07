"""The digest of a cell's forwarding table, which the control plane and its gateways compare."""

from collections.abc import Iterable
from hashlib import sha256


def line(kind: str, id_: str, version: int, lease: str = "") -> str:
    """What stands for an entry that is not removed. `kind` is attachment, service, endpoint or resolver.

    `lease` is the source address of the gateway that compares, where it is told: it may come within a version.
    """
    return f"{kind} {id_} {version} {lease}".rstrip()


def digest(lines: Iterable[str]) -> bytes:
    """SHA-256 over the lines, sorted, each ended by a line feed."""
    return sha256("".join(f"{each}\n" for each in sorted(lines)).encode()).digest()

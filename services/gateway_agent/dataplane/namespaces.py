"""Network namespaces of tenants: which one a name stands for now, and working inside."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, TypeVar

from pyroute2 import IPRoute, netns

from services.gateway_agent.dataplane.netlink import netlink
from services.gateway_agent.dataplane.port import NotReady

NAMESPACES = Path("/run/netns")

Result = TypeVar("Result")


class NamespaceIdentity(NamedTuple):
    """What tells a namespace from another of the same name, made after it was deleted."""

    device: int
    inode: int


def namespace_identity(name: str) -> NamespaceIdentity | None:
    try:
        status = (NAMESPACES / name).stat()
    except FileNotFoundError:
        return None
    return NamespaceIdentity(status.st_dev, status.st_ino)


def in_namespace(name: str, work: Callable[[IPRoute], Result]) -> Result:
    """Works on a thread that enters the namespace and ends there: no other thread ever leaves its own."""

    def enter() -> Result:
        netns.setns(str(NAMESPACES / name), flags=0)
        with netlink() as inside:
            return work(inside)

    with ThreadPoolExecutor(1) as thread:
        try:
            return thread.submit(enter).result()
        except OSError as error:
            raise NotReady(f"network namespace {name} cannot be entered: {error.strerror}") from error

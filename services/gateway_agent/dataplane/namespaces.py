"""Network namespaces: which one a name stands for now, working inside, and making those of our own."""

import ctypes
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import get_native_id
from typing import NamedTuple, TypeVar

from pyroute2 import IPRoute, netns

from services.gateway_agent.dataplane.netlink import netlink
from services.gateway_agent.dataplane.port import NotReady

NAMESPACES = Path("/run/netns")
_NEW_NETWORK = 0x40000000  # CLONE_NEWNET
_BIND, _RECURSIVE, _SHARED, _DETACH = 0x1000, 0x4000, 0x100000, 0x2

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

    def with_netlink() -> Result:
        with netlink() as inside:
            return work(inside)

    return within(name, with_netlink)


def within(name: str, work: Callable[[], Result]) -> Result:
    """As `in_namespace`; processes that are started by it and sockets that are opened belong to the namespace."""

    def enter() -> Result:
        netns.setns(str(NAMESPACES / name), flags=0)
        return work()

    with ThreadPoolExecutor(1) as thread:
        try:
            return thread.submit(enter).result()
        except OSError as error:
            raise NotReady(f"network namespace {name} cannot be entered: {error.strerror}") from error


def make_namespace(name: str) -> None:
    """As `ip netns add` does, which need not be there. Raises OSError."""
    path = NAMESPACES / name
    NAMESPACES.mkdir(parents=True, exist_ok=True)
    _share_directory()
    path.touch(mode=0, exist_ok=False)
    try:
        with ThreadPoolExecutor(1) as thread:
            thread.submit(_bind_new, path).result()
    except OSError:
        path.unlink(missing_ok=True)
        raise


def delete_namespace(name: str) -> None:
    """What is still inside keeps it alive, nameless."""
    path = NAMESPACES / name
    _libc("umount2", os.fsencode(path), _DETACH, may_fail=True)  # a name without a namespace, left by a kill
    path.unlink(missing_ok=True)


def _bind_new(path: Path) -> None:
    """On a thread that ends there."""
    _libc("unshare", _NEW_NETWORK)
    ours = f"/proc/self/task/{get_native_id()}/ns/net".encode()
    _libc("mount", ours, os.fsencode(path), b"none", _BIND, None)


def _share_directory() -> None:
    """A namespace that is deleted elsewhere then goes away here, too."""
    where = os.fsencode(NAMESPACES)
    if _libc("mount", b"", where, b"none", _SHARED | _RECURSIVE, None, may_fail=True) != 0:
        _libc("mount", where, where, b"none", _BIND | _RECURSIVE, None)
        _libc("mount", b"", where, b"none", _SHARED | _RECURSIVE, None)


def _libc(name: str, *arguments: bytes | int | None, may_fail: bool = False) -> int:
    result: int = getattr(ctypes.CDLL(None, use_errno=True), name)(*arguments)
    if result != 0 and not may_fail:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return result

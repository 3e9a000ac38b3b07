"""The BPF filesystem: where maps are pinned, so that they outlive the agent."""

import ctypes
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from services.gateway_agent.dataplane.port import DataplaneError, Unusable

LAYOUT = 5  # of the structs in bpf/maps.h; another one shares nothing with this
_MNT_DETACH = 2  # somebody may be looking into it at this moment
_OURS = "sidegate"  # the source of a mount that we made, so that a later process knows it too
_LAYOUT_NAME = re.compile(r"v(\d{1,9})")
_GATEWAY_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")  # the BPF filesystem keeps dots for itself


class Pins:
    """The directory of one gateway's pinned maps."""

    def __init__(self, bpffs: Path, gateway_id: str) -> None:
        if not _GATEWAY_ID.fullmatch(gateway_id):
            raise DataplaneError(f"gateway id {gateway_id!r} must match {_GATEWAY_ID.pattern}")
        self._bpffs = bpffs
        self.directory = bpffs / _OURS / gateway_id / f"v{LAYOUT}"

    def prepare(self) -> None:
        """Mounts the filesystem unless the path lies in one, and makes the directory. Raises Unusable."""
        try:
            self._bpffs.mkdir(parents=True, exist_ok=True)
            if _mount_of(self._bpffs).kind != "bpf":
                _mount(self._bpffs)
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise Unusable(f"no BPF filesystem at {self._bpffs}: {error.strerror}") from error

    def remove_older(self) -> None:
        """Removes what agents of older layouts have pinned: nobody reads it again."""
        for layout, directory in self._layouts():
            if layout < LAYOUT:
                _remove(directory)

    def remove(self) -> None:
        """Removes all pins of the gateway, and the mount if we made it and nobody else's pins are in it."""
        if not self.directory.exists():
            return
        for _, directory in self._layouts():
            _remove(directory)
        for directory in (self.directory.parent, self.directory.parent.parent):
            if any(directory.iterdir()):
                return
            directory.rmdir()
        mount = _mount_of(self._bpffs)
        if mount.source == _OURS and mount.point == self._bpffs.resolve() and not _has_pins(self._bpffs):
            _libc_call("umount2", os.fsencode(self._bpffs), _MNT_DETACH)

    def _layouts(self) -> Iterator[tuple[int, Path]]:
        for directory in list(self.directory.parent.iterdir()):
            if named := _LAYOUT_NAME.fullmatch(directory.name):
                yield int(named[1]), directory


def _has_pins(directory: Path) -> bool:
    """iproute2 makes empty directories (ip, xdp, tc/globals) in whatever BPF filesystem it finds; those are no pins."""
    kernels = {directory / "maps.debug", directory / "progs.debug"}
    return any(not path.is_dir() and path not in kernels for path in directory.rglob("*"))


def _remove(directory: Path) -> None:
    for pin in list(directory.iterdir()):
        pin.unlink()
    directory.rmdir()


class Mount(NamedTuple):
    point: Path
    kind: str
    source: str


def _mounts() -> Iterator[Mount]:
    """Of proc_pid_mountinfo(5): the fifth field is the mount point, type and source follow a lone hyphen."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, after = line.split(" - ", 1)
        kind, source = after.split(" ")[:2]
        point = before.split(" ")[4].encode().decode("unicode_escape")  # a blank is written \040
        yield Mount(Path(point), kind, source)


def _mount_of(path: Path) -> Mount:
    """The mount that the path lies in; of several on one point the last one counts."""
    resolved = path.resolve()
    return max(
        (mount for mount in reversed(list(_mounts())) if resolved.is_relative_to(mount.point)),
        key=lambda mount: len(mount.point.parts),
    )


def _mount(path: Path) -> None:
    _libc_call("mount", _OURS.encode(), os.fsencode(path), b"bpf", 0, b"mode=0700")


def _libc_call(name: str, *arguments: bytes | int) -> None:
    if getattr(ctypes.CDLL(None, use_errno=True), name)(*arguments) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))

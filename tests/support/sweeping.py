"""What workers that were ended before they had tidied up have left: processes, mounts, namespaces and directories."""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.support import namespaces

PATIENCE_SECONDS = 10.0
MARK = f"{namespaces.VARIABLE}={os.environ[namespaces.VARIABLE]}".encode()
"""In the environment of every process that any worker of this run has started."""


def sweep(temporary: Path) -> None:
    """After an interruption a worker has ten seconds for its tests' own tidying; this is for what took longer."""
    _end_processes()
    mounted = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for mount in sorted((place for place in mounts_below(mounted, temporary)), reverse=True):
        subprocess.run(["umount", "--lazy", mount], check=False)
    for path in Path("/run/netns").glob(f"*{namespaces.RUN_PREFIX}*"):  # annexes begin with another word
        subprocess.run(["ip", "netns", "delete", path.name], check=False)
    for path in Path(tempfile.gettempdir()).glob(f"{namespaces.RUN_PREFIX}*"):
        shutil.rmtree(path, ignore_errors=True)


def mounts_below(mounted: list[str], temporary: Path) -> Iterator[str]:
    yield from (place for place in mounted if Path(place).is_relative_to(temporary))


def _end_processes() -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (left := list(_processes())) and time.monotonic() < deadline:
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)


def _processes() -> Iterator[int]:
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):  # it has ended, or is not ours to look at
            if MARK in path.read_bytes().split(b"\0") and path.parent.name != str(os.getpid()):
                yield int(path.parent.name)

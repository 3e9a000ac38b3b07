"""A small disk of the test's own, which can be filled to the last byte."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

SIZE = 192 * 1024 * 1024
BLOCK = bytes(1024 * 1024)


class Disk:
    def __init__(self, path: Path) -> None:
        self.path = path
        self._ballast = path / "ballast"

    @contextmanager
    def full(self) -> Iterator[None]:
        """Not a byte is free inside."""
        try:
            with self._ballast.open("wb", buffering=0) as ballast:
                for size in (len(BLOCK), 4096, 1):
                    with suppress(OSError):
                        while ballast.write(BLOCK[:size]) == size:
                            pass
            yield
        finally:
            self._ballast.unlink()


@contextmanager
def small_disk(path: Path) -> Iterator[Disk]:
    """A file system in memory, mounted at `path`, gone afterwards with whatever is mounted in it."""
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=0700", "chaos", path], check=True)
    try:
        yield Disk(path)
    finally:
        subprocess.run(["umount", "--recursive", "--lazy", path], check=True)

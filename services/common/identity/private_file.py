"""Files that are there as a whole or not at all, and never readable for longer than they should be."""

import os
from pathlib import Path


def write_private(path: Path, content: str | bytes, mode: int = 0o600) -> None:
    """On disk when it returns, in the place of what was there."""
    part = path.with_name(path.name + ".part")
    part.unlink(missing_ok=True)
    opened = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        os.write(opened, content.encode() if isinstance(content, str) else content)
        os.fchmod(opened, mode)
        os.fsync(opened)
    finally:
        os.close(opened)
    part.replace(path)

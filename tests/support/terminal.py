"""A program on a terminal of its own: what a person would see, and keys that he presses."""

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from collections.abc import Mapping, Sequence

LIMIT_SECONDS = 30.0


def seen_on_a_terminal(
    command: Sequence[str],
    environment: Mapping[str, str],
    *,
    columns: int = 120,
    lines: int = 40,
    keys: Mapping[str, bytes] | None = None,
) -> str:
    """All that it shows until it ends. `keys` are pressed, one after the other, once the text before them was seen."""
    own, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    process = subprocess.Popen(command, env=environment, stdin=its, stdout=its, stderr=its, start_new_session=True)
    os.close(its)
    seen, deadline, waiting = b"", time.monotonic() + LIMIT_SECONDS, list((keys or {}).items())
    try:
        while time.monotonic() < deadline and select.select([own], [], [], deadline - time.monotonic())[0]:
            seen += os.read(own, 65536)
            if waiting and waiting[0][0].encode() in seen:
                os.write(own, waiting.pop(0)[1])
    except OSError:
        process.wait(LIMIT_SECONDS)  # the terminal hangs up when its last program ends
    finally:
        process.kill()
        process.wait()
        os.close(own)
    return seen.decode()

"""Long output on a terminal, shown a screen at a time as git does it."""

import os
import shutil
import signal
import subprocess
import sys

OPTIONS = "FRX"
"""less: quit at once if it fits, show colours, leave the text on the screen."""


def write(text: str, paged: bool) -> None:
    """To stdout; on a terminal that is shorter than the text through SIDEGATE_PAGER, else PAGER, else less."""
    command = _command()
    if paged and command and sys.stdout.isatty() and _is_longer_than_the_screen(text) and _show(text, command):
        return
    sys.stdout.write(text)


def _command() -> str:
    """What the shell is to run; empty where the user wants none."""
    wanted = os.environ.get("SIDEGATE_PAGER", os.environ.get("PAGER", "less"))
    return "" if wanted in ("", "cat") else wanted


def _is_longer_than_the_screen(text: str) -> bool:
    return text.count("\n") >= shutil.get_terminal_size().lines


def _show(text: str, command: str) -> bool:
    """False where the shell does not find the pager."""
    environment = {"LESS": OPTIONS, "LESSCHARSET": "utf-8", **os.environ}
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the pager's
    try:
        shown = subprocess.run(
            ["/bin/sh", "-c", command], input=text.encode(errors="replace"), env=environment, check=False
        )
    finally:
        signal.signal(signal.SIGINT, before)
    return shown.returncode != 127

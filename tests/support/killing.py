"""An agent that is killed with SIGKILL in the middle of a change: a process of its own, that stops before a map write.

It is forked from a process whose data plane is open, because to start a program anew takes fifty times as long. What it
shares with its parent are descriptors; the parent waits meanwhile, and closes its own before it looks at what is left.
"""

import asyncio
import os
import signal
import traceback
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn
from unittest.mock import patch

from services.gateway_agent.dataplane.libbpf import Map
from services.gateway_agent.dataplane.memory import Words

DEADLINE_SECONDS = 20


def killed_before_write(number: int, work: Callable[[], Coroutine[Any, Any, None]]) -> bool:
    """Does the work in another process, which kills itself in the place of its write to a map of this number.

    Answers whether it came that far. Raises AssertionError where it ended in any other way.
    """
    child = os.fork()
    if child == 0:
        _work_and_die(number, work)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL, f"the agent ended by signal {os.WTERMSIG(status)}"
        return True
    assert os.WEXITSTATUS(status) == 0, "the agent failed; what it said is on stderr"
    return False


def _work_and_die(number: int, work: Callable[[], Coroutine[Any, Any, None]]) -> NoReturn:
    """Never returns into the test, whatever happens."""
    try:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(DEADLINE_SECONDS)
        asyncio._set_running_loop(None)  # the parent's, which runs on in the parent
        with _dies_before_write(number):
            asyncio.run(work())
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)


@contextmanager
def _dies_before_write(number: int) -> Iterator[None]:
    written = 0

    def counted(write: Callable[..., object]) -> Callable[..., object]:
        def wrapper(*arguments: object) -> object:
            nonlocal written
            written += 1
            if written >= number:
                os.kill(os.getpid(), signal.SIGKILL)
            return write(*arguments)

        return wrapper

    with (
        patch.object(Map, "put", counted(Map.put)),
        patch.object(Map, "delete", counted(Map.delete)),
        patch.object(Words, "__setitem__", counted(Words.__setitem__)),
    ):
        yield

"""Where messages are read and written: at once what is short, in a thread what may take long. All of it is charged."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from time import thread_time
from typing import ParamSpec, TypeVar

from services.gateway_agent.resolving.limits import Shares

SHORT_RECORDS = 12
"""Records of a message that is read in the event loop. One takes up to 4 ms: so long names can be."""

P = ParamSpec("P")
T = TypeVar("T")


class OutOfTimeError(Exception):
    """What others answered has taken as much time as it may."""


class Effort:
    """What messages of others take. A long one has a thread, one for all VPCs of a gateway: the event loop shares the
    processor with it then, and does not wait until it is through, which may be two seconds."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._thread = ThreadPoolExecutor(1, "dns-answers")

    async def take(
        self, shares: Shares, records: int, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """What the function says. Raises OutOfTimeError where nothing of the shares is left."""
        if records <= SHORT_RECORDS:
            _require(shares)
            with shares.taken():
                return function(*args, **kwargs)
        async with self._turn:
            _require(shares)
            loop = asyncio.get_running_loop()

            def charged() -> T:
                began = thread_time()
                try:
                    return function(*args, **kwargs)
                finally:  # whether somebody still waits for it or not
                    with suppress(RuntimeError):  # the loop is closed
                        loop.call_soon_threadsafe(shares.spend, thread_time() - began)

            return await loop.run_in_executor(self._thread, charged)

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)


def _require(shares: Shares) -> None:
    if not shares.are_left():
        raise OutOfTimeError

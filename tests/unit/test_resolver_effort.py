"""What answers of others take is charged, whoever waits for it."""

import asyncio
import threading
from time import monotonic, thread_time

import pytest

from services.gateway_agent.resolving.effort import SHORT_RECORDS, Effort, OutOfTimeError
from services.gateway_agent.resolving.limits import Share, Shares
from tests.support.agent import eventually

BUSY_SECONDS = 0.05


def busy() -> str:
    until = thread_time() + BUSY_SECONDS
    while thread_time() < until:
        pass
    return threading.current_thread().name


@pytest.mark.parametrize(("records", "apart"), [(SHORT_RECORDS, False), (SHORT_RECORDS + 1, True)])
async def test_what_may_take_long_has_a_thread_and_all_is_charged(records: int, apart: bool) -> None:
    effort, share = Effort(), Share(BUSY_SECONDS / 10)
    shares = Shares(share)
    try:
        assert (await effort.take(shares, records, busy) != threading.current_thread().name) == apart
        await eventually("it to be charged", lambda: share.left(monotonic()) < 0)
        with pytest.raises(OutOfTimeError):
            await effort.take(shares, records, busy)
    finally:
        effort.close()


async def test_what_nobody_waits_for_any_more_is_charged_too() -> None:
    effort, share = Effort(), Share(BUSY_SECONDS / 10)
    going = threading.Event()

    def begun() -> None:
        going.set()
        busy()

    try:
        taking = asyncio.create_task(effort.take(Shares(share), SHORT_RECORDS + 1, begun))
        await eventually("it to begin", going.is_set)
        taking.cancel()
        await asyncio.gather(taking, return_exceptions=True)
        await eventually("it to be charged", lambda: share.left(monotonic()) < 0)
    finally:
        effort.close()

"""The console as a program: what it counts and logs, what it refuses unseen, and how it ends."""

import asyncio
import json
import os
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sidegate.credentials import Credential
from tests.support.metrics import scrape, value
from tests.support.signed_in import enter, signed_in, visiting
from tests.support.standalone import Standalone, until

pytestmark = pytest.mark.asyncio(loop_scope="package")

ENDING_SECONDS = 5.0


async def numbers(sidegate: Standalone) -> Any:
    return await asyncio.to_thread(scrape, sidegate.ready["console"]["metrics"])


def logged(sidegate: Standalone) -> list[Mapping[str, Any]]:
    lines = (sidegate.data / "logs" / "console.log").read_text().splitlines()
    return [json.loads(line) for line in lines]


async def test_what_is_done_is_counted_and_logged_without_a_secret(
    sidegate: Standalone, tenant: Callable[[str], Credential]
) -> None:
    key = tenant("counted")
    async with signed_in(sidegate, key) as browser, browser.stream("GET", "/live") as live:
        assert live.status_code == 200
        now = await numbers(sidegate)
        assert value(now, "sidegate_console_streams") == 1
        assert value(now, "sidegate_console_sessions") >= 1
        assert value(now, "sidegate_console_sign_ins_total", result="in") >= 1
        assert (await browser.get("/no/such/page?token=hidden-in-a-query")).status_code == 404
        session = next(cookie.value for cookie in browser.cookies.jar if "session" in cookie.name)
    text = (sidegate.data / "logs" / "console.log").read_text()
    assert [secret for secret in (key.secret_key, session, "hidden-in-a-query") if secret and secret in text] == []
    refused = [line for line in logged(sidegate) if line.get("status") == 404 and line.get("account") == key.account]
    assert [line["operation"] for line in refused] == ["none"]
    assert value(await numbers(sidegate), "sidegate_console_handled_total", route="none", status="404") >= 1


async def test_a_wrong_secret_is_counted_and_after_some_of_them_nobody_is_asked_any_more(
    sidegate: Standalone, tenant: Callable[[str], Credential]
) -> None:
    key = tenant("guessed")
    async with visiting(sidegate) as browser:
        before = value(await numbers(sidegate), "sidegate_console_sign_ins_total", result="refused")
        answers = [(await enter(browser, replace(key, secret_key=f"guess {n}"))).status_code for n in range(6)]
        assert answers == [401] * 5 + [429]
        assert (await enter(browser, key)).status_code == 429
        now = await numbers(sidegate)
    assert value(now, "sidegate_console_sign_ins_total", result="refused") == before + 5
    assert value(now, "sidegate_console_sign_ins_total", result="limited") >= 2


async def test_a_body_that_is_too_large_is_refused_before_anybody_reads_it(sidegate: Standalone) -> None:
    async with visiting(sidegate) as browser:
        answer = await browser.post("/sign-in", content=b"x" * (1 << 20) + b"x")
    assert answer.status_code == 413
    assert "262144" in answer.text


async def test_told_to_end_it_ends_within_seconds_though_pages_are_live(
    sidegate: Standalone, tenant: Callable[[str], Credential]
) -> None:
    pid = sidegate.pid_of("console")
    async with signed_in(sidegate, tenant("live")) as browser, browser.stream("GET", "/live") as live:
        chunks = live.aiter_text()
        assert "begun" in await anext(chunks)
        os.kill(pid, signal.SIGTERM)
        told = time.monotonic()
        async for _ in chunks:
            pass
        await until("the console to end", lambda: _has_ended(pid))
        assert time.monotonic() - told < ENDING_SECONDS
    await until("the console to be started again", lambda: _is_another(sidegate, pid))
    assert [line for line in logged(sidegate) if line["level"] == "error"] == []


async def _has_ended(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


async def _is_another(sidegate: Standalone, pid: int) -> bool:
    return sidegate.ready["pids"]["console"] not in (None, pid)

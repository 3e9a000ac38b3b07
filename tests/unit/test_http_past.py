"""The past over HTTPS, where the service behind it or the question is not as it should be."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any, cast
from uuid import uuid4

import pytest
from fastapi import Request

from services.http_api.errors import Refused
from services.http_api.limits import Gate, Limits
from services.http_api.own import audit, past
from services.http_api.own.changes import Told
from services.http_api.upstream import Acting

Asking = Callable[[], Coroutine[Any, Any, object]]
CALLER = cast("Acting", SimpleNamespace(project_id="p"))
FAR_EAST, FAR_WEST = timezone(timedelta(hours=14)), timezone(-timedelta(hours=12))


async def silent(*_: object) -> AsyncGenerator[Told, None]:
    """A service that takes a call and says nothing."""
    await asyncio.Event().wait()
    yield cast("Told", None)


async def test_a_service_that_says_nothing_is_told_as_time_that_ran_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """It was an error of ours."""
    monkeypatch.setattr(past, "watch", silent)
    monkeypatch.setattr(past, "LONGEST_SECONDS", 0.01)
    gate = Gate(Limits(streams_of_project=1))
    request = cast("Request", SimpleNamespace(app=SimpleNamespace(state=SimpleNamespace(gate=gate))))
    for ask in (
        lambda: past.list_history(caller=CALLER, request=request, kind="vpc"),
        lambda: past.show_state(caller=CALLER, request=request, kind="vpc", id=uuid4()),
    ):
        with pytest.raises(Refused) as refused:
            await ask()
        assert (refused.value.code.status, refused.value.code.wire) == (504, "EndPoint.0013")


@pytest.mark.parametrize(
    "moment", [datetime(1, 1, 1, tzinfo=FAR_EAST), datetime(9999, 12, 31, 23, tzinfo=FAR_WEST)], ids=str
)
async def test_a_moment_beyond_the_calendar_in_utc_is_refused_by_its_name(moment: datetime) -> None:
    """A day of the calendar where it was written: it was an error of ours."""
    asked: list[tuple[Asking, str]] = [
        (lambda: audit.list_records(caller=CALLER, log="registry", start=moment), "start"),
        (lambda: audit.list_records(caller=CALLER, log="registry", end=moment), "end"),
        (lambda: audit.show_project_state(caller=CALLER, log="registry", account="shop", time=moment), "time"),
    ]
    for ask, field in asked:
        with pytest.raises(Refused, match=f"^{field}: ") as refused:
            await ask()
        assert (refused.value.code.status, refused.value.code.wire) == (400, "EndPoint.0002")

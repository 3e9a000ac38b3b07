"""The access log: what was refused to whom, and why."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from fastapi import APIRouter, Request
from starlette.responses import Response

from services.console.pages.paging import SIZE, number_of, paging
from services.console.pages.rendering import page
from services.console.sessions.access import Operator
from sidegate import errors
from sidegate.api.events.v1.log_pb2 import Refusal
from sidegate.client import Client
from sidegate.resources.logs import LogName

MOST = 1000
"""Of each program: it keeps no more to be shown."""

router = APIRouter()


@dataclass(frozen=True, slots=True)
class Told:
    """A refusal, and the program that tells of it."""

    program: LogName
    refusal: Refusal

    @property
    def method(self) -> str:
        return self.refusal.method.rpartition("/")[2]

    @property
    def who(self) -> str:
        """Empty where nobody proved to be anybody."""
        return f"{self.refusal.account}/{self.refusal.project}" if self.refusal.account else ""

    def has(self, text: str) -> bool:
        """Whether any of what is shown has this in it, whatever the case."""
        said = self.refusal
        shown = (self.who, self.method, said.resource, said.reason, said.code, said.peer, said.access_key, said.acting)
        return any(text.lower() in each.lower() for each in shown)


@router.get("/operator/refusals")
async def refusals(request: Request, session: Operator) -> Response:
    query = request.query_params
    program, text = query.get("program", ""), query.get("text", "").strip()[:200]
    chosen = [log for log in LogName if program in ("", log.value)]
    answers = await asyncio.gather(*(_of(session.own, log) for log in chosen))
    silent = [log for log, told in zip(chosen, answers, strict=True) if told is None]
    found = [each for told in answers for each in told or () if not text or each.has(text)]
    found.sort(key=lambda each: each.refusal.time.ToNanoseconds(), reverse=True)
    first = (number_of(request) - 1) * SIZE
    return page(
        request,
        "operators/refusals.html",
        found=found[first : first + SIZE],
        silent=silent,
        programs=list(LogName),
        program=program,
        text=text,
        paging=paging(request, len(found)),
    )


async def _of(client: Client, log: LogName) -> Sequence[Told] | None:
    """None where the program does not answer."""
    try:
        return [Told(log, refusal) for refusal in await client.audit.log(log).refused(MOST)]
    except errors.Unavailable:
        return None

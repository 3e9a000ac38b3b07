"""`sidegate health`: how every program is doing that the ready file names."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from sidegate import errors
from sidegate.api.status.v1.status_pb2 import GetStatusResponse
from sidegate.cli import facts, words
from sidegate.cli.facts import Json
from sidegate.cli.outcome import Exit, printable
from sidegate.cli.session import Session
from sidegate.cli.view import View, table

TITLES = ("program", "health", "version", "since", "position", "lag", "nats", "remark")
NATS_LESS = {"http_api", "console"}
"""Programs that have nothing to do with NATS."""

WIDE_TITLES = ("address", "metrics")


@dataclass(frozen=True, slots=True)
class Told:
    """What a program says of itself, or why it says nothing."""

    program: str
    address: str
    status: GetStatusResponse | None
    silence: str = ""

    @property
    def health(self) -> str:
        if self.status is None:
            return "silent"
        return "serving" if self.status.serving else "not serving"

    @property
    def facts(self) -> dict[str, Json]:
        told: dict[str, Json] = {"program": self.program, "address": self.address, "health": self.health}
        if self.status is None:
            return {**told, "why": self.silence}
        return {**facts.of(self.status), **told, "id": self.status.program}

    def row(self, wide: bool) -> Sequence[str]:
        status = self.status
        if status is None:
            return [
                self.program,
                self.health,
                "",
                "",
                "",
                "",
                "",
                printable(self.silence),
                *([self.address, ""] * wide),
            ]
        cells = [
            self.program if self.program == status.program else f"{self.program} {status.program}",
            self.health,
            status.version,
            words.of(status.start_time),
            str(status.position),
            str(status.lag),
            "" if self.program in NATS_LESS else "connected" if status.nats_connected else "away",
            "; ".join(status.difficulties) or ("in sync" if status.in_sync else ""),
        ]
        return [printable(cell) for cell in cells + [self.address, status.metrics_address] * wide]


async def examine(session: Session) -> View:
    """Asks all programs at once; the exit code is that of the worst."""
    addresses = session.programs()
    told = list(await asyncio.gather(*(_ask(session, name, address) for name, address in addresses.items())))
    return View([each.facts for each in told], lambda wide: table(*_drawn(told, wide)), _exit(told))


async def _ask(session: Session, name: str, address: str) -> Told:
    try:
        status = await session.sidegate.program(name).status()
    except errors.Unavailable as error:
        return Told(name, address, None, silence=error.text)
    return Told(name, address, status)


def _drawn(told: Sequence[Told], wide: bool) -> tuple[Sequence[str], Sequence[Sequence[str]]]:
    return TITLES + WIDE_TITLES * wide, [each.row(wide) for each in told]


def _exit(told: Sequence[Told]) -> Exit:
    if any(each.status is None for each in told):
        return Exit.UNAVAILABLE
    return Exit.OK if all(each.health == "serving" for each in told) else Exit.NO

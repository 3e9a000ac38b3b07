"""How a service's sessions are kept and its backends asked, as options of the command line."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

import typer

from sidegate.api.registry.v1.endpoint_service_pb2 import HealthCheck, SessionSettings
from sidegate.cli import completing, parsing
from sidegate.cli.groups import Group
from sidegate.cli.outcome import Complaint, Exit


class Affinity(StrEnum):
    """What a new session's backend depends on."""

    NONE = "none"
    SOURCE_ADDRESS = "source-address"


AFFINITIES = dict(zip(Affinity, SessionSettings.Affinity.values()[1:], strict=True))


def _idle(name: str, what: str, usual: str) -> typer.models.OptionInfo:
    help = f"{what}; 0: {usual}."
    found: typer.models.OptionInfo = typer.Option(name, metavar="TIME", parser=parsing.length, help=help)
    return found


@dataclass(frozen=True)
class SessionOptions(Group):
    """How sessions are kept. What is None is not said."""

    idle_tcp: Annotated[
        int | None, _idle("--idle-tcp", "Idle TCP sessions are removed after this: 60s to 24h", "350s")
    ] = None
    idle_half_open: Annotated[
        int | None, _idle("--idle-half-open", "TCP sessions whose handshake does not go on, after 5s to 5m", "30s")
    ] = None
    idle_closed: Annotated[
        int | None, _idle("--idle-closed", "TCP sessions that were closed, after 1s to 2m", "10s")
    ] = None
    idle_udp: Annotated[int | None, _idle("--idle-udp", "UDP sessions, after 10s to 1h", "120s")] = None
    idle_udp_one_way: Annotated[
        int | None, _idle("--idle-udp-one-way", "UDP sessions that nobody answered, after 5s to 5m", "30s")
    ] = None
    affinity: Annotated[
        Affinity | None,
        typer.Option(
            "--affinity", help="source-address: a client stays with one backend; none: each session by itself."
        ),
    ] = None
    reset_expired: Annotated[
        bool | None,
        typer.Option(
            "--reset-expired/--no-reset-expired",
            help="Answer TCP segments of sessions that are there no more with RST.",
        ),
    ] = None

    @property
    def said(self) -> bool:
        return self != SessionOptions()

    def over(self, known: SessionSettings) -> SessionSettings | None:
        """What is known, with what is said in its place; None where nothing is said."""
        if not self.said:
            return None
        made = SessionSettings()
        made.CopyFrom(known)
        numbers = {
            "tcp_established_seconds": self.idle_tcp,
            "tcp_half_open_seconds": self.idle_half_open,
            "tcp_closed_seconds": self.idle_closed,
            "udp_two_way_seconds": self.idle_udp,
            "udp_one_way_seconds": self.idle_udp_one_way,
            "reset_expired": self.reset_expired,
            "affinity": None if self.affinity is None else AFFINITIES[self.affinity],
        }
        for name, value in numbers.items():
            if value is not None:
                setattr(made, name, value)
        return made


@dataclass(frozen=True)
class HealthOptions(Group):
    """How backends are asked whether they are well. What is None is not said."""

    health_check: Annotated[
        HealthCheck | None,
        typer.Option(
            "--health-check",
            metavar="tcp|http[:PORT][/PATH]",
            parser=parsing.health_check,
            autocompletion=completing.health_check,
            help="No new sessions for backends that do not answer, while others do. No PORT: the first for TCP.",
        ),
    ] = None
    health_status: Annotated[
        HealthCheck | None,
        typer.Option(
            "--health-status",
            metavar="FIRST[-LAST]",
            parser=parsing.health_status,
            help="HTTP statuses of backends that are well: 200-399 if not said.",
        ),
    ] = None
    health_interval: Annotated[
        int | None,
        typer.Option(
            "--health-interval",
            metavar="TIME",
            parser=parsing.length,
            help="How often they are asked: 1s to 5m; 0: 5s.",
        ),
    ] = None
    health_timeout: Annotated[
        int | None,
        typer.Option(
            "--health-timeout",
            metavar="TIME",
            parser=parsing.length,
            help="How long an answer may take: 1s to 60s, the interval at most; 0: 2s.",
        ),
    ] = None
    healthy_after: Annotated[
        int | None,
        typer.Option("--healthy-after", min=0, max=10, metavar="N", help="Answers in a row that make one well; 0: 2."),
    ] = None
    unhealthy_after: Annotated[
        int | None,
        typer.Option(
            "--unhealthy-after", min=0, max=10, metavar="N", help="Failures in a row after which it is not; 0: 2."
        ),
    ] = None

    @property
    def said(self) -> bool:
        return self != HealthOptions()

    def over(self, known: HealthCheck | None) -> HealthCheck | None:
        """The check that is known, with what is said in its place; None where nothing is said.

        Raises Complaint where there is no check that it could be said of.
        """
        if not self.said:
            return None
        if self.health_check is None and known is None:
            text = "there is no health check that this could be said of"
            raise Complaint(text, Exit.USAGE, "give --health-check, such as --health-check http:8080/healthz")
        made = HealthCheck()
        made.CopyFrom(known or HealthCheck())
        if asked := self.health_check:
            made.protocol, made.port, made.path = asked.protocol, asked.port, asked.path
            if asked.protocol == HealthCheck.PROTOCOL_TCP:
                made.first_status = made.last_status = 0
        if self.health_status:
            made.first_status, made.last_status = self.health_status.first_status, self.health_status.last_status
        numbers = {
            "interval_seconds": self.health_interval,
            "timeout_seconds": self.health_timeout,
            "healthy_after": self.healthy_after,
            "unhealthy_after": self.unhealthy_after,
        }
        for name, value in numbers.items():
            if value is not None:
                setattr(made, name, value)
        return made

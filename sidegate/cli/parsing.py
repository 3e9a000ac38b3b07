"""Values of the command line that need reading: port mappings, backends, moments, places in a log."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import typer
from google.protobuf.timestamp_pb2 import Timestamp

from sidegate.api.endpoint.v1.endpoint_pb2 import ConnectionState
from sidegate.api.registry.v1.endpoint_service_pb2 import Backend, EndpointService, HealthCheck, PortMapping
from sidegate.api.registry.v1.listing_pb2 import (
    LIST_ORDER_CREATE_TIME,
    LIST_ORDER_UPDATE_TIME,
    ListOrder,
    TagFilter,
    TagMatch,
)
from sidegate.api.registry.v1.tag_pb2 import Tag
from sidegate.cli import facts
from sidegate.cli.facts import Enum
from sidegate.cli.identities import IDENTITIES, Identity

MAPPING = re.compile(r"(\d{1,5})(?::(\d{1,5}))?(?:/(tcp|udp)(?:\+(.+))?)?")
PROTOCOLS = {"tcp": PortMapping.PROTOCOL_TCP, "udp": PortMapping.PROTOCOL_UDP}
HIGHEST_PORT = 65535
BACKEND = re.compile(r"([^=/\s]+)(?:=(\d{1,9}))?(/draining)?")
HIGHEST_WEIGHT = 100
HIGHEST_POSITION = 2**63 - 1

AGO = re.compile(r"(\d{1,6})([smhd])")
LENGTH = re.compile(r"(\d{1,6})([smh]?)")
LONGEST_DRAIN = 3600
HEALTH_CHECK = re.compile(r"(tcp|http)(?::(\d{1,5}))?(/\S*)?")
HEALTH_PROTOCOLS = {"tcp": HealthCheck.PROTOCOL_TCP, "http": HealthCheck.PROTOCOL_HTTP}
STATUSES = re.compile(r"([1-5]\d\d)(?:-([1-5]\d\d))?")
NUMBER = re.compile(r"(\d{1,15})([kMGT]?)")
TIMES = {"": 1, "k": 1_000, "M": 1_000_000, "G": 1_000_000_000, "T": 1_000_000_000_000}
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True, slots=True)
class Place:
    """A place in a log: a position, or a moment."""

    position: int = 0
    time: Timestamp | None = None


def port_mapping(text: str) -> PortMapping:
    """CLIENT[:SERVER][/tcp|udp][+IDENTITY]: "80" is 80:80/tcp, and what backends learn there what the service says."""
    found = MAPPING.fullmatch(text)
    if not found:
        raise typer.BadParameter(
            f"{text!r} is no port mapping: CLIENT[:SERVER][/tcp|udp], such as 80:8080/tcp or 443/tcp+proxy"
        )
    client, server = int(found[1]), int(found[2] or found[1])
    if not (1 <= client <= HIGHEST_PORT and 1 <= server <= HIGHEST_PORT):
        raise typer.BadParameter(f"{text!r}: ports go from 1 to {HIGHEST_PORT}")
    mapping = PortMapping(client_port=client, server_port=server, protocol=PROTOCOLS[found[3] or "tcp"])
    if found[4]:
        mapping.client_identity = _identity(text, found[4], found[3])
    return mapping


def _identity(text: str, word: str, protocol: str) -> EndpointService.ClientIdentity.ValueType:
    if word not in list(Identity):
        raise typer.BadParameter(f"{text!r}: what backends learn of clients is one of {', '.join(Identity)}")
    if protocol == "udp" and word != Identity.NONE:
        raise typer.BadParameter(f"{text!r}: backends can be told of clients over TCP alone")
    return IDENTITIES[Identity(word)]


def backend(text: str) -> Backend:
    """IP[=WEIGHT][/draining]: "10.0.0.10" has weight 1."""
    found = BACKEND.fullmatch(text)
    if not found:
        raise typer.BadParameter(f"{text!r} is no backend: IP[=WEIGHT][/draining], such as 10.0.0.10=3")
    weight = int(found[2] or 1)
    if not 1 <= weight <= HIGHEST_WEIGHT:
        raise typer.BadParameter(f"{text!r}: weights go from 1 to {HIGHEST_WEIGHT}")
    return Backend(address=found[1], weight=weight, draining=bool(found[3]))


def backend_port(text: str) -> Backend:
    """PORT[=WEIGHT][/draining]: a backend whose port is still what somebody typed."""
    read = backend(text)
    return Backend(port_id=read.address, weight=read.weight, draining=read.draining)


def weight(text: str) -> Backend:
    """IP=WEIGHT."""
    found = backend(text)
    if "=" not in text or found.draining:
        raise typer.BadParameter(f"{text!r} gives no weight: IP=WEIGHT, such as 10.0.0.10=3")
    return found


def tag_match(text: str) -> TagMatch:
    """KEY[=VALUE]."""
    key, named, value = text.partition("=")
    return TagMatch(key=key, values=[value] if named else [])


def with_tags(wanted: Sequence[TagMatch] | None) -> TagFilter | None:
    return TagFilter(all=wanted) if wanted else None


def order(by_change: bool) -> ListOrder.ValueType:
    return LIST_ORDER_UPDATE_TIME if by_change else LIST_ORDER_CREATE_TIME


def tag(text: str) -> Tag:
    """KEY[=VALUE]: "team" has an empty value."""
    key, _, value = text.partition("=")
    if not key:
        raise typer.BadParameter(f"{text!r} is no tag: KEY[=VALUE], such as team=payments")
    return Tag(key=key, value=value)


def other_tags(tags: list[Tag] | None, none: bool) -> list[Tag] | None:
    """What is to replace a resource's tags; None to leave them."""
    if tags and none:
        raise typer.BadParameter("--tag and --no-tags contradict each other: give one of them")
    return [] if none else tags or None


def moment(text: str) -> Timestamp:
    """An ISO 8601 moment (local time where it names no zone), or one ago: 30s, 10m, 2h, 1d."""
    stamp = Timestamp()
    if ago := AGO.fullmatch(text):
        stamp.FromDatetime(datetime.now(UTC) - timedelta(seconds=int(ago[1]) * SECONDS[ago[2]]))
        return stamp
    try:
        stamp.FromDatetime(datetime.fromisoformat(text).astimezone(UTC))
    except (ValueError, OverflowError, OSError) as error:
        text = f"{text!r} is no moment: 2026-11-23T08:30:00, with +01:00 or Z or local; or 30s, 10m, 2h, 1d ago"
        raise typer.BadParameter(text) from error
    return stamp


def service_states(words: Sequence[str] | None) -> list[EndpointService.State.ValueType]:
    """States of services by the words that lists show: available."""
    names = _names(EndpointService.State.DESCRIPTOR, words)
    return [EndpointService.State.Value(name) for name in names]


def connection_states(words: Sequence[str] | None) -> list[ConnectionState.ValueType]:
    """States of endpoints and connections by the words that lists show: pendingAcceptance."""
    return [ConnectionState.Value(name) for name in _names(ConnectionState.DESCRIPTOR, words)]


def _names(enum: Enum, words: Sequence[str] | None) -> list[str]:
    known = {facts.word(enum, number): value.name for number, value in enum.values_by_number.items() if number}
    for text in words or ():
        if text not in known:
            raise typer.BadParameter(f"{text!r} is no state: {', '.join(known)}")
    return [known[text] for text in dict.fromkeys(words or ())]


def in_seconds(seconds: int) -> Timestamp:
    """The moment that is so many seconds from now."""
    stamp = Timestamp()
    stamp.FromDatetime(datetime.now(UTC) + timedelta(seconds=seconds))
    return stamp


def policy(text: str) -> str:
    """A policy document, or what the file has that is named behind '@'."""
    if not text.startswith("@"):
        return text
    try:
        return Path(text.removeprefix("@")).read_text()
    except (OSError, ValueError) as error:
        raise typer.BadParameter(f"{text.removeprefix('@')} cannot be read: {error}") from None


def drain(text: str) -> int:
    """How long established sessions go on, in seconds: "30", "30s", "10m", "1h"."""
    seconds = length(text)
    if seconds > LONGEST_DRAIN:
        raise typer.BadParameter(f"{text!r} is too long: sessions drain for an hour at most")
    return seconds


def length(text: str) -> int:
    """A length of time in seconds: "30", "30s", "10m", "1h"."""
    found = LENGTH.fullmatch(text)
    if not found:
        raise typer.BadParameter(f"{text!r} is no length of time: 30s, 10m or 1h")
    return int(found[1]) * SECONDS[found[2] or "s"]


def number(text: str) -> int:
    """A number that may be given in thousands, millions and so on: "2000", "2k", "100M", "10G"."""
    found = NUMBER.fullmatch(text)
    if not found:
        raise typer.BadParameter(f"{text!r} is no number: 5000, 100M or 10G")
    return int(found[1]) * TIMES[found[2]]


def health_check(text: str) -> HealthCheck:
    """tcp[:PORT] or http[:PORT][/PATH]."""
    found = HEALTH_CHECK.fullmatch(text)
    if not found:
        raise typer.BadParameter(f"{text!r} is no health check: tcp, tcp:8080, http:8080/healthz")
    port, path = int(found[2] or 0), found[3] or ""
    if port > HIGHEST_PORT:
        raise typer.BadParameter(f"{text!r}: ports go from 1 to {HIGHEST_PORT}")
    if path and found[1] == "tcp":
        raise typer.BadParameter(f"{text!r}: only http asks for a path")
    return HealthCheck(protocol=HEALTH_PROTOCOLS[found[1]], port=port, path=path)


def health_status(text: str) -> HealthCheck:
    """FIRST[-LAST]: "204" is that one alone."""
    found = STATUSES.fullmatch(text)
    if not found:
        raise typer.BadParameter(f"{text!r} is no range of statuses: 200-399, or 204")
    return HealthCheck(first_status=int(found[1]), last_status=int(found[2] or found[1]))


def place(text: str) -> Place:
    """A position, which is a number from 1, or a moment."""
    if not text.isdecimal():
        return Place(time=moment(text))
    position = int(text)
    if not 1 <= position <= HIGHEST_POSITION:
        raise typer.BadParameter("positions start at 1")
    return Place(position=position)

"""A file that the flow log is written to: a line of JSON for each session, in files that are rotated by size."""

import asyncio
import json
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from services.gateway_agent.flow_log import NotWritten
from services.gateway_agent.flows import FlowRecord

LARGEST_BYTES = 64 * 1024 * 1024
KEPT = 4
NANOSECONDS = 1_000_000_000
PRIVATE = 0o600  # it names every tenant's addresses


class FlowFile:
    """PATH, and as many as KEPT older ones, PATH.1 the newest of them. Moving PATH away has another one begun."""

    def __init__(self, path: Path, gateway: str, one_of: int, largest: int = LARGEST_BYTES) -> None:
        self._path, self._gateway, self._one_of, self._largest = path, gateway, one_of, largest

    async def write(self, records: Sequence[FlowRecord]) -> None:
        text = "".join(f"{json.dumps(facts(each, self._gateway, self._one_of))}\n" for each in records)
        try:
            await asyncio.to_thread(self._append, text.encode())
        except OSError as error:
            raise NotWritten(f"{self._path}: {error.strerror}") from error

    def _append(self, lines: bytes) -> None:
        """Whole lines or none, so that what is tried again stands there once."""
        if self._path.exists() and self._path.stat().st_size >= self._largest:
            self._rotate()
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, PRIVATE)
        try:
            before = os.fstat(descriptor).st_size
            try:
                _write_all(descriptor, lines)
            except OSError:
                os.ftruncate(descriptor, before)
                raise
        finally:
            os.close(descriptor)

    def _rotate(self) -> None:
        for number in range(KEPT - 1, 0, -1):
            if (older := self._older(number)).exists():
                older.replace(self._older(number + 1))
        self._path.replace(self._older(1))

    def _older(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")


def facts(record: FlowRecord, gateway: str, one_of: int) -> dict[str, str | int]:
    return {
        "begin": _moment(record.began),
        "end": _moment(record.ended),
        "gateway": gateway,
        "endpoint": record.endpoint,
        "marker": record.marker,
        "service": record.service,
        "vpc": record.vpc,
        "protocol": record.protocol.value,
        "client": str(record.client),
        "client_port": record.client_port,
        "address": str(record.address),
        "port": record.port,
        "packets_in": record.packets_in,
        "bytes_in": record.bytes_in,
        "packets_out": record.packets_out,
        "bytes_out": record.bytes_out,
        "verdict": record.verdict,
        "one_of": one_of,
    }


def _moment(nanoseconds: int) -> str:
    seconds, rest = divmod(nanoseconds, NANOSECONDS)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest // 1000:06d}Z"


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]

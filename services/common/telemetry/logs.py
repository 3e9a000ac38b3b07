"""Logs: structured, for people on a terminal and as JSON lines elsewhere, with the ids of the call they are of."""

import logging
import re
import sys
from pathlib import Path

import structlog
from opentelemetry import trace
from structlog.types import EventDict, Processor, WrappedLogger

from services.common.telemetry.log_file import LogFile, RotatingFile, Stderr

SECRET = re.compile(r"token|password|passwd|secret|authorization|credential|api_key", re.IGNORECASE)
IN_AN_ADDRESS = re.compile(r"(?<=://)[^/@\s]+(?=@)")
HIDDEN = "***"


def configure_logging(
    program: str, level: str = "info", file: Path | None = None, *, copy: RotatingFile | None = None
) -> None:
    """Every later line names the program. Level: debug, info, warning or error; `file` takes stderr's place.

    `copy` gets the lines in JSON beside what is shown.

    What libraries log by `logging` is said in the same form, from warnings on.
    """
    number = logging.getLevelNamesMapping()[level.upper()]

    def with_program(_: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        return {"program": program, **event}

    shared: list[Processor] = [
        with_program,
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _with_trace,
        structlog.processors.format_exc_info,
        without_secrets,
    ]
    if copy is not None:
        shared.append(_copying(copy))
    output = _opened(program, file) if file else Stderr()
    plain = file is not None or not sys.stderr.isatty()
    renderer: Processor = structlog.processors.JSONRenderer() if plain else structlog.dev.ConsoleRenderer()
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(output),  # type: ignore[arg-type] # it writes and flushes
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(output)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(renderer, foreign_pre_chain=[*shared, _named]))
    logging.basicConfig(handlers=[handler], level=max(number, logging.WARNING), force=True)


def _opened(program: str, file: Path) -> LogFile:
    try:
        return LogFile(file)
    except OSError as error:
        sys.exit(f"{program}: cannot write logs to {file}: {error.strerror}")


def _with_trace(_: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        event["trace_id"] = trace.format_trace_id(context.trace_id)
        event["span_id"] = trace.format_span_id(context.span_id)
    return event


def without_secrets(_: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """No line of ours names a secret; should one come to, it does not get out."""
    for key, value in event.items():
        if SECRET.search(key):
            event[key] = HIDDEN
        elif isinstance(value, str) and "@" in value:
            event[key] = IN_AN_ADDRESS.sub(HIDDEN, value)
    return event


def _copying(file: RotatingFile) -> Processor:
    render = structlog.processors.JSONRenderer()

    def copying(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
        told = {key: value for key, value in event.items() if not key.startswith("_")}
        file.write(f"{render(logger, method, told)!s}\n")
        return event

    return copying


def _named(_: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    record: logging.LogRecord = event["_record"]
    event["logger"] = record.name
    return event

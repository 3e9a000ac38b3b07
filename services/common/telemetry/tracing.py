"""Spans of the programs: ids always, kept and exported only where OTEL_EXPORTER_OTLP_ENDPOINT says to whom."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.metadata import version

import structlog
from opentelemetry import trace
from opentelemetry.trace import Link, Span, SpanKind

from sidegate import tracing

VARIABLES = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
MOST_LINKS = 16

log = structlog.get_logger(__name__)


class _Exporter:
    """Whether spans are recorded."""

    tracer: trace.Tracer | None = None


def configure(program: str) -> None:
    """Exports spans by OTLP where the environment asks for it; OpenTelemetry's other variables hold too."""
    if not any(os.environ.get(name) for name in VARIABLES):
        return
    try:
        # Some 100 ms and 10 MB that only they pay who export.
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    except ImportError as error:
        log.error("spans cannot be exported: install the dependency group otlp", why=str(error))
        return
    about = {"service.name": f"sidegate-{program}", "service.version": version("sidegate")}
    provider = TracerProvider(resource=Resource.create(about))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    _Exporter.tracer = trace.get_tracer("sidegate")


def start(name: str, parent: str = "", kind: SpanKind = SpanKind.INTERNAL, links: Iterable[str] = ()) -> Span:
    """A span to be ended by the caller. `parent` and `links` are traceparents; without a parent it is a new trace."""
    context = tracing.context_of(parent)
    if _Exporter.tracer is None:
        return tracing.step(trace.get_current_span(context).get_span_context())
    linked = [Link(found) for each in links if (found := _named(each)).is_valid][:MOST_LINKS]
    return _Exporter.tracer.start_span(name, context, kind, links=linked)


@contextmanager
def span(name: str, parent: str = "", links: Iterable[str] = ()) -> Iterator[None]:
    """What is done in the block is a step of the parent's trace."""
    with trace.use_span(start(name, parent, links=links), end_on_exit=True):
        yield


def _named(traceparent: str) -> trace.SpanContext:
    return trace.get_current_span(tracing.context_of(traceparent)).get_span_context()

"""One trace id from the command line to the kernel: W3C trace context, kept by OpenTelemetry's API.

A caller that traces with OpenTelemetry need not do anything: its current span goes with every call of
`sidegate.client`. The trace context names a call, never who makes it.
"""

import random
from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

KEY = "traceparent"
"""The name of the trace context in gRPC's metadata."""

FORMAT = TraceContextTextMapPropagator()


def current() -> str:
    """What is being done, as the W3C's traceparent; empty where nothing is traced."""
    carrier: dict[str, str] = {}
    FORMAT.inject(carrier)
    return carrier.get(KEY, "")


def trace_id() -> str:
    """32 hexadecimal digits; empty where nothing is traced."""
    context = trace.get_current_span().get_span_context()
    return trace.format_trace_id(context.trace_id) if context.is_valid else ""


def context_of(traceparent: str) -> Context:
    """The context that a traceparent names; an empty one for what is none."""
    return FORMAT.extract({KEY: traceparent}, Context()) if traceparent else Context()


def step(parent: SpanContext) -> NonRecordingSpan:
    """A step of the parent's trace, of a new one where there is no parent: it has ids and is kept nowhere."""
    # Ids have to differ, not to be secret.
    id_, span = parent.trace_id or random.getrandbits(128) or 1, random.getrandbits(64) or 1
    flags = parent.trace_flags if parent.is_valid else TraceFlags(TraceFlags.SAMPLED)
    return NonRecordingSpan(SpanContext(id_, span, is_remote=False, trace_flags=flags, trace_state=parent.trace_state))


@contextmanager
def begun() -> Iterator[str]:
    """A new trace, or a step of the present one; gives its id."""
    with trace.use_span(step(trace.get_current_span().get_span_context())):
        yield trace_id()

"""Spans of commands, in kernels that use OpenTelemetry; nothing is imported and nothing is done in others."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any


@contextmanager
def trace_command(headers: MutableMapping[str, str]) -> Iterator[Callable[[object], None]]:
    """Make a span of one command, if the kernel has loaded OpenTelemetry; yields what notes the id of its decision.

    The header ``traceparent`` of W3C Trace Context is added to ``headers``, so that the service continues the trace.
    The text of the command is not recorded.
    """
    trace: Any = sys.modules.get("opentelemetry.trace")
    if trace is None:
        yield _ignore
        return
    # Not made the current span: a generator may be closed in another context than the one that it began in.
    span = trace.get_tracer("aizen_hub.notebook").start_span("aizen command", kind=trace.SpanKind.CLIENT)
    context = span.get_span_context()
    if context.is_valid:
        headers["traceparent"] = f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags & 0xFF:02x}"
    try:
        yield lambda decision_id: span.set_attribute("aizen.decision.id", str(decision_id))
    except Exception:  # re-raised; its message may name an argument
        span.set_status(trace.StatusCode.ERROR)
        raise
    finally:
        span.end()


def _ignore(_decision_id: object) -> None:
    pass

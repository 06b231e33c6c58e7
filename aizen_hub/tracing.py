"""Traces by OpenTelemetry: spans of requests, decisions and calls of the core, sent to a collector.

Nothing is imported from OpenTelemetry before `open_tracing` is called with an address. Attributes are names of routes,
status codes, and the id and result of decisions: no identity, project, argument, credential or address.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from aizen_hub.settings import ConfigurationError, TracingSettings

DECISION_ID, DECISION_ALLOWED = "aizen.decision.id", "aizen.decision.allowed"
_SERVER_ERROR = 500
_CLOSE_SECONDS = 5.0


class RequestSpan:
    """The span of one request; the spans that begin in its task are its children."""

    __slots__ = ("_span", "_token", "_tracing")

    def __init__(self, tracing: Tracing, span: Any, token: Any) -> None:
        self._tracing, self._span, self._token = tracing, span, token

    def end(self, status: int, decision_id: str | None) -> None:
        """End it, in the task in which it began."""
        span = self._span
        span.set_attribute("http.response.status_code", int(status))
        if decision_id is not None:
            span.set_attribute(DECISION_ID, decision_id)
        if status >= _SERVER_ERROR:
            self._tracing.mark_failed(span)
        self._tracing.detach(self._token)
        span.end()


class Tracing:
    """Makes spans, and sends them from a thread of its own with a bounded queue: what does not fit is dropped.

    Parameters
    ----------
    settings : TracingSettings
    instance : str
        Id of this process.
    version : str

    Raises
    ------
    ConfigurationError
        OpenTelemetry is not installed.
    """

    def __init__(self, settings: TracingSettings, instance: str, version: str) -> None:
        try:
            from opentelemetry import context, trace
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
            from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
        except ImportError:
            raise ConfigurationError(
                "`service.tracing`: OpenTelemetry is not installed: pip install 'aizen-hub[tracing]'"
            ) from None
        self._context, self._trace, self._propagator = context, trace, TraceContextTextMapPropagator()
        attributes = {"service.version": version, "service.instance.id": instance}
        named = os.environ.get("OTEL_SERVICE_NAME") or "service.name=" in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
        if not named:
            attributes["service.name"] = "aizen-hub"
        # Sampler, limits, queue and batches are those of the OTEL_ variables.
        self._provider = TracerProvider(resource=Resource.create(attributes), shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=settings.endpoint)))
        self._tracer = self._provider.get_tracer("aizen_hub", version)

    def begin_request(self, name: str, method: str, route: str, traceparent: str | None) -> RequestSpan:
        """Begin the span of a request, as a child of the caller's span where it names one.

        Parameters
        ----------
        name, route : str
            Of the route, with parameters in braces: never what a caller sent.
        traceparent : str or None
            The header of W3C Trace Context; one that is not valid is ignored.
        """
        parent = self._context.Context()
        if traceparent is not None:
            parent = self._propagator.extract({"traceparent": traceparent}, parent)
        attributes = {"http.request.method": method, "http.route": route}
        span = self._tracer.start_span(name, parent, self._trace.SpanKind.SERVER, attributes)
        return RequestSpan(self, span, self._context.attach(self._trace.set_span_in_context(span, parent)))

    @contextmanager
    def decision(self) -> Iterator[Any]:
        """Make the span of a decision; its result is set by `set_decision`."""
        with self._tracer.start_as_current_span(
            "decide", record_exception=False, set_status_on_exception=False
        ) as span:
            yield span

    @contextmanager
    def core_call(self, method: str, decision_id: str) -> Iterator[dict[str, str]]:
        """Make the span of an exchange with the core; yield the headers by which the core continues the trace.

        A message of an error may name an argument, so only the fact is recorded.
        """
        attributes = {"http.request.method": method, DECISION_ID: decision_id}
        span = self._tracer.start_span(f"core {method}", None, self._trace.SpanKind.CLIENT, attributes)
        headers: dict[str, str] = {}
        self._propagator.inject(headers, self._trace.set_span_in_context(span))
        try:
            yield headers
        except Exception:  # re-raised
            self.mark_failed(span)
            raise
        finally:
            span.end()

    @staticmethod
    def set_decision(span: Any, decision_id: str, *, allowed: bool) -> None:
        """Note a decision in a span."""
        span.set_attribute(DECISION_ID, decision_id)
        span.set_attribute(DECISION_ALLOWED, allowed)

    def mark_failed(self, span: Any) -> None:
        """Note that what a span describes failed."""
        span.set_status(self._trace.StatusCode.ERROR)

    def detach(self, token: Any) -> None:
        """Leave the context of a span."""
        self._context.detach(token)

    def close(self) -> None:
        """Send what is queued, for five seconds at most; blocks."""
        # A collector that does not answer must not keep the process from its end.
        closing = threading.Thread(target=self._provider.shutdown, name="tracing-end", daemon=True)
        closing.start()
        closing.join(_CLOSE_SECONDS)


def open_tracing(settings: TracingSettings | None, instance: str, version: str) -> Tracing | None:
    """Return what makes spans; None where ``service.tracing`` is not set.

    Raises
    ------
    ConfigurationError
        OpenTelemetry is not installed.
    """
    return None if settings is None else Tracing(settings, instance, version)

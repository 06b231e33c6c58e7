"""Prometheus metrics. Label values are constants of this code, never text from a request (R98)."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import Metric

from aizen_hub.service.http.request_metrics import BUCKETS, RequestMetrics
from aizen_hub.service.runtime.gauges import GAUGE_TEXTS


class Metrics:
    """The metrics of one service process.

    Attributes
    ----------
    requests : RequestMetrics
    """

    content_type = CONTENT_TYPE_PLAIN_0_0_4

    def __init__(self) -> None:
        self._registry = CollectorRegistry()

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"aizen_{name}", text, labels, registry=self._registry)

        def histogram(name: str, text: str, *labels: str) -> Histogram:
            return Histogram(f"aizen_{name}", text, labels, registry=self._registry, buckets=BUCKETS)

        self.requests = RequestMetrics()
        self._registry.register(self.requests)
        self._credentials = counter(
            "refused_credentials", "Credentials that were refused.", "credential_type", "reason"
        )
        self._limited = counter("limited", "Requests refused by a rate or concurrency limit.", "limit")
        self._sealed = counter("sealed_refusals", "Requests refused because nothing may be decided.", "route")
        self._failures = counter("failures", "Unexpected errors.", "route", "kind")
        self._logins = counter("logins", "Login reports and password checks by outcome.", "outcome")
        self._sessions = counter("sessions", "Sessions opened and ended.", "event")
        self._exchanges = counter("exchanges", "Token exchanges by outcome.", "outcome")
        self._core_seconds = histogram("core_seconds", "Time until a command at the core ended.", "outcome")
        self._background = counter("background", "Runs of background tasks by outcome.", "task", "outcome")
        self._children: dict[tuple[str, ...], Counter] = {}

    def add_gauge(self, name: str, value: Callable[[], float]) -> None:
        """Add a gauge of `GAUGE_TEXTS` that is read at every scrape; reading it must not block."""
        Gauge(f"aizen_{name}", GAUGE_TEXTS[name], registry=self._registry).set_function(value)

    def count_refused_credential(self, credential_type: str, reason: str) -> None:
        self._count("credentials", self._credentials, credential_type, reason)

    def count_limited(self, limit: str) -> None:
        self._count("limited", self._limited, limit)

    def count_sealed_refusal(self, route: str) -> None:
        self._count("sealed", self._sealed, route)

    def count_failure(self, route: str, kind: str) -> None:
        self._count("failures", self._failures, route, kind)

    def count_login(self, outcome: str) -> None:
        self._count("logins", self._logins, outcome)

    def count_session_event(self, event: str, count: int = 1) -> None:
        self._sessions.labels(event).inc(count)

    def count_exchange(self, outcome: str) -> None:
        self._count("exchanges", self._exchanges, outcome)

    def observe_core_seconds(self, outcome: str, seconds: float) -> None:
        self._core_seconds.labels(outcome).observe(seconds)

    def count_background_run(self, task: str, outcome: str) -> None:
        self._count("background", self._background, task, outcome)

    def families(self) -> Iterable[Metric]:
        """Return all metrics with their values."""
        return self._registry.collect()

    def exposition(self) -> bytes:
        """Return all metrics in the Prometheus text format."""
        return generate_latest(self._registry)

    def _count(self, family: str, counter: Counter, *labels: str) -> None:
        # Labelled children are cached: looking one up by its labels costs more than counting.
        key = (family, *labels)
        child = self._children.get(key)
        if child is None:
            child = self._children[key] = counter.labels(*labels)
        child.inc()

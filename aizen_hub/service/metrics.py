"""Figures for Prometheus. Every label value is one of ours, never a text that somebody sent (R98)."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)


class Metrics:
    """The figures of one service process."""

    content_type = CONTENT_TYPE_PLAIN_0_0_4

    def __init__(self) -> None:
        self._registry = CollectorRegistry()

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"aizen_{name}", text, labels, registry=self._registry)

        def histogram(name: str, text: str, *labels: str) -> Histogram:
            return Histogram(f"aizen_{name}", text, labels, registry=self._registry, buckets=_SECONDS)

        self._requests = counter("requests", "Answers by route and status.", "route", "status")
        self._seconds = histogram("request_seconds", "Time to answer, by route.", "route")
        self._decisions = counter("decisions", "Decisions by outcome and reason.", "outcome", "reason")
        self._decision_seconds = histogram(
            "decision_seconds", "Time from the question to its ruling, audit row included."
        )
        self._credentials = counter(
            "refused_credentials", "Credentials that were refused, by what came and why.", "road", "why"
        )
        self._limited = counter("limited", "Requests refused by a rate or concurrency limit.", "limit")
        self._sealed = counter("sealed_refusals", "Requests refused because nothing may be decided.", "route")
        self._failures = counter("failures", "Answers that nobody foresaw.", "route", "kind")
        self._logins = counter("logins", "Login reports and password checks by outcome.", "outcome")
        self._sessions = counter("sessions", "Sessions opened and ended.", "event")
        self._exchanges = counter("exchanges", "Token exchanges by outcome.", "outcome")
        self._core_seconds = histogram("core_seconds", "Time until the core's answer ended.", "outcome")
        self._background = counter("background", "Runs of background work by outcome.", "task", "outcome")
        self._children: dict[tuple[str, ...], Counter] = {}
        self._timers: dict[str, Histogram] = {}

    def gauge(self, name: str, text: str, value: Callable[[], float]) -> None:
        """Show a figure that is read when somebody asks; it must be at hand."""
        Gauge(f"aizen_{name}", text, registry=self._registry).set_function(value)

    def request(self, route: str, status: int, seconds: float) -> None:
        self._count("requests", self._requests, route, str(status))
        timer = self._timers.get(route)
        if timer is None:
            timer = self._timers[route] = self._seconds.labels(route)
        timer.observe(seconds)

    def decision(self, allowed: bool, reason: str) -> None:
        self._count("decisions", self._decisions, "allow" if allowed else "deny", reason)

    def decided_in(self, seconds: float) -> None:
        self._decision_seconds.observe(seconds)

    def credential_refused(self, road: str, why: str) -> None:
        self._count("credentials", self._credentials, road, why)

    def limited(self, limit: str) -> None:
        self._count("limited", self._limited, limit)

    def sealed(self, route: str) -> None:
        self._count("sealed", self._sealed, route)

    def failure(self, route: str, kind: str) -> None:
        self._count("failures", self._failures, route, kind)

    def login(self, outcome: str) -> None:
        self._count("logins", self._logins, outcome)

    def session(self, event: str, number: int = 1) -> None:
        self._sessions.labels(event).inc(number)

    def exchange(self, outcome: str) -> None:
        self._count("exchanges", self._exchanges, outcome)

    def core(self, outcome: str, seconds: float) -> None:
        self._core_seconds.labels(outcome).observe(seconds)

    def background(self, task: str, outcome: str) -> None:
        self._count("background", self._background, task, outcome)

    def page(self) -> bytes:
        """Return the page in Prometheus' text format."""
        return generate_latest(self._registry)

    def _count(self, family: str, counter: Counter, *labels: str) -> None:
        # Children are kept: looking one up by its labels costs more than counting.
        key = (family, *labels)
        child = self._children.get(key)
        if child is None:
            child = self._children[key] = counter.labels(*labels)
        child.inc()

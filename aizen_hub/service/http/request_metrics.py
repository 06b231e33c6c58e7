"""The metrics that every request and decision counts, kept as plain numbers until they are scraped."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from itertools import accumulate

from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
"""Upper bounds of durations, in seconds."""
_BOUNDS = [*map(str, map(float, BUCKETS)), "+Inf"]
_Counts = dict[tuple[str, ...], int]


class Durations:
    """How many durations were in each bucket, and their sum."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * len(_BOUNDS)
        self.total = 0.0

    def add(self, seconds: float) -> None:
        self.counts[bisect_left(BUCKETS, seconds)] += 1
        self.total += seconds

    def buckets(self) -> list[tuple[str, float]]:
        """Return the bounds with the numbers of durations up to each."""
        return list(zip(_BOUNDS, accumulate(self.counts), strict=True))


class RequestMetrics(Collector):
    """Counts requests and decisions, on the event loop only.

    Four events of the library's own counters and histograms take a tenth of the time of a decision.
    """

    def __init__(self) -> None:
        self._requests: _Counts = {}
        self._request_durations: dict[str, Durations] = {}
        self._decisions: _Counts = {}
        self._decision_durations = Durations()

    def count_request(self, route: str, status: int, seconds: float) -> None:
        key = (route, str(status))
        self._requests[key] = self._requests.get(key, 0) + 1
        durations = self._request_durations.get(route)
        if durations is None:
            durations = self._request_durations[route] = Durations()
        durations.add(seconds)

    def count_decision(self, allowed: bool, reason: str, count: int = 1) -> None:
        key = ("allow" if allowed else "deny", reason)
        self._decisions[key] = self._decisions.get(key, 0) + count

    def observe_decision_seconds(self, seconds: float) -> None:
        self._decision_durations.add(seconds)

    def collect(self) -> Iterable[Metric]:
        return self._families(self._requests, self._request_durations, self._decisions, self._decision_durations)

    def describe(self) -> Iterable[Metric]:
        """Return the families without samples, for the registry."""
        return self._families({}, {}, {}, None)

    @staticmethod
    def _families(
        requests: _Counts,
        request_durations: Mapping[str, Durations],
        decisions: _Counts,
        decision_durations: Durations | None,
    ) -> Iterable[Metric]:
        yield _counter("aizen_requests", "Responses by route and status.", ("route", "status"), requests)
        histogram = HistogramMetricFamily("aizen_request_seconds", "Time to respond, by route.", labels=("route",))
        for route, durations in list(request_durations.items()):
            histogram.add_metric((route,), durations.buckets(), durations.total)
        yield histogram
        yield _counter("aizen_decisions", "Decisions by outcome and reason.", ("outcome", "reason"), decisions)
        text = "Time from a decision request to its recorded decision."
        histogram = HistogramMetricFamily("aizen_decision_seconds", text, labels=())
        if decision_durations is not None:
            histogram.add_metric((), decision_durations.buckets(), decision_durations.total)
        yield histogram


def _counter(name: str, text: str, labels: tuple[str, ...], counts: _Counts) -> CounterMetricFamily:
    family = CounterMetricFamily(name, text, labels=labels)
    for values, count in list(counts.items()):
        family.add_metric(values, count)
    return family

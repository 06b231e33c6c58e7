"""The metrics of requests and decisions: the same text as the library's own counters and histograms make."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.exposition import generate_latest

from aizen_hub.service.http.request_metrics import BUCKETS, RequestMetrics

DURATIONS = st.one_of(st.sampled_from(BUCKETS), st.floats(0, 20).map(lambda seconds: round(seconds, 6)))
REQUESTS = st.tuples(st.sampled_from(["GET /a", "POST /b"]), st.sampled_from([200, 429, 503]), DURATIONS)
DECISIONS = st.tuples(st.booleans(), st.sampled_from(["granted", "no-assignment"]), st.integers(1, 50))


def exposition(registry: CollectorRegistry) -> list[str]:
    """Return the lines without the times of creation, which only the library's own objects have."""
    lines = generate_latest(registry).decode().splitlines()
    return sorted(line for line in lines if "_created" not in line)


@given(st.lists(REQUESTS, max_size=30), st.lists(DECISIONS, max_size=10), st.lists(DURATIONS, max_size=30))
def test_the_exposition_is_that_of_the_library(
    requests: list[tuple[str, int, float]], decisions: list[tuple[bool, str, int]], durations: list[float]
) -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    metrics = RequestMetrics()
    ours.register(metrics)
    labels = ("route", "status")
    counter = Counter("aizen_requests", "Responses by route and status.", labels, registry=theirs)
    seconds = Histogram(
        "aizen_request_seconds", "Time to respond, by route.", ("route",), registry=theirs, buckets=BUCKETS
    )
    decided = Counter("aizen_decisions", "Decisions by outcome and reason.", ("outcome", "reason"), registry=theirs)
    text = "Time from a decision request to its recorded decision."
    decision_seconds = Histogram("aizen_decision_seconds", text, registry=theirs, buckets=BUCKETS)
    for route, status, duration in requests:
        metrics.count_request(route, status, duration)
        counter.labels(route, str(status)).inc()
        seconds.labels(route).observe(duration)
    for allowed, reason, count in decisions:
        metrics.count_decision(allowed, reason, count)
        decided.labels("allow" if allowed else "deny", reason).inc(count)
    for duration in durations:
        metrics.observe_decision_seconds(duration)
        decision_seconds.observe(duration)
    assert exposition(ours) == exposition(theirs)

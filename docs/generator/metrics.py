"""The page of all metrics, from the families that the service registers."""

from __future__ import annotations

from prometheus_client.core import Metric

from aizen_hub.service.runtime.gauges import GAUGE_TEXTS
from aizen_hub.service.runtime.metrics import Metrics
from docs.generator.markdown import NOTICE, escape_cell, format_code, format_table

_INTRODUCTION = """\
# Metrics

`GET /metrics` at the service's own address, or at `metrics.port`, answers in the Prometheus text format. Counters end
in `_total`; histograms have `_bucket`, `_sum` and `_count`. Label values are constants of the code, never text of a
request. The dashboard and the alerts in `deploy/grafana` use these names.
"""


def metric_families() -> list[Metric]:
    """Return all families, sorted by name."""
    metrics = Metrics()
    for name in GAUGE_TEXTS:
        metrics.add_gauge(name, lambda: 0.0)
    return sorted(metrics.families(), key=lambda family: family.name)


def build_metrics_page() -> str:
    """Return the page."""
    rows = [
        (format_code(_exposed_name(family)), family.type, escape_cell(family.documentation))
        for family in metric_families()
    ]
    return "\n".join([NOTICE, _INTRODUCTION, format_table(("metric", "type", "meaning"), rows)])


def _exposed_name(family: Metric) -> str:
    return f"{family.name}_total" if family.type == "counter" else family.name

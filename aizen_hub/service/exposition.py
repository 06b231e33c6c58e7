"""The metrics as Prometheus reads them."""

from __future__ import annotations

from aizen_hub.service.auth.rate_limits import TokenBuckets
from aizen_hub.service.runtime.metrics import Metrics

SCRAPES_PER_SECOND, SCRAPE_BURST = 10.0, 20


class MetricsExposition:
    """Computes the metrics ten times a second at most; more frequent readers get the last result (R125).

    Parameters
    ----------
    metrics : Metrics
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._rate = TokenBuckets(SCRAPES_PER_SECOND, SCRAPE_BURST)
        self._content = b""

    @property
    def content_type(self) -> str:
        return self._metrics.content_type

    def read(self) -> bytes:
        if not self._rate.take(""):
            self._content = self._metrics.exposition()
        return self._content

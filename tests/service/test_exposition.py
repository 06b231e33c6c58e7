"""How often the metrics are computed."""

from __future__ import annotations

import pytest

from aizen_hub.service.auth.rate_limits import TokenBuckets
from aizen_hub.service.exposition import SCRAPE_BURST
from tests.service.conftest import Driver


@pytest.mark.proves("R125")
async def test_metrics_are_not_computed_for_every_request(service: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service.context.exposition, "_rate", TokenBuckets(1e-6, SCRAPE_BURST))
    pages = {(await service.call("GET", "/metrics")).body for _ in range(60)}
    assert len(pages) == SCRAPE_BURST

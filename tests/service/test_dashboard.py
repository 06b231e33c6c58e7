"""The Grafana dashboard asks for nothing that a service does not tell."""

from __future__ import annotations

import json
import re
from pathlib import Path

from tests.service.conftest import Driver

DEPLOY = Path(__file__).parents[2] / "deploy" / "grafana"
_NAME = re.compile(r"\baizen_[a-z_]+")
_SUFFIXES = ("_bucket", "_sum", "_count", "_total")


def _family(name: str) -> str:
    return next((name.removesuffix(end) for end in _SUFFIXES if name.endswith(end)), name)


async def test_every_figure_of_the_dashboard_is_on_the_metrics_page(service: Driver) -> None:
    eve = await service.open("eve")
    await service.command(eve, "start training churn")
    await service.renew(eve)
    page = (await service.call("GET", "/metrics")).body.decode()
    told = {_family(line.split()[2]) for line in page.splitlines() if line.startswith("# TYPE")}
    board = json.loads((DEPLOY / "dashboard.json").read_text())
    asked = {_family(one) for panel in board["panels"] for t in panel["targets"] for one in _NAME.findall(t["expr"])}
    asked |= {_family(one) for one in _NAME.findall((DEPLOY / "README.md").read_text())}
    assert asked
    assert asked <= told
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    samples = dict(line.rsplit(" ", 1) for line in page.splitlines() if line and not line.startswith("#"))
    assert float(samples["aizen_decision_seconds_count"]) >= 1
    assert float(samples['aizen_decisions_total{outcome="allow",reason="granted"}']) >= 1

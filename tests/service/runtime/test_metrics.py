"""Dashboard and alerts use only metrics that exist, and the dashboard shows every metric."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from aizen_hub.service.context import ServiceContext
from tests.service.conftest import Driver

DEPLOY = Path(__file__).parents[3] / "deploy" / "grafana"
BOARD = json.loads((DEPLOY / "dashboard.json").read_text())
ALERTS = [rule for group in yaml.safe_load((DEPLOY / "alerts.yaml").read_text())["groups"] for rule in group["rules"]]
LEFT_OUT: frozenset[str] = frozenset()
"""Families that the dashboard need not show."""
OF_PROMETHEUS = {"instance", "le"}
_NAME = re.compile(r"\baizen_[a-z_]+")
_BY = re.compile(r"\bby \(([a-z_, ]+)\)")
_CHOSEN = re.compile(r'([a-z_]+)="([^"]*)"')
_SHOWN = re.compile(r"\{\{ *(?:\$labels\.)?([a-z_]+) *\}\}")


def exported_families(context: ServiceContext) -> dict[str, set[str]]:
    """Every family and its labels."""
    return {
        family.name: set(getattr(collector, "_labelnames", getattr(family, "_labelnames", ())))
        for collector in context.metrics._registry._collector_to_names
        for family in collector.describe()
    }


def family(name: str, exported: dict[str, set[str]]) -> str:
    ends = ("", "_total", "_bucket", "_sum", "_count")
    return next((bare for end in ends if (bare := name.removesuffix(end)) in exported), name)


def expressions() -> Iterator[tuple[str, list[str]]]:
    """Every expression, with the texts that name labels of its result."""
    for panel in BOARD["panels"]:
        for target in panel["targets"]:
            yield target["expr"], [target["legendFormat"]]
    for rule in ALERTS:
        yield rule["expr"], list(rule["annotations"].values())


async def test_every_metric_that_is_used_exists(service: Driver) -> None:
    exported = exported_families(service.context)
    page = (await service.call("GET", "/metrics")).body.decode()
    on_page = {line.split()[2] for line in page.splitlines() if line.startswith("# TYPE")}
    assert {family(name, exported) for name in on_page if not name.endswith("_created")} == set(exported)
    for expression, texts in expressions():
        (name,) = {family(used, exported) for used in _NAME.findall(expression)}
        assert name in exported, expression
        by = {label.strip() for group in _BY.findall(expression) for label in group.split(",")}
        chosen = {label for label, _ in _CHOSEN.findall(expression)}
        assert by | chosen <= exported[name] | OF_PROMETHEUS, expression
        summed = "sum" in expression or "max(" in expression
        shown = {label for text in texts for label in _SHOWN.findall(text)}
        assert shown <= (by if summed else exported[name] | OF_PROMETHEUS), expression


async def test_every_metric_is_on_the_dashboard(service: Driver) -> None:
    exported = exported_families(service.context)
    used = [target["expr"] for panel in BOARD["panels"] for target in panel["targets"]]
    shown = {family(name, exported) for expression in used for name in _NAME.findall(expression)}
    assert set(exported) - shown == LEFT_OUT


async def test_metrics_are_counted(service: Driver) -> None:
    eve = await service.open("eve")
    await service.command(eve, "start training churn")
    page = (await service.call("GET", "/metrics")).body.decode()
    samples = dict(line.rsplit(" ", 1) for line in page.splitlines() if line and not line.startswith("#"))
    assert float(samples["aizen_decision_seconds_count"]) >= 1
    assert float(samples['aizen_decisions_total{outcome="allow",reason="granted"}']) >= 1
    assert float(samples['aizen_sessions_total{event="opened"}']) == 1
    assert float(samples["aizen_checkpoint_age_seconds"]) >= 0


def overlap(first: dict[str, int], other: dict[str, int]) -> bool:
    return all(
        first[start] < other[start] + other[length] and other[start] < first[start] + first[length]
        for start, length in (("x", "w"), ("y", "h"))
    )


def test_panels_do_not_overlap() -> None:
    panels: list[dict[str, Any]] = BOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in panels)
    assert not any(overlap(first["gridPos"], other["gridPos"]) for first, other in combinations(panels, 2))


@pytest.mark.proves("R7", "R96", "R135")
@pytest.mark.parametrize("name", ["aizen_sealed", "aizen_checkpoint_age_seconds", "aizen_clock_offset_seconds"])
def test_conditions_that_stop_a_service_raise_an_alert(name: str) -> None:
    assert any(name in rule["expr"] for rule in ALERTS)

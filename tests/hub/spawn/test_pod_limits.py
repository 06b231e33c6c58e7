"""Quantities of Kubernetes, and the limits of roles over them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from kubernetes_asyncio.client import V1Container, V1ResourceRequirements

from aizen_hub.hub.spawn.pod_limits import bound_resources, parse_quantity
from aizen_hub.hub.spawn.resource_limits import ResourceLimits

GIB = 2**30


@pytest.mark.parametrize(
    ("text", "number"),
    [
        (None, 0),
        (0, 0),
        ("500m", 0.5),
        ("1.5", 1.5),
        ("1G", 1e9),
        ("1Gi", GIB),
        ("2e3", 2_000),
        ("64k", 64_000),
        (7, 7),
    ],
)
def test_a_quantity(text: Any, number: float) -> None:
    assert parse_quantity(text) == number


@pytest.mark.parametrize("text", ["", "1 G", "G", "-1", "1Q", "1Gi\n", "1.2.3"])
def test_no_quantity(text: str) -> None:
    with pytest.raises(ValueError, match=r"quantity|float"):
        parse_quantity(text)


def bounded(limits: Any, requests: Any, *, alone: bool = False) -> tuple[dict[str, Any], dict[str, Any]]:
    container = V1Container(name="notebook", resources=V1ResourceRequirements(limits=limits, requests=requests))
    ceilings = SimpleNamespace(
        memory=GIB, cpu=None, sets_memory_alone=lambda: alone, sets_cpu_alone=lambda: False
    )  # of a role
    bound_resources(container, cast(ResourceLimits, ceilings))
    return container.resources.limits, container.resources.requests


@pytest.mark.proves("R138")
def test_the_strictest_limit_and_no_request_above_it() -> None:
    own = str(GIB)
    assert bounded({"memory": "8Gi", "cpu": "4"}, {"memory": "2Gi"}) == ({"memory": own, "cpu": "4"}, {"memory": own})
    assert bounded({"memory": "512Mi"}, {"memory": "1G"}) == ({"memory": "512Mi"}, {"memory": "1G"})
    assert bounded(None, None) == ({"memory": own}, {})
    assert bounded({"memory": 0}, {}) == ({"memory": own}, {})


def test_a_limit_of_a_role_reserves_nothing() -> None:
    assert bounded({"memory": GIB}, None, alone=True) == ({"memory": GIB}, {"memory": "0"})
    assert bounded({"memory": GIB}, {"memory": "256Mi"}, alone=True) == ({"memory": GIB}, {"memory": "256Mi"})

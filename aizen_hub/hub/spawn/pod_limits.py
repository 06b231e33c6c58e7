"""Limits of roles in the resources of a container, whatever wrote them there."""

from __future__ import annotations

import re
from typing import Any

from kubernetes_asyncio.client import V1ResourceRequirements

from aizen_hub.hub.spawn.resource_limits import ResourceLimits

_QUANTITY = re.compile(r"([0-9.]+)(?:([eE][0-9]+)|(m|k|[KMGTPE]i?))?")
_DECIMAL = {"": 1.0, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18}
_BINARY = {f"{prefix}i": 2.0 ** (10 * power) for power, prefix in enumerate("KMGTPE", 1)}


def bound_resources(container: Any, limits: ResourceLimits) -> None:
    """Lower the limits and requests of a container to those of roles.

    A limit without a request would reserve all of it on a node: where only a role sets the limit, nothing is requested.
    """
    resources = container.resources or V1ResourceRequirements()
    resources.limits, resources.requests = dict(resources.limits or {}), dict(resources.requests or {})
    for name, ceiling, is_alone in (
        ("memory", limits.memory, limits.sets_memory_alone()),
        ("cpu", limits.cpu, limits.sets_cpu_alone()),
    ):
        if ceiling is None:
            continue
        if not 0 < parse_quantity(resources.limits.get(name)) <= ceiling:
            resources.limits[name] = str(ceiling)
        if parse_quantity(resources.requests.get(name)) > ceiling:
            resources.requests[name] = str(ceiling)
        if is_alone:
            resources.requests.setdefault(name, "0")
    container.resources = resources


def parse_quantity(value: Any) -> float:
    """Return a quantity of Kubernetes as a number, 0 for none.

    Raises
    ------
    ValueError
        It is none.
    """
    if value is None or isinstance(value, int | float):
        return float(value or 0)
    match = _QUANTITY.fullmatch(str(value))
    if match is None:
        raise ValueError(f"`{value}` is no quantity")
    number, exponent, unit = match.groups()
    return float(number + (exponent or "")) * {**_DECIMAL, **_BINARY}[unit or ""]

"""The limits of roles, over what operators configure and users choose, on the real classes of spawners."""

from __future__ import annotations

from typing import Any

import pytest
from dockerspawner import DockerSpawner
from jupyterhub.spawner import SimpleLocalProcessSpawner
from kubespawner import KubeSpawner
from traitlets.config import Config

from aizen_hub.hub.spawn.resource_limits import ResourceLimits

GIB = 2**30
pytestmark = pytest.mark.usefixtures("kube_config")
TRAITS = ("mem_limit", "mem_guarantee", "cpu_limit", "cpu_guarantee")


def kube_spawner(**configured: Any) -> KubeSpawner:
    config = Config()
    config.KubeSpawner.update(configured)
    return KubeSpawner(config=config, _mock=True)


def values_of(spawner: Any) -> tuple[Any, ...]:
    return tuple(getattr(spawner, name) for name in TRAITS)


@pytest.mark.parametrize(
    ("configured", "memory", "cpu", "expected"),
    [
        ({}, None, None, (None, None, None, None)),
        ({}, GIB, 2, (GIB, None, 2, None)),
        ({"mem_limit": "2G", "mem_guarantee": "1G"}, GIB / 2, None, (GIB / 2, GIB / 2, None, None)),
        ({"mem_limit": "1G", "cpu_limit": 1.0}, 8 * GIB, 4, (GIB, None, 1, None)),
        ({"mem_guarantee": "1G", "cpu_guarantee": 2.0}, GIB / 2, 0.5, (GIB / 2, GIB / 2, 0.5, 0.5)),
        ({"mem_limit": 0, "mem_guarantee": "256M"}, GIB, None, (GIB, 2**28, None, None)),
    ],
)
@pytest.mark.proves("R138")
async def test_the_strictest_limit_applies_and_guarantees_with_it(
    configured: dict[str, Any], memory: float | None, cpu: float | None, expected: tuple[Any, ...]
) -> None:
    spawner = kube_spawner(**configured)
    ResourceLimits(spawner).set_ceilings(memory, cpu)
    assert values_of(spawner) == expected


@pytest.mark.proves("R138")
async def test_a_profile_cannot_exceed_the_limits_of_roles() -> None:
    large = {"mem_limit": "8G", "mem_guarantee": "4G", "cpu_limit": 16, "cpu_guarantee": 8}
    small = {"mem_limit": "256M", "cpu_limit": 0.5}
    profiles = [
        {"display_name": "Large", "slug": "large", "kubespawner_override": large},
        {"display_name": "Small", "slug": "small", "kubespawner_override": small},
    ]
    spawner = kube_spawner(profile_list=profiles)
    limits = ResourceLimits(spawner)
    for profile, expected in (("large", (GIB, GIB, 2, 2)), ("small", (2**28, None, 0.5, None))):
        limits.set_ceilings(GIB, 2)
        spawner.user_options = {"project": "churn", "profile": profile}
        await spawner.load_user_options()
        assert values_of(spawner) == expected


async def test_the_limits_of_the_last_start_are_gone_in_the_next() -> None:
    spawner = kube_spawner(mem_limit="2G")
    limits = ResourceLimits(spawner)
    limits.set_ceilings(GIB, 1)
    limits.set_ceilings(None, None)
    assert values_of(spawner) == (2 * GIB, None, None, None)
    spawner.mem_limit = "4G"
    assert spawner.mem_limit == 4 * GIB


def test_the_functions_of_docker_spawner() -> None:
    config = Config()
    config.DockerSpawner.mem_limit = lambda spawner: "4G"
    config.DockerSpawner.cpu_limit = lambda spawner: 3
    spawner = DockerSpawner(config=config)
    limits = ResourceLimits(spawner)
    limits.set_ceilings(GIB, 2)
    assert (spawner.mem_limit, spawner.cpu_limit) == (GIB, 2)
    limits.set_ceilings(8 * GIB, None)
    assert (spawner.mem_limit, spawner.cpu_limit) == (4 * GIB, 3)


def test_a_spawner_without_limits_of_its_own() -> None:
    spawner = SimpleLocalProcessSpawner()
    ResourceLimits(spawner).set_ceilings(GIB, None)
    assert spawner.mem_limit == GIB

"""Profiles and projects on one page: the forms of the real classes of spawners."""

from __future__ import annotations

from typing import Any

import pytest
from jupyterhub.spawner import SimpleLocalProcessSpawner
from kubespawner import KubeSpawner
from traitlets.config import Config

from aizen_hub.hub.spawn.options_form import options_form, options_from_form
from aizen_hub.hub.spawn.spawner_form import render_spawner_form

pytestmark = pytest.mark.usefixtures("kube_config")


def with_profiles() -> KubeSpawner:
    config = Config()
    config.KubeSpawner.profile_list = [
        {"display_name": "Small", "slug": "small", "profile_options": {"image": {"choices": {"r": {}, "python": {}}}}},
        {"display_name": "Large", "slug": "large"},
    ]
    config.Spawner.options_form = options_form
    return KubeSpawner(config=config, _mock=True)


async def test_the_profiles_are_part_of_the_page() -> None:
    form = await render_spawner_form(with_profiles())
    assert 'value="small"' in form
    assert 'value="large"' in form


async def test_a_spawner_without_a_form() -> None:
    assert await render_spawner_form(SimpleLocalProcessSpawner()) == ""


async def test_project_and_profile_of_one_form() -> None:
    form: dict[str, Any] = {
        "project": ["churn"],
        "profile": ["small"],
        "profile-option-small--image": ["r"],
        "mem_limit": ["8G"],
    }
    assert options_from_form(form, with_profiles()) == {"project": "churn", "profile": "small", "image": "r"}
    form = {"project": ["a", "b"], "other": ["x"]}
    assert options_from_form(form, SimpleLocalProcessSpawner()) == form

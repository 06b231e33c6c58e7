"""The spawn form: cards, the field to search them, and what cannot be started. The hub and the service stand in here;
tests/hub/running opens the form of a real hub."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from aizen_hub.api_models.sessions import SpawnOptionsResponse
from aizen_hub.hub.spawn.options_form import options_form


def spawner_with(options: dict[str, Any], last: str | None = None) -> Any:
    async def get_spawn_options(user: str) -> SpawnOptionsResponse:
        return SpawnOptionsResponse.model_validate(options)

    stored = {} if last is None else {"project": last}
    return SimpleNamespace(
        authenticator=SimpleNamespace(service=SimpleNamespace(get_spawn_options=get_spawn_options)),
        user=SimpleNamespace(name="rita"),
        orm_spawner=SimpleNamespace(user_options=stored),
        hub=SimpleNamespace(base_url="/hub/"),
        trait_defaults=lambda name: "",
    )


def project(name: str, *roles: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "roles": list(roles), **more}


@pytest.mark.parametrize(("number", "searchable"), [(7, False), (8, True)])
async def test_a_search_from_eight_projects_on(number: int, searchable: bool) -> None:
    projects = [project(f"p{index}", "PROJECT_READER") for index in range(number)]
    form = await options_form(spawner_with({"projects": projects}))
    assert ('id="aizen-search"' in form) is searchable


async def test_the_last_choice_is_first_and_chosen() -> None:
    projects = [project("churn", "PROJECT_READER"), project("vision", "PROJECT_READER")]
    form = await options_form(spawner_with({"projects": projects}, last="vision"))
    assert form.index('value="vision" checked') < form.index('value="churn"')


async def test_an_admin_without_a_role_in_projects_starts_without_one() -> None:
    options = {"projects": [project("churn"), project("vision")], "system_session": True}
    form = await options_form(spawner_with(options, last="churn"))
    assert 'id="aizen-project-none" value="" checked' in form
    assert "2 more projects" in form


async def test_what_cannot_be_started_has_its_reason_and_no_button() -> None:
    unavailable = [
        {"name": "fraud", "description": "<b>cards</b>", "reason": "You have no role here.", "may_ask": True},
        {"name": "old", "reason": "It is stopped by an administrator."},
    ]
    form = await options_form(spawner_with({"projects": [project("churn", "R")], "unavailable": unavailable}))
    assert 'href="/services/aizen/me/ask?project=fraud"' in form
    assert "&lt;b&gt;cards" in form
    assert 'value="fraud"' not in form
    assert "project=old" not in form


async def test_a_card_tells_what_the_role_means_and_what_is_used() -> None:
    card = project("churn", "R", role_texts=["look at everything"], limits={"jobs": 5, "memory": 2**31}, running_jobs=3)
    form = await options_form(spawner_with({"projects": [card]}))
    assert "You may: look at everything" in form
    assert "3 of 5 jobs running" in form
    assert "2 GiB memory" in form
    assert "Your project" in form

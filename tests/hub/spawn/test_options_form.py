"""The spawn form: cards, the field to search them, and what cannot be started. The hub and the service stand in here;
tests/hub/running opens the form of a real hub."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import pytest

from aizen_hub.api_models.sessions import SpawnOptionsResponse
from aizen_hub.hub.spawn.options_form import options_form, request_fields


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
    return {"name": name, "roles": [{"name": role} for role in roles], **more}


@pytest.mark.parametrize(("number", "searchable"), [(7, False), (8, True)])
async def test_a_search_from_eight_projects_on(number: int, searchable: bool) -> None:
    projects = [project(f"p{index}", "PROJECT_READER") for index in range(number)]
    form = await options_form(spawner_with({"projects": projects}))
    assert ('id="aizen-search"' in form) is searchable


async def test_what_is_found_by_name_and_description() -> None:
    projects = [project("churn", "R", description="Who leaves?"), project("vision", "R"), project("speech")]
    projects += [project(f"p{number}", "R") for number in range(6)]
    unavailable = [{"name": "old", "description": "Leaves of trees", "reason": "It is archived."}]
    spawner = spawner_with({"projects": projects, "unavailable": unavailable})
    form = await options_form(spawner, search="LEAVES")
    assert re.findall(r'data-aizen-card="(\w+)', form) == ["churn", "old"]
    assert "2 found" in form
    assert 'href="/hub/spawn/rita"' in form
    assert "<script>" not in form, "the field of the page is not that of the script"
    assert " open>" in await options_form(spawner, search="speech"), "also among those without a role"
    nothing = await options_form(spawner, search='<b>"')
    assert 'class="aizen-nothing-found"' in nothing
    assert "<b>" not in nothing
    assert "<noscript>" in await options_form(spawner)


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
    role = {"name": "R", "text": "look at everything", "ends": "2027-01-31T09:00:00Z"}
    limits = [
        {"kind": "jobs", "label": "Jobs at once", "value": 5, "used": 3},
        {"kind": "memory", "label": "Memory of each server", "value": 2**31},
    ]
    card = {
        "name": "churn",
        "roles": [role],
        "limits": limits,
        "running_servers": 1,
        "last_used": "2026-11-03T09:00:00Z",
    }
    form = await options_form(spawner_with({"projects": [card, project("vision", "R")]}))
    assert "You may: look at everything" in form
    assert "until 31 Jan 2027" in form
    assert "1 of your servers runs here, 3 of 5 jobs running, 2 GiB of memory for each server" in form
    assert "last used 3 Nov 2026" in form


@pytest.mark.parametrize(
    ("options", "value"),
    [({"projects": [project("churn", "R")]}, "churn"), ({"system_session": True}, "")],
)
async def test_where_there_is_one_choice_nothing_is_chosen(options: dict[str, Any], value: str) -> None:
    form = await options_form(spawner_with({**options, "unavailable": [{"name": "old", "reason": "It is stopped."}]}))
    assert f'<input type="hidden" name="project" value="{value}">' in form
    assert 'type="radio"' not in form
    assert 'data-aizen-unavailable="old"' in form


async def test_without_anything_to_start_it_is_a_request_for_access() -> None:
    listed = [{"name": "fraud", "description": "<b>cards</b>", "reason": "You have no role here.", "may_ask": True}]
    roles = [{"name": "PROJECT_READER", "text": "look at everything"}, {"name": "PROJECT_EXECUTOR"}]
    pending = [{"role": "PROJECT_READER", "project": "churn", "sent": "2026-11-03T09:00:00Z"}]
    form = await options_form(
        spawner_with({"unavailable": listed, "askable_roles": roles, "pending_requests": pending})
    )
    assert re.findall(r'name="(\w+)"', form) == ["project", *["role"] * 2, *["duration"] * 4, "because"]
    assert '<option value="fraud">&lt;b&gt;cards&lt;/b&gt;</option>' in form
    assert "<strong>PROJECT_READER</strong> in churn, asked for on 3 Nov 2026" in form
    assert "you have no role in any project." in form


async def test_a_role_in_a_stopped_project_is_not_denied() -> None:
    stopped = [{"name": "old", "reason": "It is stopped by an administrator."}]
    form = await options_form(spawner_with({"unavailable": stopped, "askable_roles": [{"name": "PROJECT_READER"}]}))
    assert "<strong>old</strong>: It is stopped by an administrator." in form
    assert "you have no role in any other project." in form


async def test_a_refused_request_is_shown_with_what_was_typed() -> None:
    options = SpawnOptionsResponse.model_validate({"askable_roles": [{"name": "PROJECT_READER"}]})
    typed = {"project": '"><script>', "role": "PROJECT_READER", "duration": "7d", "because": "<b>"}
    form = request_fields(options, "rita", typed, "There is no <such> project.")
    assert 'value="&#34;&gt;&lt;script&gt;"' in form
    assert 'value="PROJECT_READER" checked' in form
    assert 'value="7d" checked' in form
    assert 'value="&lt;b&gt;"' in form
    assert "There is no &lt;such&gt; project." in form

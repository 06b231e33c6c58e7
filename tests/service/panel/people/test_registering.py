"""Registering a person: with a role in a project until a date, a link, and errors beside their fields."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest

from aizen_hub.rbac.identity import Identity
from tests.fixtures.browser.panel import PanelService
from tests.service.panel.people.test_person import text_of


def roles_of(panel: PanelService, name: str) -> dict[tuple[str, str], object]:
    with panel.store.read() as tx:
        return {(held.role, held.scope): held.interval.ends for held in tx.rights(Identity.user(name)).held_roles}


def test_a_person_is_registered_with_a_link_that_is_shown_once(panel: PanelService) -> None:
    form = {"name": "nora", "display_name": "Nora Nilsson", "email": "nora@acme.example", "provider": "local"}
    response = panel.post("boss", "people/-/new", form)
    assert response.status == 200
    assert re.search(r"/services/aizen/activate#\S+", response.body.decode())
    assert "Not activated" in text_of(panel.get("boss", "people/nora"))


def test_an_admin_role_in_a_project_for_a_week(panel: PanelService) -> None:
    form = {"name": "ivan", "provider": "lab", "project": "p1", "project_role": "PROJECT_ADMIN", "until": "7d"}
    panel.sign_in_again("boss")
    assert panel.post("boss", "people/-/new", form).status == 303
    with panel.store.read() as tx:
        now = tx.now
    ends = roles_of(panel, "ivan")["PROJECT_ADMIN", "p1"]
    assert timedelta(days=6) < ends - now <= timedelta(days=7)  # type: ignore[operator]


@pytest.mark.parametrize(
    ("form", "field", "text"),
    [
        ({"name": ""}, "name", ""),
        ({"name": "rob"}, "name", "There is already a user called"),
        ({"name": "not a name"}, "", ""),
        ({"name": "uma", "email": "nowhere"}, "", "not an e-mail address"),
        ({"name": "uma", "project": "p1"}, "project_role", "Choose a role in this project."),
        (
            {"name": "uma", "project": "p1", "project_role": "PROJECT_READER", "until": "none"},
            "project",
            "on the page Give a role",
        ),
        ({"name": "uma", "project": "nowhere", "project_role": "PROJECT_ADMIN", "until": "none"}, "", "nowhere"),
        ({"name": "uma", "provider": "moon"}, "", "moon"),
        ({"name": "uma", "delivery": "mail", "provider": "local"}, "email", "without a mail address"),
    ],
)
def test_an_error_changes_nothing_and_keeps_what_was_typed(
    panel: PanelService, form: dict[str, str], field: str, text: str
) -> None:
    panel.sign_in_again("boss")
    response = panel.post("boss", "people/-/new", {"display_name": "Typed before", **form})
    page = response.body.decode()
    assert response.status == 422
    assert 'value="Typed before"' in page
    assert text in text_of(page)
    if field:
        assert f'id="{field}-error"' in page
    assert panel.run(panel.window("boss").get("people/uma")).status == 404


@pytest.mark.parametrize("viewer", ["ada", "maker", "rob"])
def test_only_those_who_manage_users_register(panel: PanelService, viewer: str) -> None:
    assert panel.run(panel.window(viewer).get("people/-/new")).status == 404
    assert panel.post(viewer, "people/-/new", {"name": "uma", "provider": "lab"}).status == 403
    assert panel.run(panel.window("boss").get("people/uma")).status == 404


def test_only_roles_that_the_viewer_may_give_are_offered(panel: PanelService) -> None:
    page = panel.get("boss", "people/-/new")
    offered = set(re.findall(r'name="roles" id="role-(\w+)"', page))
    assert offered == {"PROJECT_CREATOR", "AIZEN_ADMIN"}

"""A new project in the panel."""

from __future__ import annotations

import pytest

from aizen_hub.accounts.projects import lookup
from aizen_hub.authorization import checks
from tests.fixtures.browser.panel import PanelService
from tests.service.panel.projects.objects import location, post, roles_of, seed, status, words

__all__ = ["seed"]
PAGE = "projects/-/new"


def test_a_project_with_its_first_members(panel: PanelService) -> None:
    form = {"name": "Forecast", "description": "Sales", "listed": "yes", "who": "eve, rob", "role": "PROJECT_EXECUTOR"}
    assert location(post(panel, "maker", PAGE, **form)) == "projects/forecast"
    assert roles_of(panel, "maker", "forecast") == {"PROJECT_ADMIN"}
    assert roles_of(panel, "eve", "forecast") == {"PROJECT_EXECUTOR"}
    with panel.store.read() as tx:
        row = lookup.get_project(tx, "forecast")
    assert (row.description, row.listed) == ("Sales", True)
    assert "forecast was made." in words(panel.get("maker", "projects/forecast"))


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": "churn"}, "name"),
        ({"name": "not a name!"}, "name"),
        ({"name": ""}, "name"),
        ({"name": "vision", "who": "ghost", "role": "PROJECT_READER"}, "who"),
    ],
)
def test_errors_beside_their_fields(panel: PanelService, fields: dict[str, str], field: str) -> None:
    response = post(panel, "maker", PAGE, description="kept", **fields)
    assert response.status == 422
    assert f'id="{field}-error"' in response.body.decode()
    assert 'value="kept"' in response.body.decode()
    with panel.store.read() as tx:
        assert not checks.project_exists(tx, "vision")


def test_all_errors_at_once_with_the_way_out(panel: PanelService) -> None:
    response = post(panel, "maker", PAGE, name="p1", who="ewe, rob", role="PROJECT_READER")
    assert response.status == 422
    page = response.body.decode()
    assert "2 fields need another look" in page
    assert 'id="name-error"' in page
    assert "there is no ewe, did you mean eve?" in page.lower()
    assert 'value="ewe, rob"' in page, "what was typed stays"


@pytest.mark.proves("R60")
@pytest.mark.parametrize("user", ["boss", "paul", "nil"])
def test_only_creators(panel: PanelService, user: str) -> None:
    assert status(panel, user, PAGE) == 403
    assert post(panel, user, PAGE, name="mine").status == 403

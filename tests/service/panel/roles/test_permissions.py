"""Named permissions and limits in the panel."""

from __future__ import annotations

import pytest

from aizen_hub.accounts.roles import assignments
from aizen_hub.accounts.users import registration
from aizen_hub.rbac.assignment import Interval
from aizen_hub.rbac.identity import Identity
from aizen_hub.service.factory import SERVICE_ACTOR
from tests.fixtures.browser.panel import PanelService
from tests.service.panel.projects.objects import location, post, seed, status, words

__all__ = ["seed"]


def test_a_limit_is_made_and_deleted(panel: PanelService) -> None:
    form = {"name": "5 Project Limit", "limit": "projects", "value": "5", "description": "Five at most"}
    assert location(post(panel, "boss", "permissions", **form)) == "permissions"
    content = words(panel.get("boss", "permissions"))
    assert "5 Project Limit Five at most" in content
    assert "projects: 5" in content
    assert location(post(panel, "boss", "permissions/delete", name="5 Project Limit")) == "permissions"
    assert "Five at most" not in words(panel.get("boss", "permissions"))


@pytest.mark.proves("R60")
def test_a_deletion_says_who_loses_what_and_deletes_nothing(panel: PanelService) -> None:
    post(panel, "boss", "permissions", name="Label sets", right="write:dataset")
    post(panel, "boss", "permissions", name="7 Job Limit", limit="jobs", value="7")
    free = words(panel.get("boss", "permissions/delete?name=7+job+limit"))
    assert "No one loses a right, and no one's limit changes" in free
    assert "Delete 7 Job Limit" in free
    assert "Who has it by this role now: no one" in words(panel.get("boss", "permissions/delete?name=Label+sets"))
    names = [f"n{number}" for number in range(9)]
    with panel.store.write(SERVICE_ACTOR) as tx:
        for name in names:
            registration.create_user(tx, name, provider="lab")
            holder = Identity.user(name)
            assignments.unauthorized_write_assignment(
                tx, "LABELLER", "churn", holder, interval=Interval(), reason="seeded"
            )
    held = panel.get("boss", "permissions/delete?name=Label+sets")
    assert "It cannot be deleted until it is taken out of the custom roles that contain it: LABELLER" in words(held)
    assert [name for name in names if f"people/{name}" in held] == names[:8]
    assert "and 1 more" in words(held)
    assert "<button" not in held.partition('id="effect"')[2].partition("</section>")[0]
    assert "Label sets" in panel.get("boss", "permissions")


@pytest.mark.proves("R60", "R72")
@pytest.mark.parametrize("name", ["Label+sets", "nothing"])
def test_others_do_not_learn_who_has_what(panel: PanelService, name: str) -> None:
    assert status(panel, "paul", f"permissions/delete?name={name}") == 403


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ({"name": "X", "limit": "jobs", "value": "many"}, "write the number"),
        ({"name": "X", "right": "fly:dataset"}, "nothing in this catalog requires"),
        ({"name": "read", "right": "read:dataset"}, "looks like"),
        ({"name": "X"}, "either a right"),
    ],
)
def test_errors(panel: PanelService, form: dict[str, str], text: str) -> None:
    response = post(panel, "boss", "permissions", **form)
    assert response.status == 422
    assert text in response.body.decode().lower() or text in words(response.body.decode()).lower()


@pytest.mark.proves("R60")
def test_others_read_and_do_not_change(panel: PanelService) -> None:
    assert "New permission" not in panel.get("paul", "permissions")
    assert post(panel, "paul", "permissions", name="X", right="read:dataset").status == 403
    assert post(panel, "paul", "permissions/delete", name="read").status == 403

"""Giving a role in one sentence: what is offered, previewed, refused, given and undone."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest

from tests.fixtures.browser.panel import PanelService
from tests.service.panel.projects.objects import location, post, roles_of, seed, undo, words

__all__ = ["seed"]


def preview(panel: PanelService, user: str, **fields: str) -> str:
    return words(panel.get(user, f"give?{urlencode(fields)}"))


def test_a_role_is_given_and_undone(panel: PanelService) -> None:
    form = {"role": "PROJECT_READER", "to": "eve", "project": "churn", "until": "7d", "because": "campaign"}
    assert location(post(panel, "paul", "give", **form)) == "projects/churn"
    assert roles_of(panel, "eve") == {"PROJECT_READER"}
    assert "eve has PROJECT_READER in churn." in words(panel.get("paul", "roles"))
    form |= {"role": "PROJECT_EXECUTOR", "to": "eve, nil"}
    post(panel, "paul", "give", **form)
    undo(panel, "paul", "projects/churn")
    assert (roles_of(panel, "eve"), roles_of(panel, "nil")) == ({"PROJECT_READER"}, set())


def test_the_sentence_is_filled_in_from_the_address(panel: PanelService) -> None:
    text = panel.get("paul", "give?role=PROJECT_EXECUTOR&to=rob&project=churn&because=Q4")
    assert '<option value="PROJECT_EXECUTOR" selected>' in text
    assert 'value="churn"' in text
    assert 'value="Q4"' in text
    content = words(text)
    assert "rob gets PROJECT_EXECUTOR" in content
    assert "commands more:" in content
    assert "Give to 1 account" in content


@pytest.mark.parametrize(
    ("user", "fields", "text"),
    [
        ("paul", {"role": "PROJECT_READER", "to": "rita", "until": "none"}, "has PROJECT_READER already"),
        ("paul", {"role": "PROJECT_READER", "to": "rita", "until": "7d"}, "this shortens it"),
        ("paul", {"role": "PROJECT_EXECUTOR", "to": "bea", "until": "none"}, "keeps PROJECT_EXECUTOR longer"),
        ("paul", {"role": "PROJECT_EXECUTOR", "to": "sam"}, "Has it through the group crew already"),
        ("paul", {"role": "PROJECT_ADMIN", "to": "paul"}, "cannot get PROJECT_ADMIN from you"),
        ("boss", {"role": "PROJECT_READER", "to": "eve"}, "carol or paul or maker may give it"),
        ("paul", {"role": "PROJECT_READER", "to": "ghost"}, "There is no ghost"),
        ("paul", {"role": "PROJECT_READER", "to": "rob", "project": "p1"}, "no such project"),
        ("boss", {"role": "PROJECT_CREATOR", "to": "rob"}, "May then give PROJECT_ADMIN"),
    ],
)
def test_the_preview_warns(panel: PanelService, user: str, fields: dict[str, str], text: str) -> None:
    assert text.lower() in preview(panel, user, **{"project": "churn", **fields}).lower()


def test_the_button_of_the_preview_gives_nothing(panel: PanelService) -> None:
    """It is sent by itself where no script shows the preview; the XSRF token of the form is in no address."""
    page = panel.get("paul", "give")
    assert 'name="act" value="preview"' in page
    assert "formmethod" not in page
    form = {"role": "PROJECT_EXECUTOR", "to": "nil", "project": "churn", "until": "7d", "because": "kept"}
    response = post(panel, "paul", "give", act="preview", **form)
    assert response.status == 200
    assert "nil gets PROJECT_EXECUTOR" in words(response.body.decode())
    assert 'value="kept"' in response.body.decode()
    assert "PROJECT_EXECUTOR" not in roles_of(panel, "nil")


def test_a_protected_role_asks_for_a_recent_sign_in(panel: PanelService) -> None:
    form = {"role": "AIZEN_ADMIN", "to": "eve", "until": "none"}
    assert "needs a recent sign-in" in preview(panel, "boss", **form)
    assert post(panel, "boss", "give", **form).status == 403
    panel.sign_in_again("boss")
    assert "needs a recent sign-in" not in preview(panel, "boss", **form)
    post(panel, "boss", "give", **form)
    assert "AIZEN_ADMIN" in roles_of(panel, "eve", "system")
    undo(panel, "boss", "roles")
    assert "AIZEN_ADMIN" not in roles_of(panel, "eve", "system")


@pytest.mark.proves("R66", "R72")
@pytest.mark.parametrize(
    ("user", "fields", "field"),
    [
        ("paul", {"role": "KING"}, "role"),
        ("paul", {"to": ""}, "to"),
        ("paul", {"project": ""}, "project"),
        ("paul", {"project": "p1"}, "project"),
        ("paul", {"until": ""}, "until"),
        ("nil", {}, "project"),
    ],
)
def test_refusals_stand_beside_their_fields(panel: PanelService, user: str, fields: dict[str, str], field: str) -> None:
    form = {"role": "PROJECT_READER", "to": "rob", "project": "churn", "until": "7d", "because": "kept", **fields}
    response = post(panel, user, "give", **form)
    assert response.status == 422
    if user == "paul":
        assert f'id="{field}-error"' in response.body.decode() or f'href="#{field}"' in response.body.decode()
    assert "PROJECT_READER" not in roles_of(panel, "rob")


def test_one_who_may_give_nothing_is_told_so(panel: PanelService) -> None:
    assert "no role that you may give" in preview(panel, "nil")


@pytest.mark.proves("R72")
@pytest.mark.parametrize("project", ["churn", ""])
def test_who_may_not_give_a_role_is_not_told_which_names_exist(panel: PanelService, project: str) -> None:
    role = "PROJECT_READER" if project else "AIZEN_ADMIN"
    form = {"role": role, "project": project, "until": "none"}
    window = panel.window("rita")
    own = {"X-XSRF-Token": panel.run(window.xsrf()), "HX-Request": "true", "Sec-Fetch-Mode": "cors"}
    previews, answers = set(), set()
    for name in ("eve", "rob", "group:crew", "ghost", "group:ghost"):
        query = urlencode({**form, "to": name})
        previews.add(panel.run(window.get(f"give?{query}", **own, **{"Sec-Fetch-Dest": "empty"})).body)
        response = post(panel, "rita", "give", to=name, **form)
        answers.add((response.status, words(response.body.decode())))
    assert len(previews) == len(answers) == 1
    assert b"you cannot give" in previews.pop().lower()

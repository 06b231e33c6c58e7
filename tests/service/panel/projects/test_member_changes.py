"""Adding, changing and taking away roles on the page of a project, with undo."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from aizen_hub.accounts.roles import assignments
from aizen_hub.rbac.identity import Identity
from tests.fixtures.browser.panel import PanelService, running_panel
from tests.service.panel.projects.objects import assignment_id, location, post, roles_of, seed, status, undo, words


@pytest.fixture(scope="module")
def panel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PanelService]:
    with running_panel(tmp_path_factory.mktemp("panel"), seed) as running:
        yield running


@pytest.fixture(autouse=True)
def restored(panel: PanelService) -> Iterator[None]:
    """Take away what a test gave to ``eve`` and ``rob``."""
    yield
    for name in ("eve", "rob", "nil"):
        for role in roles_of(panel, name):
            holder = Identity.user(name)
            panel.write(
                "carol",
                lambda tx, role=role, holder=holder: assignments.unauthorized_delete_assignment(
                    tx, role, "churn", holder
                ),
            )


def add(panel: PanelService, user: str = "paul", **fields: str) -> object:
    form = {"who": "eve, rob", "give_role": "PROJECT_READER", "until": "7d", "reason": "campaign", **fields}
    return post(panel, user, "projects/churn/members", **form)


def test_several_are_added_and_it_is_undone(panel: PanelService) -> None:
    assert location(add(panel)) == "projects/churn"  # type: ignore[arg-type]
    assert roles_of(panel, "eve") == roles_of(panel, "rob") == {"PROJECT_READER"}
    assert location(undo(panel, "paul", "projects/churn")) == "projects/churn"
    assert roles_of(panel, "eve") == roles_of(panel, "rob") == set()
    assert "Undone: gave PROJECT_READER in churn." in panel.get("paul", "projects/churn")


@pytest.mark.parametrize(
    ("fields", "field", "text"),
    [
        ({"who": ""}, "who", "name at least one"),
        ({"who": "eve, ritta"}, "who", "did you mean rita?"),
        ({"until": "date", "until_date": "yesterday"}, "until", "write a day"),
        ({"until": ""}, "until", "choose until when"),
    ],
)
def test_errors_stand_beside_their_fields_and_what_was_typed_stays(
    panel: PanelService, fields: dict[str, str], field: str, text: str
) -> None:
    response = add(panel, **fields)
    body = response.body.decode()  # type: ignore[attr-defined]
    assert response.status == 422  # type: ignore[attr-defined]
    assert f'id="{field}-error"' in body
    assert text in body.lower()
    assert 'value="campaign"' in body
    assert roles_of(panel, "eve") == set()


@pytest.mark.proves("R66")
@pytest.mark.parametrize(
    ("user", "fields", "expected"),
    [
        ("paul", {"who": "paul", "give_role": "PROJECT_READER"}, 422),
        ("boss", {"give_role": "PROJECT_READER"}, 422),
        ("rita", {}, 422),
        ("ada", {}, 422),
    ],
)
def test_a_grant_that_the_user_may_not_make(
    panel: PanelService, user: str, fields: dict[str, str], expected: int
) -> None:
    response = add(panel, user, **fields)
    assert response.status in (expected, 404)  # type: ignore[attr-defined]
    assert roles_of(panel, "eve") == set()


def test_a_form_without_the_token_of_its_page_changes_nothing(panel: PanelService) -> None:
    form = {"who": "eve", "give_role": "PROJECT_READER", "until": "7d", "xsrf": "wrong"}
    response = panel.run(panel.window("paul").post("projects/churn/members", form))
    assert response.status == 403
    assert roles_of(panel, "eve") == set()


def test_the_preview_names_who_gets_it_who_has_it_and_who_cannot(panel: PanelService) -> None:
    page = "projects/churn/members/-/preview?who=eve,rita,paul,ghost&give_role=PROJECT_READER&until=none"
    assert "There is no ghost" in words(panel.get("paul", page))
    content = words(panel.get("paul", page.replace(",ghost", "")))
    assert "eve : gets PROJECT_READER." in content
    assert "rita : has it already" in content
    assert "paul : you may not" in content


def test_a_role_is_changed_in_its_place_and_undone(panel: PanelService) -> None:
    add(panel, who="eve")
    number = assignment_id(panel, "user:eve", "PROJECT_READER")
    assert "Take PROJECT_READER away" in words(panel.get("paul", f"projects/churn/members/{number}"))
    form = {"new_role": "PROJECT_EXECUTOR", "until": "30d", "reason": ""}
    assert location(post(panel, "paul", f"projects/churn/members/{number}", **form)) == "projects/churn"
    assert roles_of(panel, "eve") == {"PROJECT_EXECUTOR"}
    undo(panel, "paul", "projects/churn")
    assert roles_of(panel, "eve") == {"PROJECT_READER"}


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"new_role": "PROJECT_ADMIN"}, "commands more:"),
        ({"new_role": "LABELLER"}, "commands less:"),
        ({"new_role": "PROJECT_EXECUTOR", "until": "8h"}, "for less time than now"),
        ({"new_role": "PROJECT_EXECUTOR", "until": "none"}, "longer than now"),
        ({"new_role": "NO_SUCH_ROLE"}, "NO_SUCH_ROLE"),
        ({"until": "date", "until_date": "2001-01-31"}, "this day has passed"),
    ],
)
def test_what_another_role_or_end_changes_is_shown_first(
    panel: PanelService, fields: dict[str, str], text: str
) -> None:
    page = f"projects/churn/members/{assignment_id(panel, 'user:bea', 'PROJECT_EXECUTOR')}"
    form = {"new_role": "PROJECT_EXECUTOR", "until": "7d", "act": "preview", **fields}
    response = post(panel, "paul", page, **form)
    assert response.status == 200
    preview = words(response.body.decode().partition('id="change-preview"')[2].partition("</form>")[0])
    assert text.lower() in preview.lower()
    assert roles_of(panel, "bea") == {"PROJECT_EXECUTOR"}


def test_a_role_is_taken_away_and_restored_with_its_end(panel: PanelService) -> None:
    add(panel, who="eve")
    number = assignment_id(panel, "user:eve", "PROJECT_READER")
    post(panel, "paul", f"projects/churn/members/{number}/remove", reason="over")
    assert roles_of(panel, "eve") == set()
    undo(panel, "paul", "projects/churn")
    assert status(panel, "paul", f"projects/churn/members/{number}") == 404  # it is another assignment now
    assert roles_of(panel, "eve") == {"PROJECT_READER"}
    with panel.store.read() as tx:
        row = assignments.find_assignment(tx, "PROJECT_READER", "churn", Identity.user("eve"))
        assert row is not None
        assert row.ends is not None
        assert row.reason == "campaign"


def test_thirty_days_more(panel: PanelService) -> None:
    with panel.store.read() as tx:
        before = assignments.find_assignment(tx, "PROJECT_EXECUTOR", "churn", Identity.user("bea"))
    number = assignment_id(panel, "user:bea", "PROJECT_EXECUTOR")
    post(panel, "paul", f"projects/churn/members/{number}/extend")
    with panel.store.read() as tx:
        after = assignments.find_assignment(tx, "PROJECT_EXECUTOR", "churn", Identity.user("bea"))
    assert before is not None
    assert after is not None
    assert (after.ends - before.ends).days == 30
    undo(panel, "paul", "projects/churn")
    with panel.store.read() as tx:
        restored = assignments.find_assignment(tx, "PROJECT_EXECUTOR", "churn", Identity.user("bea"))
    assert restored is not None
    assert restored.ends == before.ends


@pytest.mark.proves("R72")
@pytest.mark.parametrize("suffix", ["", "/remove", "/extend"])
def test_an_assignment_of_another_project_is_not_reached(panel: PanelService, suffix: str) -> None:
    foreign = assignment_id(panel, "user:rob", "PROJECT_READER", "p1")
    form = {"new_role": "PROJECT_READER", "until": "7d"} if not suffix else {}
    assert post(panel, "paul", f"projects/churn/members/{foreign}{suffix}", **form).status in (404, 422)
    assert post(panel, "paul", f"projects/p1/members/{foreign}{suffix}", **form).status in (404, 422)
    assert roles_of(panel, "rob", "p1") == {"PROJECT_READER"}


def test_the_last_admin_cannot_be_taken_away(panel: PanelService) -> None:
    number = assignment_id(panel, "user:carol", "PROJECT_ADMIN")
    page = panel.get("paul", f"projects/churn/members/{number}")
    assert "You may not change this role: only AIZEN_ADMIN can revoke" in words(page)
    assert f"{number}/remove" not in page
    response = post(panel, "paul", f"projects/churn/members/{number}/remove")
    assert response.status == 422
    assert "creator" in response.body.decode()
    assert "PROJECT_ADMIN" in roles_of(panel, "carol")


@pytest.mark.proves("R72")
def test_who_may_not_add_is_not_told_which_names_exist(panel: PanelService) -> None:
    names = ("eve", "rob", "ghost")
    page = "projects/churn/members/-/preview?give_role=PROJECT_READER&until=none&who="
    assert len({panel.get("rita", page + name) for name in names}) == 1
    answers = [add(panel, "rita", who=name) for name in names]
    assert {answer.status for answer in answers} == {422}  # type: ignore[attr-defined]
    texts = {words(answer.body.decode()) for answer in answers}  # type: ignore[attr-defined]
    assert len(texts) == 1

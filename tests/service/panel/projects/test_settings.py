"""The settings of a project: description, listing, limits, members by file, stopping and deleting."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from sqlalchemy import select

from aizen_hub.accounts.projects import lifecycle, lookup, members
from aizen_hub.accounts.roles import limits
from aizen_hub.accounts.sessions import locks
from aizen_hub.jobs import quota
from aizen_hub.rbac.assignment import LockTarget
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import LimitKind
from aizen_hub.service.factory import SERVICE_ACTOR
from aizen_hub.store import tables
from tests.fixtures.browser.panel import PanelService
from tests.service.panel.projects.objects import hidden_fields, location, post, roles_of, seed, status, undo, words

__all__ = ["seed"]
PAGE = "projects/churn/settings"


def test_the_description_and_who_finds_it(panel: PanelService) -> None:
    assert location(post(panel, "paul", f"{PAGE}/about", description="Who leaves?", listed="yes")) == PAGE
    with panel.store.read() as tx:
        row = lookup.get_project(tx, "churn")
    assert (row.description, row.listed) == ("Who leaves?", True)
    assert "open to requests" in words(panel.get("paul", "projects/churn"))
    post(panel, "paul", f"{PAGE}/about", description="Who leaves?", listed="no")
    assert "open to requests" not in words(panel.get("paul", "projects/churn"))


def test_a_description_that_is_too_long(panel: PanelService) -> None:
    response = post(panel, "paul", f"{PAGE}/about", description="x" * 2000, listed="no")
    assert response.status == 422


@pytest.mark.proves("R60")
@pytest.mark.parametrize(
    ("user", "form", "fields"),
    [
        ("rita", "about", {"description": "mine"}),
        ("nil", "about", {"description": "mine"}),
        ("boss", "about", {"description": "mine"}),
        ("paul", "limit", {"holder": "rita", "kind": "jobs", "value": "9"}),
        ("paul", "stop", {"stop_reason": "tired"}),
        ("rita", "delete", {"confirm": "churn"}),
        ("boss", "delete", {"confirm": "churn"}),
        ("rita", "file", {"config": "[]"}),
        ("boss", "file", {"config": "[]"}),
    ],
)
def test_only_those_who_may(panel: PanelService, user: str, form: str, fields: dict[str, str]) -> None:
    assert post(panel, user, f"{PAGE}/{form}", **fields).status in (403, 404)
    assert status(panel, "paul", "projects/churn") == 200


def test_what_one_may_not_do_is_not_offered(panel: PanelService) -> None:
    paul, boss = panel.get("paul", PAGE), panel.get("boss", PAGE)
    assert f"{PAGE}/about" in paul
    assert f"{PAGE}/delete" in paul
    assert f"{PAGE}/file" in paul
    assert f"{PAGE}/limit" not in paul
    assert f"{PAGE}/stop" not in paul
    assert f"{PAGE}/limit" in boss
    assert f"{PAGE}/stop" in boss
    assert f"{PAGE}/about" not in boss
    assert f"{PAGE}/delete" not in boss


def test_a_limit_is_set_and_removed(panel: PanelService) -> None:
    rita = Identity.user("rita")
    post(panel, "boss", f"{PAGE}/limit", holder="rita", kind="jobs", value="3")
    with panel.store.read() as tx:
        assert limits.limits_of(tx, rita, "churn")[LimitKind.JOBS].value == 3
    assert "Remove the jobs limit of rita" in panel.get("boss", PAGE)
    start = {"project": "churn", "session": None, "command": "start training weekly", "key": "weekly"}
    with panel.store.write(SERVICE_ACTOR) as tx:
        quota.start_job(tx, decision_id="a-job-of-rita", identity=rita, **start)
    assert "jobs 3 1 of 3" in words(panel.get("boss", PAGE))
    with panel.store.write(SERVICE_ACTOR) as tx:
        quota.end_job(tx, "a-job-of-rita", "success")
    assert "jobs 3 0 of 3" in words(panel.get("boss", PAGE))
    post(panel, "boss", f"{PAGE}/limit", holder="user:rita", kind="jobs", value="")
    with panel.store.read() as tx:
        assert LimitKind.JOBS not in limits.limits_of(tx, rita, "churn")


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"holder": "rita", "kind": "jobs", "value": "many"}, "value"),
        ({"holder": "rita", "kind": "jobs", "value": "3 GiB"}, "value"),
        ({"holder": "ghost", "kind": "jobs", "value": "3"}, "holder"),
    ],
)
def test_errors_of_a_limit(panel: PanelService, fields: dict[str, str], field: str) -> None:
    response = post(panel, "boss", f"{PAGE}/limit", **fields)
    assert response.status == 422
    assert f'id="{field}-error"' in response.body.decode()


def file_of(panel: PanelService, **roles: list[str]) -> str:
    """Return the members as they are, with other roles for some."""
    with panel.store.read() as tx:
        entries = {entry["id"]: entry for entry in members.list_members(tx, "churn")}
    for name, names in roles.items():
        entries.setdefault(name, {"id": name, "alerts": []})["roles"] = names
    return json.dumps(list(entries.values()))


def test_a_file_is_previewed_and_carried_out(panel: PanelService) -> None:
    config = file_of(panel, eve=["PROJECT_READER"], rita=[])
    preview = post(panel, "paul", f"{PAGE}/file/preview", config=config)
    content = words(preview.body.decode())
    assert preview.status == 200
    assert "+ eve: PROJECT_READER" in content
    assert "\N{MINUS SIGN} rita: PROJECT_READER" in content
    assert roles_of(panel, "eve") == set()
    assert location(post(panel, "paul", f"{PAGE}/file", config=config)) == "projects/churn"
    assert (roles_of(panel, "eve"), roles_of(panel, "rita")) == ({"PROJECT_READER"}, set())
    post(panel, "paul", f"{PAGE}/file", config=file_of(panel, eve=[], rita=["PROJECT_READER"]))
    assert roles_of(panel, "rita") == {"PROJECT_READER"}


def test_a_file_is_undone_with_the_ends_and_reasons_that_were_there(panel: PanelService) -> None:
    def held() -> list[tuple[object, ...]]:
        a = tables.assignments
        query = select(a.c.identity, a.c.role, a.c.ends, a.c.reason).where(a.c.scope == "churn")
        with panel.store.read() as tx:
            return sorted(map(tuple, tx.conn.execute(query)), key=str)

    before = held()
    config = file_of(panel, rita=[], eve=["PROJECT_READER"])
    with panel.store.read() as tx:
        version = lookup.get_project(tx, "churn").version
    assert location(post(panel, "paul", f"{PAGE}/file", config=config, version=str(version))) == "projects/churn"
    assert held() != before
    undo(panel, "paul", "projects/churn")
    assert held() == before


def test_faults_of_a_file_are_all_shown_and_the_file_stays(panel: PanelService) -> None:
    config = '[{"id": "ghost", "roles": ["PROJECT_READER"], "alerts": []}, {"id": "rita", "roles": ["KING"]}]'
    response = post(panel, "paul", f"{PAGE}/file/preview", config=config)
    content = words(response.body.decode())
    assert response.status == 422
    assert "entry 1: ghost is not registered" in content.lower()
    assert "entry 2" in content.lower()
    assert "KING" in response.body.decode()


def test_a_file_that_was_made_from_an_older_state(panel: PanelService) -> None:
    response = post(panel, "paul", f"{PAGE}/file", config=file_of(panel, eve=["PROJECT_READER"]), version="1")
    assert response.status == 412
    assert roles_of(panel, "eve") == set()


def test_a_project_is_archived_and_restored(panel: PanelService) -> None:
    assert post(panel, "boss", f"{PAGE}/stop", stop_reason="").status == 422
    panel.sign_in_again("boss")
    post(panel, "boss", f"{PAGE}/stop", stop_reason="over")
    content = words(panel.get("boss", PAGE))
    assert "boss archived it" in content
    assert ": over" in content
    assert "AIZEN_ADMIN can restore it" in words(panel.get("paul", PAGE))
    assert "boss archived this project" in words(panel.get("rita", "projects/churn"))
    for user in ("boss", "paul"):
        assert "projects/churn" not in panel.get(user, "projects")
        assert "1 archived" in words(panel.get(user, "projects"))
        assert "churn Archived" in words(panel.get(user, "projects?state=archived"))
        assert "projects/churn" in panel.get(user, "projects?state=all")
    post(panel, "boss", f"{PAGE}/restore", stop_reason="needed", **hidden_fields(panel.get("boss", PAGE)))
    assert "archived this project" not in words(panel.get("rita", "projects/churn"))
    undo(panel, "boss", PAGE)
    assert "boss archived this project" in words(panel.get("rita", "projects/churn"))
    post(panel, "boss", f"{PAGE}/restore", stop_reason="needed", **hidden_fields(panel.get("boss", PAGE)))
    post(panel, "boss", f"{PAGE}/stop", stop_reason="again")
    undo(panel, "boss", PAGE)
    assert "archived this project" not in words(panel.get("rita", "projects/churn"))


@pytest.mark.proves("R78", "R145")
def test_only_what_the_page_showed_is_lifted(panel: PanelService) -> None:
    """Another administrator stops the project for an incident, or archives it again, after the page was shown."""
    panel.sign_in_again("boss")
    post(panel, "boss", f"{PAGE}/stop", stop_reason="over")
    shown = hidden_fields(panel.get("boss", PAGE))
    assert shown["target"] == "archive"
    panel.write("boss", lambda tx: locks.lock_target(tx, LockTarget.PROJECT, "churn", reason="incident"))
    post(panel, "boss", f"{PAGE}/restore", stop_reason="needed", **shown)
    content = panel.get("boss", PAGE)
    assert "This was lifted; churn is still stopped." in words(content)
    assert "incident" in content
    shown = hidden_fields(content)
    assert shown["target"] == "project"
    panel.write("boss", lambda tx: locks.lock_target(tx, LockTarget.PROJECT, "churn", reason="worse"))
    refused = post(panel, "boss", f"{PAGE}/restore", stop_reason="needed", **shown)
    assert refused.status == 412
    assert "was locked again in between" in words(refused.body.decode())
    assert post(panel, "boss", f"{PAGE}/restore", stop_reason="needed").status == 422, "it is not archived"
    content = panel.get("boss", PAGE)
    assert "worse" in content
    post(panel, "boss", f"{PAGE}/restore", stop_reason="needed", **hidden_fields(content))
    assert "churn can be used again." in words(panel.get("boss", PAGE))


@pytest.mark.proves("R78", "R60")
def test_an_archived_project_can_be_read_by_its_members_and_not_changed(panel: PanelService) -> None:
    session = panel.run(panel.driver.open("paul", "churn"))
    preview = words(panel.get("boss", PAGE))
    assert "An archived project can only be read" in preview
    assert "those that run now (1) go on, to read" in preview
    post(panel, "boss", f"{PAGE}/stop", stop_reason="over")
    reason = "the project `churn` is archived and can only be read: over; AIZEN_ADMIN can restore it"
    assert panel.run(panel.driver.command(session, "list trainings")).status not in (401, 403)
    refused = panel.run(panel.driver.command(session, "start training t1"))
    assert refused.status == 403
    assert refused.json["decision"]["sentence"] == reason
    assert refused.json["remedy"] == "ask AIZEN_ADMIN to restore it"
    why = words(panel.get("paul", "why?do=start+training&in=churn"))
    assert reason.replace("`", "").partition(":")[0].removeprefix("t") in why
    assert "No role would help while churn is archived" in why
    for page in ("", "/matrix", "/requests", "/audit", "/settings"):
        assert status(panel, "paul", f"projects/churn{page}") == 200
    settings = panel.get("paul", PAGE)
    assert f"{PAGE}/file" not in settings
    assert f"{PAGE}/delete" not in settings
    timeline = words(panel.get("paul", "projects/churn/audit"))
    assert "boss archived churn: over" in timeline
    assert "Nothing is stopped" in words(panel.get("boss", "locks"))
    panel.sign_in_again("boss")
    post(panel, "boss", f"{PAGE}/restore", stop_reason="needed", **hidden_fields(panel.get("boss", PAGE)))


@pytest.fixture
def doomed(panel: PanelService) -> Iterator[str]:
    panel.write("maker", lambda tx: lifecycle.create_project(tx, "doomed"))
    return "doomed"


def test_deleting_asks_for_the_name(panel: PanelService, doomed: str) -> None:
    page = f"projects/{doomed}/settings"
    assert "1 role of 1 member: maker" in words(panel.get("maker", page))
    response = post(panel, "maker", f"{page}/delete", confirm="domed")
    assert response.status == 422
    assert "Type doomed to delete it" in response.body.decode()
    assert "Deleting needs a recent sign-in" in panel.get("maker", page)
    assert post(panel, "maker", f"{page}/delete", confirm=doomed).status == 403
    assert status(panel, "maker", f"projects/{doomed}") == 200
    panel.sign_in_again("maker")
    assert location(post(panel, "maker", f"{page}/delete", confirm=doomed)) == "projects"
    assert status(panel, "maker", f"projects/{doomed}") == 404

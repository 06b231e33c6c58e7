"""Page *Why*: the verdict, what would allow it, and who may ask about whom."""

from __future__ import annotations

import html
import re
from datetime import timedelta
from urllib.parse import urlencode

import pytest

from aizen_hub.accounts.groups import management, membership
from aizen_hub.accounts.roles import assignments
from aizen_hub.accounts.sessions import locks
from aizen_hub.audit.search import AuditFilter, search_newest
from aizen_hub.rbac.assignment import Interval, LockTarget
from aizen_hub.rbac.identity import Identity
from aizen_hub.service.factory import SERVICE_ACTOR
from aizen_hub.store.transaction import WriteTransaction
from tests.fixtures.browser.panel import PanelService
from tests.service.conftest import Driver
from tests.service.panel.window import Window

HOSTILE = "<b>x</b> \u202egnp"


def seed(tx: WriteTransaction) -> None:
    management.create_group(tx, "crew")
    assignments.unauthorized_write_assignment(tx, "PROJECT_EXECUTOR", "p1", Identity.group("crew"))
    membership.add_member(tx, "crew", Identity.user("nil"))
    past = Interval(tx.now - timedelta(days=9), tx.now - timedelta(days=2))
    assignments.unauthorized_write_assignment(
        tx, "PROJECT_EXECUTOR", "p1", Identity.user("rob"), interval=past, reason=HOSTILE
    )


def heading(text: str) -> str:
    match = re.search(r'az-verdict (?:ok|no)" role="status">.*?<h2>([^<]*)</h2>', text, re.DOTALL)
    assert match is not None, text
    return " ".join(match[1].split())


@pytest.mark.parametrize(
    ("user", "query", "verdict"),
    [
        ("rob", "do=start+training&in=p1", "No. You may not start training in p1."),
        ("rob", "do=list+trainings&in=p1", "Yes. You may list trainings in p1."),
        ("ada", "who=rob&do=start+training&in=p1", "No. rob may not start training in p1."),
        ("ada", "who=eve&do=start+training+churn&in=p1", "Yes. eve may start training in p1."),
        ("boss", "who=nil&do=execute:training&in=p1", "Yes. nil may execute:training in p1."),
        ("boss", "who=group:crew&do=start+training&in=p1", "Yes. group crew may start training in p1."),
        ("rob", "do=create+project", "No. You may not create project."),
        (
            "rob",
            "do=start+training&in=p1&suppose=role:PROJECT_EXECUTOR",
            "Supposed: Yes. You may start training in p1.",
        ),
        ("ada", "who=rob&do=start+training&in=p1&suppose=group:crew", "Supposed: Yes. rob may start training in p1."),
    ],
)
def test_the_verdict(panel: PanelService, user: str, query: str, verdict: str) -> None:
    assert heading(panel.get(user, f"why?{query}")) == verdict


GRANTS = [
    ("ada", "grant role PROJECT_READER to nil", True),
    ("ada", "grant role PROJECT_READER to nil until 2099-12-31", True),
    ("ada", "grant role PROJECT_READER to ada", False),
    ("ada", "grant role PROJECT_CREATOR to nil", False),
    ("boss", "grant role PROJECT_ADMIN to nil", True),
    ("boss", "grant role PROJECT_READER to nil", False),
    ("boss", "revoke role PROJECT_READER from rob", False),
    ("ada", "revoke role PROJECT_READER from rob", True),
    ("rob", "grant role PROJECT_READER to nil", False),
]


@pytest.mark.proves("R66", "R80")
@pytest.mark.parametrize(("user", "command", "allowed"), GRANTS)
def test_a_grant_is_answered_by_the_rules_of_its_roles_as_elsewhere(
    panel: PanelService, user: str, command: str, allowed: bool
) -> None:
    answer = "Yes. You may" if allowed else "No. You may not"
    text = panel.get(user, "why?" + urlencode({"do": command, "in": "p1"}))
    assert heading(text) == f"{answer} {command} in p1."
    window = panel.window(user)
    token = {"X-XSRF-Token": panel.run(window.xsrf())}
    asked = panel.run(window.api("POST", "/access-queries/can-i", {"command": command, "scope": "p1"}, **token))
    assert asked.json["data"]["allowed"] is allowed
    sentence = " ".join(asked.json["data"]["sentence"].replace("`", "").split())
    assert sentence[1:] in html.unescape(text)


def test_who_can_make_a_grant_is_named_where_its_rules_refuse(panel: PanelService) -> None:
    text = panel.get("boss", "why?" + urlencode({"do": "grant role PROJECT_READER to nil", "in": "p1"}))
    assert re.search(r"These can do it: (ada|[a-z, ]*\bada\b)", text)
    assert "the permission alone is not enough" in text
    assert "There is no role for this" not in text
    of_another = panel.get(
        "ada", "why?" + urlencode({"who": "rob", "do": "grant role PROJECT_READER to nil", "in": "p1"})
    )
    assert heading(of_another) == "No. rob may not grant role PROJECT_READER to nil in p1."


def test_the_words_of_a_grant_alone_are_about_its_permission(panel: PanelService) -> None:
    text = panel.get("ada", "why?do=grant+role&in=p1")
    assert heading(text) == "Yes. You may grant role in p1."
    assert "The rules of each role decide too" in text
    unknown = panel.run(panel.window("ada").get("why?" + urlencode({"do": "grant role KING to nil", "in": "p1"})))
    assert unknown.status == 422
    assert 'id="do-error"' in unknown.body.decode()


@pytest.mark.proves("R72")
@pytest.mark.parametrize(
    ("user", "query", "status"),
    [
        ("rob", "who=eve&do=start+training&in=p1", 403),
        ("rob", "do=start+training&in=p2", 422),
        ("rob", "do=start+training&in=nowhere", 422),
        ("ada", "who=zoe&do=start+training&in=p2", 422),
        ("rob", "do=start+training&in=p1&suppose=group:crew", 403),
        ("rob", "do=dance&in=p1", 422),
        ("rob", "do=start+training", 422),
        ("rob", "do=start+training&in=p1&at=tomorrow", 422),
        ("rob", "do=start+training&in=p1&suppose=nonsense", 422),
        ("rob", "decision=" + "a" * 46, 422),
        ("rob", "", 200),
    ],
)
def test_other_questions(panel: PanelService, user: str, query: str, status: int) -> None:
    response = panel.run(panel.window(user).get(f"why?{query}"))
    assert response.status == status, response.body
    assert b"az-verdict" not in response.body


def test_the_two_unknown_projects_are_answered_alike(panel: PanelService) -> None:
    window = panel.window("rob")
    token = panel.run(window.xsrf()).encode()  # random: it may contain the name of a project
    answers = {
        panel.run(window.get(f"why?do=start+training&in={name}")).body.replace(token, b"").replace(name.encode(), b"")
        for name in ("p2", "p3")
    }
    assert len(answers) == 1


def test_paths_and_ways_are_shown_and_stored_text_stays_text(panel: PanelService) -> None:
    text = panel.get("ada", "why?who=rob&do=start+training&in=p1")
    assert "PROJECT_READER does not include it." in text
    assert "Ended " in text
    assert HOSTILE.replace("<", "&lt;").replace(">", "&gt;") in text
    assert "<b>x</b>" not in text
    assert text.index("for 4 hours") < text.index("Until it is taken away.")
    assert 'action="/services/aizen/why/grant"' in text


def test_a_reader_without_the_right_is_offered_to_ask(panel: PanelService) -> None:
    text = panel.get("rob", "why?do=start+training&in=p1")
    assert "why/grant" not in text
    assert 'action="/services/aizen/why/ask"' in text


async def test_a_role_is_requested_where_it_is_missing(window: Window, hub_service: Driver) -> None:
    token = await window.sign_in("rob", "me")
    form = {"scope": "p1", "role": "PROJECT_EXECUTOR", "do": "start training", "until": "8h", "reason": "for the demo"}
    asked = await window.post("why/ask", {"xsrf": token, **form})
    assert asked.status == 303, asked.body
    text = (await window.get("why?do=start+training&in=p1")).body.decode()
    assert "You have asked for it" in text
    request = re.search(r'href="/services/aizen/(requests/[0-9a-f]{32})"', text)
    assert request is not None
    assert "for the demo" in (await window.get(request[1])).body.decode()
    again = await window.post("why/ask", {"xsrf": token, **form, "role": "PROJECT_READER"})
    assert again.status == 409, "rob has it already"


async def test_a_role_for_a_few_hours_makes_it_allowed_and_can_be_undone(window: Window, hub_service: Driver) -> None:
    token = await window.sign_in("ada", "me")
    page = "why?who=user%3Arob&do=start+training&in=p1"
    form = {"xsrf": token, "who": "user:rob", "role": "PROJECT_EXECUTOR", "scope": "p1", "do": "start training"}
    granted = await window.post("why/grant", form)
    assert granted.status == 303, granted.body
    assert granted.headers["Location"].endswith(page)
    text = (await window.get(page)).body.decode()
    assert heading(text) == "Yes. rob may start training in p1."
    with hub_service.context.store.read() as tx:
        row = assignments.find_assignment(tx, "PROJECT_EXECUTOR", "p1", Identity.user("rob"))
        assert row is not None
        assert row.ends == row.granted + timedelta(hours=4)
    undo = re.search(r'name="undo" value="([0-9a-f]+)"', text)
    assert undo is not None
    await window.post("undo", {"xsrf": token, "undo": undo[1], "back": ""})
    assert heading((await window.get(page)).body.decode()).startswith("No.")


@pytest.mark.proves("R66", "R115")
@pytest.mark.parametrize(("user", "form", "status"), [("rob", {}, 403), ("ada", {"xsrf": "wrong"}, 403)])
async def test_a_grant_needs_the_right_and_the_token(
    window: Window, hub_service: Driver, user: str, form: dict[str, str], status: int
) -> None:
    token = await window.sign_in(user, "me")
    fields = {"xsrf": token, "who": "nil", "role": "PROJECT_EXECUTOR", "scope": "p1", "do": "start training", **form}
    assert (await window.post("why/grant", fields)).status == status
    with hub_service.context.store.read() as tx:
        assert assignments.find_assignment(tx, "PROJECT_EXECUTOR", "p1", Identity.user("nil")) is None


async def test_a_recorded_decision_is_explained_to_its_identity_and_to_readers_of_the_audit(
    window: Window, hub_service: Driver
) -> None:
    session = await hub_service.open("rob")
    refused = await hub_service.command(session, "start training churn")
    decision = refused.json["decision"]["id"]
    for user, verdict in (("rob", "No. You may not"), ("ada", "No. rob may not"), ("boss", "No. rob may not")):
        other = Window(hub_service, window.hub)
        await other.sign_in(user, "me")
        text = (await other.get(f"why?decision={decision}")).body.decode()
        assert heading(text).startswith(verdict)
        assert "This decision was made" in text
    outsider = Window(hub_service, window.hub)
    await outsider.sign_in("eve", "me")
    assert (await outsider.get(f"why?decision={decision}")).status == 422


async def test_asking_about_others_is_recorded_once(window: Window, hub_service: Driver) -> None:

    await window.sign_in("ada", "me")
    await window.get("why?who=rob&do=start+training&in=p1")
    await window.get("why?do=start+training&in=p1")
    with hub_service.context.store.read() as tx:
        rows = [
            row["details"]
            for row in search_newest(tx.conn, AuditFilter(event="access.read", identity="user:ada"))
            if row["details"].get("query") == "why"
        ]
    assert rows == [{"query": "why", "target": "user:rob"}]


@pytest.mark.proves("R72")
async def test_why_a_person_is_stopped_is_told_to_those_who_may_stop(window: Window, hub_service: Driver) -> None:
    with hub_service.context.store.write(SERVICE_ACTOR) as tx:
        locks.lock_target(tx, LockTarget.IDENTITY, "user:rob", reason="stolen laptop")
    for user, is_told in (("ada", False), ("boss", True)):
        other = Window(hub_service, window.hub)
        await other.sign_in(user, "me")
        text = (await other.get("why?who=rob&do=start+training&in=p1")).body.decode()
        assert heading(text) == "No. rob may not start training in p1."
        assert ("stolen laptop" in text) == is_told


async def test_undoing_a_role_for_a_few_hours_restores_what_there_was(window: Window, hub_service: Driver) -> None:
    store, rob = hub_service.context.store, Identity.user("rob")
    with store.write(SERVICE_ACTOR) as tx:
        later = Interval(tx.now + timedelta(days=2), tx.now + timedelta(days=9))
        assignments.unauthorized_write_assignment(
            tx, "PROJECT_EXECUTOR", "p1", rob, interval=later, reason="from Thursday on"
        )
    token = await window.sign_in("ada", "me")
    form = {"xsrf": token, "who": "user:rob", "role": "PROJECT_EXECUTOR", "scope": "p1", "do": "start training"}
    assert (await window.post("why/grant", form)).status == 303
    undo = re.search(r'name="undo" value="([0-9a-f]+)"', (await window.get("me")).body.decode())
    assert undo is not None
    assert (await window.post("undo", {"xsrf": token, "undo": undo[1], "back": ""})).status == 303
    with store.read() as tx:
        row = assignments.find_assignment(tx, "PROJECT_EXECUTOR", "p1", rob)
    assert row is not None
    assert (row.starts, row.ends, row.reason) == (later.starts, later.ends, "from Thursday on")


@pytest.mark.proves("R72")
def test_a_grant_without_the_right_does_not_tell_who_exists(panel: PanelService) -> None:
    form = {"role": "PROJECT_READER", "scope": "p1", "do": "list trainings"}
    answers = [panel.post("rob", "why/grant", {**form, "who": name}) for name in ("zoe", "ghost")]
    texts = {(answer.status, re.sub(r"<[^>]*>", "", answer.body.decode())) for answer in answers}
    assert [status for status, _ in texts] == [403]

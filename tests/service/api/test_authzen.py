"""The OpenID AuthZEN endpoints, over HTTP, against the same store that decides commands."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from aizen_hub.accounts.roles import assignments
from aizen_hub.accounts.users import users
from aizen_hub.audit.search import AuditFilter, newest
from aizen_hub.authorization.decisions import evaluation as court_case
from aizen_hub.authorization.queries import authzen as evaluations
from aizen_hub.problems import Unavailable
from aizen_hub.rbac.identity import Identity
from aizen_hub.service.factory import OWN
from aizen_hub.service.pipeline import request_context as call
from tests.service.conftest import OPERATOR, Driver, Response


def ask(subject: str, action: str, project: str | None) -> dict[str, Any]:
    kind, _, name = subject.partition(":")
    resource = {"type": "project", "id": project} if project else {"type": "system", "id": "system"}
    return {"subject": {"type": kind, "id": name}, "action": {"name": action}, "resource": resource}


async def post(service: Driver, path: str, body: Any, **headers: str) -> Response:
    auth = f"Bearer {service.robot}"  # type: ignore[attr-defined]
    return await service.call("POST", f"/access/v1/{path}", body, auth=auth, headers=headers)


def recorded(service: Driver) -> list[dict[str, Any]]:
    """Rows of evaluations, oldest first."""
    with service.house.store.read() as tx:
        return newest(tx.conn, AuditFilter(event="evaluation"), 200)[::-1]


@pytest.mark.parametrize(
    ("subject", "action", "project", "expected"),
    [
        ("user:eve", "execute:training", "p1", True),
        ("user:eve", "start training", "p1", True),
        ("user:rob", "execute:training", "p1", False),
        ("user:rob", "read:training", "p1", True),
        ("user:zoe", "read:training", "p1", False),
        ("user:boss", "manage:users", None, True),
        ("user:ada", "manage:users", None, False),
        ("group:eve", "execute:training", "p1", False),
        ("user:nobody-at-all", "read:training", "p1", False),
        ("user:boss", "manage:users", "no-such-project", False),
    ],
)
@pytest.mark.proves("R30", "R62")
async def test_an_evaluation_is_the_decision(service: Driver, subject, action, project, expected) -> None:
    answer = await post(service, "evaluation", ask(subject, action, project))
    assert answer.status == 200, answer.body
    assert answer.json["decision"] is expected
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.proves("R94")
async def test_every_evaluation_has_its_audit_row(service: Driver) -> None:
    answer = await post(service, "evaluation", ask("user:rob", "execute:training", "p1"))
    auth = f"Bearer {service.robot}"  # type: ignore[attr-defined]
    found = await service.call("GET", f"/api/v1/audit?id={answer.json['context']['id']}", auth=auth)
    (row,) = found.json["data"]["audit"]
    assert (row["event"], row["allowed"], row["identity"]) == ("evaluation", False, "service-account:robot")
    assert row["details"]["subject"] == "user:rob"
    assert (row["project"], row["command"]) == ("p1", "execute:training")
    assert row["revision"] == answer.json["context"]["revision"] == service.revision()


@pytest.mark.parametrize(
    ("semantic", "decisions"),
    [
        ("execute_all", [True, False, True]),
        ("deny_on_first_deny", [True, False]),
        ("permit_on_first_permit", [True]),
        (None, [True, False, True]),
    ],
)
async def test_the_three_semantics_of_several_questions(service: Driver, semantic, decisions) -> None:
    common = ask("user:eve", "read:training", "p1")
    body = {
        **common,
        "evaluations": [{}, {"action": {"name": "delete:training"}}, {"action": {"name": "execute:training"}}],
    }
    if semantic:
        body["options"] = {"evaluations_semantic": semantic}
    answer = await post(service, "evaluations", body)
    told = answer.json["evaluations"]
    assert [one["decision"] for one in told] == decisions
    assert [(row["id"], row["allowed"]) for row in recorded(service)] == [
        (one["context"]["id"], one["decision"]) for one in told
    ]


async def test_without_a_list_several_questions_are_one(service: Driver) -> None:
    answer = await post(service, "evaluations", ask("user:eve", "read:training", "p1"))
    assert answer.json["decision"] is True


async def test_one_bad_question_does_not_spoil_the_others(service: Driver) -> None:
    good, bad = ask("user:eve", "read:training", "p1"), ask("user:eve", "NOT ONE", "p1")
    answer = await post(service, "evaluations", {"evaluations": [bad, good, {"action": {"name": "read:x"}}]})
    first, second, third = answer.json["evaluations"]
    assert (first["decision"], first["context"]["error"]["status"]) == (False, 400)
    assert second["decision"] is True
    assert (third["decision"], third["context"]["error"]["status"]) == (False, 400)
    rows = recorded(service)
    assert [row["id"] for row in rows] == [one["context"]["id"] for one in (first, second, third)]
    assert [(row["allowed"], row["reason"]) for row in rows] == [
        (False, "syntax"), (True, "granted"), (False, "syntax"),
    ]  # fmt: skip


@pytest.mark.proves("R72", "R94")
async def test_a_question_about_a_scope_that_is_not_the_askers_is_denied_and_on_record(service: Driver) -> None:
    with service.house.store.write(OPERATOR) as tx:
        assignments.put(tx, "PROJECT_ADMIN", "p1", Identity.service_account("robot"), reason="test")
        assignments.revoke(tx, ["AIZEN_ADMIN"], "system", Identity.service_account("robot"))
    body = {"evaluations": [ask("user:eve", "read:training", name) for name in ("p1", "p2", "no-such-project")]}
    first, second, third = (await post(service, "evaluations", body)).json["evaluations"]
    assert first["decision"] is True
    assert second["context"]["error"]["status"] == third["context"]["error"]["status"] == 404
    assert [(row["project"], row["reason"]) for row in recorded(service)] == [
        ("p1", "granted"), ("p2", "unknown-project"), ("no-such-project", "unknown-project"),
    ]  # fmt: skip


@pytest.mark.proves("R93", "R94")
@pytest.mark.parametrize("path", ["evaluation", "evaluations"])
async def test_what_cannot_be_recorded_is_not_answered(
    service: Driver, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    def full(_: Any) -> None:
        raise Unavailable("the disk is full")

    question = ask("user:eve", "read:training", "p1")
    monkeypatch.setattr(service.house.store, "record", full)
    answer = await post(service, path, question if path == "evaluation" else {"evaluations": [question]})
    assert answer.status == 503
    assert "decision" not in answer.json
    assert "evaluations" not in answer.json


@pytest.mark.proves("R125")
async def test_others_write_and_decide_while_many_subjects_are_looked_at(
    service: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = threading.Event(), threading.Event()
    found = evaluations.decide

    def slow(*given: Any) -> Any:
        begun.set()
        assert go_on.wait(30)
        return found(*given)

    monkeypatch.setattr(evaluations, "decide", slow)
    names = ("eve", "rob", "zoe")
    body = {"evaluations": [ask(f"user:{name}", "read:training", "p1") for name in names]}
    one = asyncio.create_task(post(service, "evaluation", body["evaluations"][0]))
    many = asyncio.create_task(post(service, "evaluations", body))
    try:
        assert await asyncio.to_thread(begun.wait, 30)
        with service.house.store.write(OWN) as tx:
            users.register(tx, "late", provider="local")
        eve = await service.open("eve")
        asked = {"permission": "execute:training"}
        decided = await service.call("POST", "/api/v1/decisions", asked, auth=eve.auth)
        assert decided.json["decision"]["allowed"] is True
        assert not one.done()
        assert not many.done()
    finally:
        go_on.set()
    assert (await one).json["decision"] is True
    assert [answer["decision"] for answer in (await many).json["evaluations"]] == [True, True, False]


class Late:
    """A clock that jumps when a test says so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ahead = 0.0
        now = court_case.clock
        for module in (court_case, call):
            monkeypatch.setattr(module, "clock", lambda: now() + self.ahead)


@pytest.mark.proves("R48", "R79")
@pytest.mark.parametrize("where", ["decided", "recorded"])
async def test_what_came_too_late_is_decided_again(
    service: Driver, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    late, store = Late(monkeypatch), service.house.store
    decide, record = evaluations.decide, store.record
    took = []

    def lose_the_role() -> None:
        if not took:
            took.append(True)
            late.ahead += 1
            with store.write(OPERATOR) as tx:
                assignments.revoke(tx, ["PROJECT_EXECUTOR"], "p1", Identity.user("eve"))

    def decided(*given: Any) -> Any:
        try:
            return decide(*given)
        finally:
            if where == "decided":
                lose_the_role()

    def kept(rows: Any) -> None:
        record(rows)
        if where == "recorded":
            lose_the_role()

    monkeypatch.setattr(evaluations, "decide", decided)
    monkeypatch.setattr(store, "record", kept)
    answer = await post(service, "evaluations", {"evaluations": [ask("user:eve", "execute:training", "p1")]})
    (one,) = answer.json["evaluations"]
    assert one["decision"] is False
    rows = recorded(service)
    assert [row["allowed"] for row in rows] == ([False] if where == "decided" else [True, False])
    assert rows[-1]["id"] == one["context"]["id"]
    if where == "recorded":
        assert rows[-1]["details"]["again"] == rows[0]["id"]


async def test_what_is_always_too_late_is_never_answered(service: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    late, decide = Late(monkeypatch), evaluations.decide

    def decided(*given: Any) -> Any:
        late.ahead += 1
        return decide(*given)

    monkeypatch.setattr(evaluations, "decide", decided)
    answer = await post(service, "evaluation", ask("user:eve", "execute:training", "p1"))
    assert (answer.status, "too slow" in answer.json["detail"]) == (503, True)
    assert "decision" not in answer.json


async def test_nobody_is_found_in_a_project_that_does_not_exist(service: Driver) -> None:
    where = {"resource": {"type": "project", "id": "no-such-project"}}
    people = await post(
        service, "search/subject", {**where, "subject": {"type": "user"}, "action": {"name": "read:training"}}
    )
    actions = await post(service, "search/action", {**where, "subject": {"type": "user", "id": "boss"}})
    for answer in (people, actions):
        assert (answer.status, answer.json["results"]) == (200, [])


@pytest.mark.proves("R80")
async def test_searches_agree_with_evaluations(service: Driver) -> None:
    body = {**ask("user:eve", "execute:training", "p1"), "subject": {"type": "user"}}
    people = {one["id"] for one in (await post(service, "search/subject", body)).json["results"]}
    for name in ("boss", "maker", "ada", "eve", "rob", "nil", "zoe"):
        decided = await post(service, "evaluation", ask(f"user:{name}", "execute:training", "p1"))
        assert decided.json["decision"] is (name in people)
    assert people == {"ada", "eve"}
    body = {**ask("user:eve", "read:training", "p1"), "resource": {"type": "project"}}
    found = (await post(service, "search/resource", body)).json["results"]
    assert found == [{"type": "project", "id": "p1"}]
    body = {key: value for key, value in ask("user:rob", "-", "p1").items() if key != "action"}
    actions = {one["name"] for one in (await post(service, "search/action", body)).json["results"]}
    assert "read:training" in actions
    assert "execute:training" not in actions


async def test_pages_of_a_search_meet_without_gap_or_overlap(service: Driver) -> None:
    body = {**ask("user:eve", "read:training", "p1"), "subject": {"type": "user"}}
    whole = [one["id"] for one in (await post(service, "search/subject", body)).json["results"]]
    seen, token = [], ""
    for _ in range(len(whole)):
        page = (await post(service, "search/subject", {**body, "page": {"limit": 1, "token": token}})).json
        seen += [one["id"] for one in page["results"]]
        token = page["page"]["next_token"]
    assert seen == whole == ["ada", "eve", "rob"]
    assert token == ""
    refused = await post(service, "search/subject", {**body, "page": {"token": "no token of ours"}})
    assert refused.status == 400


async def test_pages_of_a_search_for_projects_meet(service: Driver) -> None:
    body = {**ask("user:boss", "manage:users", "p1"), "resource": {"type": "project"}}
    first = (await post(service, "search/resource", {**body, "page": {"limit": 1}})).json
    assert first["results"] == [{"type": "project", "id": "p1"}]
    second = (await post(service, "search/resource", {**body, "page": {"token": first["page"]["next_token"]}})).json
    assert second["results"] == [{"type": "project", "id": "p2"}]
    assert second["page"]["next_token"] == ""


@pytest.mark.parametrize(
    ("path", "broken"),
    [
        ("evaluation", {"subject": {"type": "robot", "id": "eve"}}),
        ("evaluation", {"resource": {"type": "bucket", "id": "p1"}}),
        ("evaluation", {"resource": {"type": "project", "id": "system"}}),
        ("evaluation", {"action": {"name": "no such command"}}),
        ("search/resource", {"resource": {"type": "system"}}),
        ("search/subject", {"subject": {"type": "robot"}}),
        ("search/action", {"resource": {"type": "system", "id": "p1"}}),
    ],
)
async def test_types_and_actions_we_do_not_know_are_refused(service: Driver, path: str, broken: dict[str, Any]) -> None:
    assert (await post(service, path, {**ask("user:eve", "read:training", "p1"), **broken})).status == 400


async def test_members_we_do_not_know_are_allowed_and_the_request_id_comes_back(service: Driver) -> None:
    body = {**ask("user:eve", "read:training", "p1"), "context": {"time": "now"}, "more": 1}
    body["subject"]["properties"] = {"department": "sales"}
    answer = await post(service, "evaluation", body, **{"X-Request-ID": "abc-1"})
    assert (answer.status, answer.headers["X-Request-ID"]) == (200, "abc-1")


@pytest.mark.parametrize(
    "broken", [{}, {"subject": "eve"}, {"subject": {"type": "user"}, "action": {}, "resource": {}}]
)
async def test_a_malformed_question_is_refused(service: Driver, broken) -> None:
    assert (await post(service, "evaluation", broken)).status == 400


@pytest.mark.proves("R72")
async def test_only_service_accounts_that_may_read_access_are_answered(service: Driver) -> None:
    body = ask("user:eve", "read:training", "p1")
    ada = await service.open("ada")
    assert (await service.call("POST", "/access/v1/evaluation", body, auth=ada.auth)).status == 401
    assert (await service.call("POST", "/access/v1/evaluation", body)).status == 401
    with service.house.store.write(OPERATOR) as tx:
        assignments.revoke(tx, ["AIZEN_ADMIN"], "system", Identity.service_account("robot"))
    assert (await post(service, "evaluation", body)).status in (403, 404)
    assert (await post(service, "search/subject", {**body, "subject": {"type": "user"}})).status in (403, 404)
    listed = await post(service, "search/resource", {**body, "resource": {"type": "project"}})
    assert listed.json["results"] == []


async def test_the_metadata_names_addresses_that_exist(service: Driver) -> None:
    answer = await service.call("GET", "/.well-known/authzen-configuration")
    assert answer.status == 200
    for name, address in answer.json.items():
        if name.endswith("_endpoint"):
            path = address.removeprefix(answer.json["policy_decision_point"])
            assert (await service.call("POST", path, {})).status == 401

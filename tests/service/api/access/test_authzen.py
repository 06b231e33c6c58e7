"""The OpenID AuthZEN endpoints, over HTTP, against the same store that decides commands."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select, update

from aizen_hub.accounts.roles import assignments
from aizen_hub.accounts.service_accounts import accounts, credentials
from aizen_hub.accounts.sessions import locks
from aizen_hub.accounts.users import registration
from aizen_hub.audit.search import AuditFilter, search_newest
from aizen_hub.authorization.decisions import batch_recorder, decision_service, evaluation, pending_decisions
from aizen_hub.problems import Unavailable
from aizen_hub.rbac.assignment import LockTarget
from aizen_hub.rbac.identity import Identity
from aizen_hub.service.factory import SERVICE_ACTOR
from aizen_hub.store import tables
from tests.fixtures.timing import FakeClock
from tests.service.conftest import OPERATOR, Driver, Response


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    """Replace the clock that measures the age of decisions, so that no pause of this machine makes one too old."""
    clock = FakeClock()
    for module in (evaluation, batch_recorder, decision_service, pending_decisions):
        monkeypatch.setattr(module, "boottime", clock)
    return clock


def ask(subject: str, action: str, project: str | None) -> dict[str, Any]:
    kind, _, name = subject.partition(":")
    resource = {"type": "project", "id": project} if project else {"type": "system", "id": "system"}
    return {"subject": {"type": kind, "id": name}, "action": {"name": action}, "resource": resource}


async def post(service: Driver, path: str, body: Any, **headers: str) -> Response:
    auth = f"Bearer {service.robot}"  # type: ignore[attr-defined]
    return await service.call("POST", f"/access/v1/{path}", body, auth=auth, headers=headers)


def recorded(service: Driver) -> list[dict[str, Any]]:
    """Return the audit records of evaluations, oldest first."""
    with service.context.store.read() as tx:
        return search_newest(tx.conn, AuditFilter(event="evaluation"), 200)[::-1]


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
        ("user:unknown", "read:training", "p1", False),
        ("user:boss", "manage:users", "no-such-project", False),
    ],
)
@pytest.mark.proves("R30", "R62")
async def test_an_evaluation_is_the_decision(service: Driver, subject, action, project, expected) -> None:
    response = await post(service, "evaluation", ask(subject, action, project))
    assert response.status == 200, response.body
    assert response.json["decision"] is expected
    assert response.headers["Cache-Control"] == "no-store"


@pytest.mark.proves("R94")
async def test_every_evaluation_is_recorded(service: Driver) -> None:
    response = await post(service, "evaluation", ask("user:rob", "execute:training", "p1"))
    auth = f"Bearer {service.robot}"  # type: ignore[attr-defined]
    audit = await service.call("GET", f"/api/v1/audit?id={response.json['context']['id']}", auth=auth)
    (row,) = audit.json["data"]["audit"]
    assert (row["event"], row["allowed"], row["identity"]) == ("evaluation", False, "service-account:robot")
    assert row["details"]["subject"] == "user:rob"
    assert (row["project"], row["command"]) == ("p1", "execute:training")
    assert row["revision"] == response.json["context"]["revision"] == service.revision()


@pytest.mark.parametrize(
    ("semantic", "decisions"),
    [
        ("execute_all", [True, False, True]),
        ("deny_on_first_deny", [True, False]),
        ("permit_on_first_permit", [True]),
        (None, [True, False, True]),
    ],
)
async def test_the_three_semantics_of_several_requests(service: Driver, semantic, decisions) -> None:
    common = ask("user:eve", "read:training", "p1")
    body = {
        **common,
        "evaluations": [{}, {"action": {"name": "delete:training"}}, {"action": {"name": "execute:training"}}],
    }
    if semantic:
        body["options"] = {"evaluations_semantic": semantic}
    response = await post(service, "evaluations", body)
    evaluations = response.json["evaluations"]
    assert [result["decision"] for result in evaluations] == decisions
    assert [(row["id"], row["allowed"]) for row in recorded(service)] == [
        (result["context"]["id"], result["decision"]) for result in evaluations
    ]


async def test_a_request_without_a_list_is_a_single_evaluation(service: Driver) -> None:
    response = await post(service, "evaluations", ask("user:eve", "read:training", "p1"))
    assert response.json["decision"] is True


async def test_an_invalid_request_does_not_affect_the_others(service: Driver) -> None:
    good, bad = ask("user:eve", "read:training", "p1"), ask("user:eve", "NOT ONE", "p1")
    response = await post(service, "evaluations", {"evaluations": [bad, good, {"action": {"name": "read:x"}}]})
    first, second, third = response.json["evaluations"]
    assert (first["decision"], first["context"]["error"]["status"]) == (False, 400)
    assert second["decision"] is True
    assert (third["decision"], third["context"]["error"]["status"]) == (False, 400)
    rows = recorded(service)
    assert [row["id"] for row in rows] == [result["context"]["id"] for result in (first, second, third)]
    assert [(row["allowed"], row["reason"]) for row in rows] == [
        (False, "syntax"), (True, "granted"), (False, "syntax"),
    ]  # fmt: skip


@pytest.mark.proves("R72", "R94")
async def test_a_request_about_a_scope_that_the_account_cannot_see_is_denied_and_recorded(service: Driver) -> None:
    with service.context.store.write(OPERATOR) as tx:
        assignments.unauthorized_write_assignment(
            tx, "PROJECT_ADMIN", "p1", Identity.service_account("robot"), reason="test"
        )
        assignments.revoke_roles(tx, ["AIZEN_ADMIN"], "system", Identity.service_account("robot"))
    body = {"evaluations": [ask("user:eve", "read:training", name) for name in ("p1", "p2", "no-such-project")]}
    first, second, third = (await post(service, "evaluations", body)).json["evaluations"]
    assert first["decision"] is True
    assert second["context"]["error"]["status"] == third["context"]["error"]["status"] == 404
    assert [(row["project"], row["reason"]) for row in recorded(service)] == [
        ("p1", "granted"), ("p2", "unknown-project"), ("no-such-project", "unknown-project"),
    ]  # fmt: skip


@pytest.mark.proves("R93", "R94")
@pytest.mark.parametrize("path", ["evaluation", "evaluations"])
async def test_a_decision_that_cannot_be_recorded_is_not_returned(
    service: Driver, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    def full(*_: Any) -> None:
        raise Unavailable("the disk is full")

    request = ask("user:eve", "read:training", "p1")
    monkeypatch.setattr(service.context.store.chain, "append", full)
    response = await post(service, path, request if path == "evaluation" else {"evaluations": [request]})
    assert response.status == 503
    assert "decision" not in response.json
    assert "evaluations" not in response.json


@pytest.mark.proves("R125")
async def test_new_subjects_block_no_writes_and_decisions(service: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rights that have to be compiled are compiled before the batch that others wait for."""
    started, go_on = threading.Event(), threading.Event()
    loader = service.context.store.cache.loader
    compile_rights = loader.compile

    def slow(conn: Any, identity: Identity, *args: Any) -> Any:
        if identity.name == "zoe":
            started.set()
            assert go_on.wait(30)
        return compile_rights(conn, identity, *args)

    monkeypatch.setattr(loader, "compile", slow)
    requests = [ask(f"user:{name}", "read:training", "p1") for name in ("eve", "rob", "zoe")]
    many = asyncio.create_task(post(service, "evaluations", {"evaluations": requests}))
    try:
        assert await asyncio.to_thread(started.wait, 30)
        with service.context.store.write(SERVICE_ACTOR) as tx:
            registration.unauthorized_register_user(tx, "late", provider="local")
        eve = await service.open("eve")
        decided = await service.call("POST", "/api/v1/decisions", {"permission": "execute:training"}, auth=eve.auth)
        assert decided.json["decision"]["allowed"] is True
        assert not many.done()
    finally:
        go_on.set()
    assert [response["decision"] for response in (await many).json["evaluations"]] == [True, True, False]


@pytest.mark.proves("R48", "R79")
@pytest.mark.parametrize("path", ["evaluation", "evaluations"])
async def test_a_decision_that_is_too_old_is_made_again(
    service: Driver, monkeypatch: pytest.MonkeyPatch, clock: FakeClock, path: str
) -> None:
    """The process pauses between the commit and the answer, and in the pause the role is revoked."""
    pauses = []

    def pause(point: str) -> None:
        if point == "before-answer" and not pauses:
            pauses.append(point)
            clock.advance(0.3)
            with service.context.store.write(OPERATOR) as tx:
                assignments.revoke_roles(tx, ["PROJECT_EXECUTOR"], "p1", Identity.user("eve"))

    monkeypatch.setattr(decision_service, "failpoint", pause)
    request = ask("user:eve", "execute:training", "p1")
    response = await post(service, path, request if path == "evaluation" else {"evaluations": [request, request]})
    results = response.json.get("evaluations", [response.json])
    assert [result["decision"] for result in results] == [False] * len(results)
    rows = recorded(service)
    outdated, current = rows[: len(results)], rows[len(results) :]
    assert [row["allowed"] for row in rows] == [True] * len(results) + [False] * len(results)
    assert [row["id"] for row in current] == [result["context"]["id"] for result in results]
    assert [row["details"]["supersedes"] for row in current] == [row["id"] for row in outdated]


async def test_a_decision_that_is_always_too_old_is_not_returned(
    service: Driver, monkeypatch: pytest.MonkeyPatch, clock: FakeClock
) -> None:
    monkeypatch.setattr(decision_service, "failpoint", lambda _: clock.advance(0.3))
    response = await post(service, "evaluation", ask("user:eve", "execute:training", "p1"))
    assert (response.status, "too slow" in response.json["detail"]) == (503, True)
    assert "decision" not in response.json


@pytest.mark.proves("R94")
async def test_a_rejected_evaluation_is_recorded_with_its_route(service: Driver) -> None:
    response = await post(service, "evaluation", ask("user:eve", "NOT ONE", "p1"))
    assert response.status == 400
    with service.context.store.read() as tx:
        row = search_newest(tx.conn, AuditFilter(event="decision"), 1)[0]
    assert (row["identity"], row["allowed"], row["reason"]) == ("service-account:robot", False, "syntax")
    assert row["details"]["route"] == "POST /access/v1/evaluation"


# --- the credential of a service account that is known already


def end_by_revocation(service: Driver) -> None:
    with service.context.store.write(OPERATOR) as tx:
        (number,) = tx.conn.execute(select(tables.credentials.c.id)).scalars()
        credentials.revoke_credential(tx, "robot", number)


def end_by_lock(service: Driver) -> None:
    with service.context.store.write(OPERATOR) as tx:
        locks.lock_target(tx, LockTarget.IDENTITY, "service-account:robot", reason="stolen")


def end_by_deletion(service: Driver) -> None:
    with service.context.store.write(OPERATOR) as tx:
        accounts.delete_service_account(tx, "robot")


def end_by_time(service: Driver) -> None:
    with service.context.store.write(OPERATOR) as tx:
        tx.conn.execute(update(tables.credentials).values(expires=tx.now))
        tx.record_change("test", {}, [])  # the end of a credential never changes otherwise, so it is cached


@pytest.mark.proves("R48", "R58")
@pytest.mark.parametrize("end", [end_by_revocation, end_by_lock, end_by_deletion, end_by_time])
@pytest.mark.parametrize("path", ["evaluation", "evaluations"])
async def test_a_known_credential_ends_at_once(service: Driver, path: str, end: Callable[[Driver], None]) -> None:
    request = ask("user:eve", "read:training", "p1")
    body = request if path == "evaluation" else {"evaluations": [request]}
    for _ in range(2):  # looked up, then remembered
        assert (await post(service, path, body)).status == 200
    end(service)
    statuses = [(await post(service, path, body)).status for _ in range(3)]
    assert statuses[0] in (401, 403)
    assert statuses[1:] == [401, 401], "it is looked up after a refusal"
    with service.context.store.read() as tx:
        refusals = search_newest(tx.conn, AuditFilter(event="decision"), 10)
    assert [(row["allowed"], row["details"]["route"]) for row in refusals] == [(False, f"POST /access/v1/{path}")], (
        "only the first refusal is a decision"
    )
    assert len(recorded(service)) == 2


@pytest.mark.proves("R48")
async def test_a_credential_does_not_answer_for_another_account(service: Driver) -> None:
    """A remembered credential whose row now belongs to another account is refused."""
    request = ask("user:eve", "read:training", "p1")
    for _ in range(2):
        assert (await post(service, "evaluation", request)).status == 200
    with service.context.store.write(OPERATOR) as tx:
        accounts.create_service_account(tx, "other")
        other = tx.conn.scalar(select(tables.service_accounts.c.id).where(tables.service_accounts.c.name == "other"))
        tx.conn.execute(update(tables.credentials).values(service_account_id=other))
        tx.record_change("test", {}, ["service-account:robot", "service-account:other"])
    assert (await post(service, "evaluation", request)).status == 401


async def test_more_than_a_batch_is_decided_in_several(service: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch is full by its decisions, not by its requests: other decisions wait for it."""
    sizes: list[int] = []
    recorder = service.context.decisions._recorder
    record = recorder.record

    def count(batch: Any) -> Any:
        sizes.append(sum(item.size for item in batch))
        return record(batch)

    monkeypatch.setattr(recorder, "record", count)
    monkeypatch.setattr(decision_service, "MAX_BATCH", 10)
    request = ask("user:eve", "read:training", "p1")
    bodies = [{"evaluations": [request] * 8}] * 6
    responses = await asyncio.gather(*(post(service, "evaluations", body) for body in bodies))
    assert [len(response.json["evaluations"]) for response in responses] == [8] * 6
    assert max(sizes) <= 16
    assert sum(sizes) == len(recorded(service)) == 48


async def test_searches_in_a_project_that_does_not_exist_are_empty(service: Driver) -> None:
    resource = {"resource": {"type": "project", "id": "no-such-project"}}
    subjects = await post(
        service, "search/subject", {**resource, "subject": {"type": "user"}, "action": {"name": "read:training"}}
    )
    actions = await post(service, "search/action", {**resource, "subject": {"type": "user", "id": "boss"}})
    for response in (subjects, actions):
        assert (response.status, response.json["results"]) == (200, [])


@pytest.mark.proves("R80")
async def test_searches_agree_with_evaluations(service: Driver) -> None:
    body = {**ask("user:eve", "execute:training", "p1"), "subject": {"type": "user"}}
    names = {subject["id"] for subject in (await post(service, "search/subject", body)).json["results"]}
    for name in ("boss", "maker", "ada", "eve", "rob", "nil", "zoe"):
        decided = await post(service, "evaluation", ask(f"user:{name}", "execute:training", "p1"))
        assert decided.json["decision"] is (name in names)
    assert names == {"ada", "eve"}
    body = {**ask("user:eve", "read:training", "p1"), "resource": {"type": "project"}}
    projects = (await post(service, "search/resource", body)).json["results"]
    assert projects == [{"type": "project", "id": "p1"}]
    body = {key: value for key, value in ask("user:rob", "-", "p1").items() if key != "action"}
    actions = {action["name"] for action in (await post(service, "search/action", body)).json["results"]}
    assert "read:training" in actions
    assert "execute:training" not in actions


async def test_pages_of_a_search_have_no_gap_and_no_overlap(service: Driver) -> None:
    body = {**ask("user:eve", "read:training", "p1"), "subject": {"type": "user"}}
    names = [subject["id"] for subject in (await post(service, "search/subject", body)).json["results"]]
    seen, token = [], ""
    for _ in range(len(names)):
        page = (await post(service, "search/subject", {**body, "page": {"limit": 1, "token": token}})).json
        seen += [subject["id"] for subject in page["results"]]
        token = page["page"]["next_token"]
    assert seen == names == ["ada", "eve", "rob"]
    assert token == ""
    refused = await post(service, "search/subject", {**body, "page": {"token": "not a token"}})
    assert refused.status == 400


async def test_pages_of_a_search_for_projects(service: Driver) -> None:
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
async def test_unknown_types_and_actions_are_refused(service: Driver, path: str, broken: dict[str, Any]) -> None:
    assert (await post(service, path, {**ask("user:eve", "read:training", "p1"), **broken})).status == 400


async def test_unknown_members_are_ignored_and_the_request_id_is_returned(service: Driver) -> None:
    body = {**ask("user:eve", "read:training", "p1"), "context": {"time": "now"}, "more": 1}
    body["subject"]["properties"] = {"department": "sales"}
    response = await post(service, "evaluation", body, **{"X-Request-ID": "abc-1"})
    assert (response.status, response.headers["X-Request-ID"]) == (200, "abc-1")


@pytest.mark.parametrize(
    "broken", [{}, {"subject": "eve"}, {"subject": {"type": "user"}, "action": {}, "resource": {}}]
)
async def test_a_malformed_request_is_refused(service: Driver, broken) -> None:
    assert (await post(service, "evaluation", broken)).status == 400


@pytest.mark.proves("R72")
async def test_only_service_accounts_that_may_read_access_are_answered(service: Driver) -> None:
    body = ask("user:eve", "read:training", "p1")
    ada = await service.open("ada")
    assert (await service.call("POST", "/access/v1/evaluation", body, auth=ada.auth)).status == 401
    assert (await service.call("POST", "/access/v1/evaluation", body)).status == 401
    with service.context.store.write(OPERATOR) as tx:
        assignments.revoke_roles(tx, ["AIZEN_ADMIN"], "system", Identity.service_account("robot"))
    assert (await post(service, "evaluation", body)).status in (403, 404)
    assert (await post(service, "search/subject", {**body, "subject": {"type": "user"}})).status in (403, 404)
    listed = await post(service, "search/resource", {**body, "resource": {"type": "project"}})
    assert listed.json["results"] == []


async def test_the_metadata_lists_existing_addresses(service: Driver) -> None:
    response = await service.call("GET", "/.well-known/authzen-configuration")
    assert response.status == 200
    for name, address in response.json.items():
        if name.endswith("_endpoint"):
            path = address.removeprefix(response.json["policy_decision_point"])
            assert (await service.call("POST", path, {})).status == 401

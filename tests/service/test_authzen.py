"""The OpenID AuthZEN endpoints, over HTTP, against the same store that decides commands."""

from __future__ import annotations

from typing import Any

import pytest

from aizen_hub.accounts import assignments
from aizen_hub.rbac.identity import Identity
from tests.service.conftest import OPERATOR, Driver, Response


def ask(subject: str, action: str, project: str | None) -> dict[str, Any]:
    kind, _, name = subject.partition(":")
    resource = {"type": "project", "id": project} if project else {"type": "system", "id": "system"}
    return {"subject": {"type": kind, "id": name}, "action": {"name": action}, "resource": resource}


async def post(service: Driver, path: str, body: Any, **headers: str) -> Response:
    auth = f"Bearer {service.robot}"  # type: ignore[attr-defined]
    return await service.call("POST", f"/access/v1/{path}", body, auth=auth, headers=headers)


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
    assert [one["decision"] for one in answer.json["evaluations"]] == decisions


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

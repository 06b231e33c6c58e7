"""Questions about commands are answered as the command would be decided, and change and record nothing."""

from __future__ import annotations

from typing import Any

import pytest

from aizen_hub.accounts.roles import assignments
from aizen_hub.problems import Unavailable
from aizen_hub.rbac.identity import Identity
from tests.service.conftest import OPERATOR, Driver, Session
from tests.service.core.test_gateway import audit


async def ask(service: Driver, session: Session, line: str, **more: str) -> dict[str, Any]:
    response = await service.call("POST", "/api/v1/access-queries/command", {"line": line, **more}, auth=session.auth)
    assert response.status == 200, response.body
    answer: dict[str, Any] = response.json
    return answer


@pytest.mark.parametrize(
    ("user", "line", "allowed", "role"),
    [
        ("eve", "start training churn", True, "PROJECT_EXECUTOR"),
        ("rob", "start training churn", False, "PROJECT_EXECUTOR"),
        ("rob", "start training", False, "PROJECT_EXECUTOR"),
        ("rob", "list projects", True, None),
        ("ada", "grant role", True, "PROJECT_ADMIN"),
        ("ada", "grant role PROJECT_READER to nil", True, "PROJECT_ADMIN"),
        ("ada", "grant role PROJECT_READER to ada", False, None),
        ("ada", "grant role AIZEN_ADMIN to nil", False, None),
        ("rob", "grant role PROJECT_READER to nil", False, None),
        ("ada", "grant role PROJECT_READER to absent", False, None),
    ],
)
async def test_the_answer_is_that_of_the_command(
    service: Driver, user: str, line: str, allowed: bool, role: str | None
) -> None:
    session = await service.open(user)
    revision, decisions = service.revision(), len(audit(service, "decision"))
    answer = await ask(service, session, line)
    assert (answer["allowed"], answer["role"]) == (allowed, role), answer
    assert answer["sentence"]
    assert (service.revision(), len(audit(service, "decision"))) == (revision, decisions)
    if answer["complete"] and not answer["command"].startswith("start"):
        response = await service.command(session, line)
        assert (response.status in (200, 202)) == allowed, response.body
        if not allowed:
            assert response.json["detail"] == answer["sentence"]


async def test_a_grant_is_asked_about_in_the_project_that_is_named(service: Driver) -> None:
    maker = await service.open("maker", None)
    allowed = await ask(service, maker, "grant role PROJECT_READER to nil", project="p2")
    assert allowed["allowed"], allowed["sentence"]
    refused = await ask(service, maker, "revoke role PROJECT_EXECUTOR from eve", project="p2")
    assert "in `p2`" in refused["sentence"], "eve has it in p1"
    with service.context.store.write(OPERATOR) as tx:
        assignments.unauthorized_write_assignment(tx, "PROJECT_READER", "p2", Identity.user("rob"), reason="test")
    answer = await ask(service, await service.open("rob"), "grant role PROJECT_READER to nil", project="p2")
    assert "in `p2`" in answer["sentence"]
    assert "zoe" in answer["remedy"]


async def test_a_grant_that_cannot_be_tried_is_not_answered_with_no(
    service: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object) -> None:  # a store that takes no writes cannot be made without stopping the reads too
        raise Unavailable("the store takes no writes")

    monkeypatch.setattr("aizen_hub.service.api.mine.questions.try_change", fail)
    ada = await service.open("ada")
    body = {"line": "grant role PROJECT_READER to nil"}
    response = await service.call("POST", "/api/v1/access-queries/command", body, auth=ada.auth)
    assert response.status == 503, response.body


async def test_a_no_says_who_can_help_and_leads_to_the_pages(service: Driver) -> None:
    answer = await ask(service, await service.open("rob"), "start training churn")
    assert answer["who_can_grant"] == ["ada", "maker"]
    assert answer["ask"].endswith("/services/aizen/me/ask?role=PROJECT_EXECUTOR&project=p1")
    assert answer["why"].endswith("/services/aizen/why?do=start+training&in=p1")
    assert "ada" in answer["remedy"]
    rob = await service.open("rob")
    unknown = await service.call("POST", "/api/v1/access-queries/command", {"line": "strat training"}, auth=rob.auth)
    assert (unknown.status, unknown.json["suggestion"]) == (400, "start training")


@pytest.mark.proves("R72")
async def test_a_hidden_project_and_a_missing_one_are_answered_alike(service: Driver) -> None:
    rob = await service.open("rob")
    hidden, absent = await ask(service, rob, "show project p2"), await ask(service, rob, "show project p9")
    assert {**hidden, "scope": "", "why": "", "sentence": hidden["sentence"].replace("p2", "p9")} == {
        **absent, "scope": "", "why": ""
    }  # fmt: skip


async def test_what_can_i_do(service: Driver) -> None:
    rob, eve = await service.open("rob"), await service.open("eve")

    async def commands(session: Session) -> dict[str, str | None]:
        response = await service.call("GET", "/api/v1/session/commands", auth=session.auth)
        assert response.status == 200, response.body
        assert response.json["total"] > len(response.json["commands"])
        return {command["command"]: command["role"] for command in response.json["commands"]}

    of_rob, of_eve = await commands(rob), await commands(eve)
    assert of_rob["list trainings"] == "PROJECT_READER"
    assert "start training" not in of_rob
    assert of_eve["start training"] == "PROJECT_EXECUTOR"
    assert "delete training" not in of_eve
    assert of_rob["list projects"] is None

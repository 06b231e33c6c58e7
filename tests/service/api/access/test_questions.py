"""A question about a grant is answered as the grant itself: by its permission and by the rules on each role."""

from __future__ import annotations

from typing import Any

import pytest

from aizen_hub.audit.search import AuditFilter, search_newest
from tests.service.conftest import Driver, Session

ESCALATING = "grant role AIZEN_ADMIN to eve"


async def ask(service: Driver, user: str | Session, query: str = "can-i", **body: Any) -> dict[str, Any]:
    session = await service.open(user) if isinstance(user, str) else user
    answer = await service.call("POST", f"/api/v1/access-queries/{query}", body, auth=session.auth)
    assert answer.status == 200, answer.body
    data: dict[str, Any] = answer.json["data"]
    return data


TABLE = [
    # who, command, allowed by the rules of the catalog `aizen`
    ("ada", "grant role PROJECT_READER to nil", True),
    ("ada", "grant role PROJECT_READER,PROJECT_EXECUTOR to nil", True),
    ("ada", "grant role PROJECT_READER,AIZEN_ADMIN to nil", False),
    ("ada", ESCALATING, False),
    ("ada", "grant role PROJECT_ADMIN to ada", False),
    ("ada", "revoke role PROJECT_READER from rob", True),
    ("ada", "revoke role AIZEN_ADMIN from boss", False),
    ("rob", "grant role PROJECT_READER to nil", False),
    ("eve", "revoke role PROJECT_READER from rob", False),
    ("ada", "start training churn", True),
    ("rob", "start training churn", False),
    ("rob", "list projects", True),
]


@pytest.mark.proves("R66", "R80")
@pytest.mark.parametrize(("user", "command", "allowed"), TABLE)
async def test_a_question_is_answered_as_the_command_is_decided(
    service: Driver, user: str, command: str, allowed: bool
) -> None:
    session = await service.open(user)
    asked = await ask(service, session, command=command, scope="p1")
    assert asked["allowed"] is allowed
    explained = await ask(service, session, "why", command=command, scope="p1")
    assert explained["allowed"] is allowed
    answer = await service.call("POST", "/api/v1/decisions", {"command": command}, auth=session.auth)
    decision = answer.json["decision"]
    assert decision["allowed"] is allowed
    with service.context.store.read() as tx:
        (row,) = search_newest(tx.conn, AuditFilter(id=decision["id"]))
    assert row["allowed"] is allowed
    if command.startswith(("grant", "revoke")):
        executed = await service.command(session, command)
        assert (executed.status == 200) is allowed, executed.body


async def test_the_reason_names_the_rule(service: Driver) -> None:
    asked = await ask(service, "ada", command=ESCALATING, scope="p1")
    assert asked["reason"] == "escalation"
    assert asked["sentence"].startswith(
        "you cannot grant AIZEN_ADMIN in the system to `eve`: only AIZEN_ADMIN can grant"
    )
    of_eve = await ask(service, "ada", command="grant role PROJECT_READER to nil", scope="p1", identity="user:eve")
    assert of_eve["allowed"] is False
    of_itself = await ask(service, "rob", command="grant role PROJECT_READER to nil", scope="p1")
    assert of_itself["sentence"].startswith("you cannot grant PROJECT_READER to `nil`: only PROJECT_ADMIN or")


async def test_a_hypothetical_role_can_give_the_right_to_grant(service: Driver) -> None:
    question = {"command": "grant role PROJECT_READER to nil", "scope": "p1", "identity": "user:eve"}
    assert (await ask(service, "ada", "what-if", **question))["allowed"] is False
    supposed = [{"role": "PROJECT_ADMIN", "scope": "p1", "identity": "user:eve"}]
    assert (await ask(service, "ada", "what-if", **question, assignments=supposed))["allowed"] is True
    question["command"] = ESCALATING
    refused = await ask(service, "ada", "what-if", **question, assignments=supposed)
    assert refused["allowed"] is False
    assert refused["sentence"].startswith("`eve` cannot grant AIZEN_ADMIN")


@pytest.mark.parametrize(
    ("command", "status", "slug"),
    [
        ("grant role PROJECT_READER nil", 400, "command-syntax"),  # the rules depend on what it leaves out
        ("grant role NO_SUCH_ROLE to nil", 400, "bad-input"),
        ("no such command", 400, "unknown-command"),
        ("start training", 200, ""),  # other commands need no arguments
        ("grant role", 200, ""),
    ],
)
async def test_incomplete_commands(service: Driver, command: str, status: int, slug: str) -> None:
    session = await service.open("ada")
    body = {"command": command, "scope": "p1"}
    answer = await service.call("POST", "/api/v1/access-queries/can-i", body, auth=session.auth)
    assert answer.status == status, answer.body
    assert status == 200 or answer.json["type"].endswith(slug)
    del body["scope"]
    answer = await service.call(
        "POST", "/api/v1/access-queries/can-i", {"command": "start training"}, auth=session.auth
    )
    assert answer.json["type"].endswith("project-required")

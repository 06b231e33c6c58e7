"""Refusals over HTTP: who is suggested, for which role and scope, in the words of the channel."""

from __future__ import annotations

import json
from typing import Any

import pytest

from aizen_hub.accounts.groups import management, membership
from aizen_hub.accounts.roles import assignments, custom_roles
from aizen_hub.accounts.service_accounts import accounts, credentials
from aizen_hub.rbac.identity import Identity
from aizen_hub.store import tables
from tests.service.conftest import OPERATOR, Driver, Response


async def refused(service: Driver, user: str, text: str, project: str | None = "p1") -> Any:
    answer = await service.command(await service.open(user, project), text)
    assert answer.status == 403, answer.body
    return answer.json


def write(service: Driver, operation: Any, *args: Any, **more: Any) -> None:
    with service.context.store.write(OPERATOR) as tx:
        operation(tx, *args, **more)


async def test_a_refusal_suggests_the_role_that_adds_least(service: Driver) -> None:
    write(service, custom_roles.create_role, "TRAINER", permissions=["execute:training"], scopes=["project"])
    problem = await refused(service, "rob", "start training churn")
    assert problem["decision"]["role"] == "TRAINER"
    assert problem["remedy"].startswith("ask `ada` for the role TRAINER in `p1`, or request it with")


async def test_a_role_of_the_system_is_asked_for_in_the_system(service: Driver) -> None:
    """It was suggested in the current project, where it cannot be assigned."""
    problem = await refused(service, "rob", "create project mine")
    assert problem["decision"]["role"] == "PROJECT_CREATOR"
    assert (problem["scope"], problem["who_can_grant"]) == ("system", ["boss"])
    assert problem["remedy"] == (
        "ask `boss` for the role PROJECT_CREATOR in the system, or request it with `request PROJECT_CREATOR`"
    )


async def test_no_user_is_told_to_ask_themselves(service: Driver) -> None:
    """An admin may grant roles in the project to others, but not what this command needs to themselves."""
    problem = await refused(service, "maker", "start training churn", None)
    assert problem["type"].endswith("project-required")
    write(
        service,
        assignments.unauthorized_write_assignment,
        "PROJECT_READER",
        "p1",
        Identity.user("maker"),
        reason="test",
    )
    problem = await refused(service, "maker", "start training churn")
    assert problem["who_can_grant"] == ["ada"]
    assert "`maker`" not in problem["remedy"]


async def test_no_user_is_told_to_ask_themselves_for_a_group_of_their_own(service: Driver) -> None:
    """An admin of the project could grant it to any other group; the group is their own."""
    write(service, management.create_group, "team")
    write(service, membership.add_member, "team", Identity.user("ada"))
    body = {"roles": ["PROJECT_READER"], "scope": "p1", "identity": "group:team", "reason": ""}
    session = await service.open("ada")
    answer = await service.call("POST", "/api/v1/assignments", body, auth=session.auth)
    assert answer.status == 403
    assert answer.json["who_can_grant"] == ["maker"]
    assert "`ada`" not in answer.json["remedy"]
    # A reader who may not know the group does not learn who is in it (R72).
    session = await service.open("eve")
    answer = await service.call("POST", "/api/v1/assignments", body, auth=session.auth)
    assert (answer.status, answer.json["who_can_grant"]) == (403, ["ada", "maker"])


@pytest.mark.proves("R72")
@pytest.mark.parametrize(
    "line",
    ["start training churn", "list trainings", "grant role PROJECT_READER to nil", "list users", "list roles",
     "list roles for zoe", "show project"],
)  # fmt: skip
async def test_a_project_that_a_command_names_without_a_session_is_hidden_like_any_other(
    service: Driver, line: str
) -> None:
    with service.context.store.write(OPERATOR) as tx:
        accounts.create_service_account(tx, "other")
        credential = credentials.issue_credential(tx, "other").data["credential"]

    async def answer(project: str) -> Any:
        body = {"text": line, "project": project}
        response = await service.call("POST", "/api/v1/commands", body, auth=f"Bearer {credential}")
        shown = {**response.json, "why": None, "id": None}
        shown["decision"] = {**shown.get("decision", {}), "id": None, "at": None}
        return response.status, json.loads(json.dumps(shown).replace(project, "p"))

    assert await answer("p2") == await answer("p9")


async def test_a_role_that_no_user_can_grant_is_said_to_be_so(service: Driver) -> None:
    write(service, custom_roles.create_role, "LICENSOR", permissions=["manage:license"], scopes=["system"])
    with service.context.store.write(OPERATOR) as tx:
        tx.conn.execute(tables.assignment_rows.delete().where(tables.assignment_rows.c.identity == "user:boss"))
        tx.record_change("test", {}, ["*"])
    problem = await refused(service, "maker", "check license", None)
    assert problem["remedy"] == "this needs the role LICENSOR in the system, which no other user can grant at present"


async def test_a_refused_grant_names_who_may_grant_that_role(service: Driver) -> None:
    """What the command's own permission would need is no help: PROJECT_ADMIN has it and may not grant this role."""
    problem = await refused(service, "rob", "grant role PROJECT_CREATOR to eve")
    assert problem["detail"] == (
        "you cannot grant PROJECT_CREATOR to `eve`: only AIZEN_ADMIN can grant PROJECT_CREATOR in the system"
    )
    assert problem["decision"]["sentence"] == problem["detail"]
    assert problem["decision"]["role"] is None
    assert problem["who_can_grant"] == ["boss"]
    assert problem["remedy"] == "ask `boss` to do it"
    problem = await refused(service, "rob", "grant role PROJECT_READER to eve")
    assert "only PROJECT_ADMIN or PROJECT_CREATOR can grant PROJECT_READER in `p1`" in problem["detail"]
    assert problem["who_can_grant"] == ["ada", "maker"]


async def test_the_question_whether_one_may_grant_is_answered_by_the_same_rules(service: Driver) -> None:
    rob = await service.open("rob")
    body = {"command": "grant role PROJECT_CREATOR to eve"}
    answer = await service.call("POST", "/api/v1/decisions", body, auth=rob.auth)
    decision = answer.json["decision"]
    assert (decision["allowed"], decision["role"]) == (False, None)
    assert decision["sentence"].endswith("only AIZEN_ADMIN can grant PROJECT_CREATOR in the system")


async def test_a_refused_revocation_names_who_may_revoke(service: Driver) -> None:
    problem = await refused(service, "rob", "revoke role PROJECT_EXECUTOR from eve")
    assert "only PROJECT_ADMIN can revoke PROJECT_EXECUTOR in `p1`" in problem["detail"]
    assert problem["who_can_revoke"] == ["ada"]
    creator = await service.command(await service.open("zoe", "p2"), "revoke role PROJECT_ADMIN from zoe")
    assert creator.status == 403
    assert creator.json["who_can_revoke"] == ["boss"]
    assert creator.json["remedy"] == "ask `boss`, who can revoke it"


async def test_the_api_refuses_a_grant_by_the_same_rules(service: Driver) -> None:
    rob = await service.open("rob")
    body = {"roles": ["PROJECT_CREATOR"], "scope": "p1", "identity": "user:eve", "reason": ""}
    answer = await service.call("POST", "/api/v1/assignments", body, auth=rob.auth)
    assert answer.status == 403
    assert answer.json["who_can_grant"] == ["boss"]
    assert "only AIZEN_ADMIN can grant PROJECT_CREATOR in the system" in answer.json["detail"]


async def test_an_account_that_is_not_activated_is_told_to_use_its_link(service: Driver) -> None:
    session = await service.open("eve")
    with service.context.store.write(OPERATOR) as tx:
        tx.conn.execute(tables.users.update().where(tables.users.c.name == "eve").values(active=False))
        tx.record_change("test", {}, ["user:eve"])
    answer = await service.command(session, "list projects")
    assert (answer.status, answer.json["code"]) == (401, "not-active")
    assert answer.json["remedy"].startswith("open the activation link")
    renewed = await service.renew(session)
    assert renewed.json["remedy"].startswith("open the activation link")
    subject = service.context.store
    with subject.read() as tx:
        row = tx.conn.execute(tables.users.select().where(tables.users.c.name == "eve")).one()
    report = {"provider": "local", "subject": row.subject, "name": "eve", "groups": None}
    login: Response = await service.hub("POST", "/login", report)
    assert (login.json["outcome"], "activation link" in login.json["reason"]) == ("not-active", True)


async def test_a_notebook_is_told_its_own_commands(service: Driver) -> None:
    boss = await service.open("boss", None)
    unknown = await service.command(boss, "list roles for missing")
    assert unknown.json["remedy"] == "`list users` shows who is registered"
    no_project = await service.command(boss, "start training churn")
    assert no_project.json["remedy"] == "`set project <name>` chooses one; `list projects` shows yours"


async def test_the_hub_is_told_what_its_pages_offer(service: Driver) -> None:
    opening = {"user": "rob", "requester": "rob", "server": "", "project": "p2", "credential": "a" * 64}
    answer = await service.hub("POST", "/sessions", opening)
    assert answer.status == 404
    assert answer.json["remedy"].startswith("My access shows")

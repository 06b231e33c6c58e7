"""Whether an identity exists is told by a grant or revocation to those only who may make it (R72)."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from aizen_hub.accounts.groups import management, membership
from aizen_hub.accounts.service_accounts import accounts
from aizen_hub.rbac.identity import Identity
from aizen_hub.store import tables
from tests.service.conftest import OPERATOR, Driver, Response

GRANT, REVOKE = "/api/v1/assignments", "/api/v1/assignments/revoke"
EXISTING = {"user": "nil", "group": "crew", "service-account": "shipper"}
MISSING = {"user": "zzz", "group": "none", "service-account": "absent"}
VARYING = re.compile(r'"(?:id|at|revision|why|instance)": ?(?:"[^"]*"|\d+)')


@pytest.fixture
def world(service: Driver) -> Driver:
    """``nil`` has no role; ``ada``, its admin, is in the group and controls the service account."""
    with service.context.store.write(OPERATOR) as tx:
        management.create_group(tx, "crew")
        membership.add_member(tx, "crew", Identity.user("ada"))
        accounts.create_service_account(tx, "shipper")
        account = tables.service_accounts
        tx.conn.execute(account.update().where(account.c.name == "shipper").values(controller="user:ada"))
        tx.record_change("test", {}, ["*"])
    return service


def told(answer: Response, name: str) -> tuple[int, Any]:
    """What an answer tells besides the name that was asked for."""
    text = json.dumps(answer.json)
    return answer.status, VARYING.sub("", text).replace(name, "NAME")


@pytest.mark.proves("R72")
@pytest.mark.parametrize("kind", EXISTING)
@pytest.mark.parametrize("path", [GRANT, REVOKE])
@pytest.mark.parametrize(
    ("actor", "role"),
    [
        ("rob", "PROJECT_READER"),  # may grant nothing
        ("eve", "AIZEN_ADMIN"),
        ("ada", "AIZEN_ADMIN"),  # may grant other roles
        ("zoe", "PROJECT_READER"),  # does not see the project
    ],
)
async def test_the_api_answers_alike(world: Driver, actor: str, role: str, path: str, kind: str) -> None:
    session = await world.open(actor, "p2" if actor == "zoe" else "p1")
    answers = []
    for name in (EXISTING[kind], MISSING[kind]):
        body = {"roles": [role], "scope": "p1", "identity": f"{kind}:{name}"}
        if role == "AIZEN_ADMIN":
            del body["scope"]
        answers.append(told(await world.call("POST", path, body, auth=session.auth), name))
    assert answers[0] == answers[1]
    assert answers[0][0] == (404 if actor == "zoe" else 403)


@pytest.mark.proves("R72")
@pytest.mark.parametrize("actor", ["rob", "ada"])
@pytest.mark.parametrize("line", ["grant role AIZEN_ADMIN to {}", "revoke role AIZEN_ADMIN from {}"])
async def test_a_command_answers_alike(world: Driver, actor: str, line: str) -> None:
    session = await world.open(actor)
    answers = [told(await world.command(session, line.format(name)), name) for name in ("nil", "zzz")]
    assert answers[0] == answers[1]
    assert answers[0][0] == 403


@pytest.mark.proves("R72")
async def test_a_revocation_tells_who_exists_to_those_only_who_manage_users(world: Driver) -> None:
    line = "revoke role PROJECT_READER from {}"
    session = await world.open("ada")
    answers = [told(await world.command(session, line.format(name)), name) for name in ("nil", "zzz")]
    assert answers[0] == answers[1]
    assert answers[0][0] == 404
    assert "has no direct assignment of PROJECT_READER" in answers[0][1]
    robot = f"Bearer {world.robot}"  # type: ignore[attr-defined]
    body = {"roles": ["AIZEN_ADMIN"], "identity": "user:zzz"}
    assert (await world.call("POST", REVOKE, body, auth=robot)).json["detail"] == "there is no user `zzz`"


async def test_those_who_may_grant_are_told_of_a_wrong_name(world: Driver) -> None:
    answer = await world.command(await world.open("ada"), "grant role PROJECT_READER to zzz")
    assert (answer.status, answer.json["detail"]) == (404, "there is no user `zzz`")

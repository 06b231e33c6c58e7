"""The main journey over HTTP: login report, session, command, denial, grant, command."""

from __future__ import annotations

import asyncio

import pytest

from tests.service.conftest import INSTANCE, PASSWORD, Driver


async def test_login_report_session_and_who_am_i(service: Driver) -> None:
    check = {"provider": "local", "name": "eve", "password": PASSWORD}
    verified = (await service.hub("POST", "/login/password", check)).json
    assert verified["outcome"] == "verified"
    report = {"provider": "local", "subject": verified["subject"], "name": "eve", "groups": None}
    answer = await service.hub("POST", "/login", report)
    assert answer.status == 200
    assert (answer.json["outcome"], answer.json["user"]) == ("admitted", "eve")
    assert answer.json["hub_user"]["admin"] is False
    choices = await service.hub("GET", "/sessions/choices?user=eve")
    assert [project["name"] for project in choices.json["projects"]] == ["p1"]
    assert choices.json["system_session"] is False
    session = await service.open("eve")
    me = await service.call("GET", "/api/v1/me", auth=session.auth)
    assert me.status == 200
    assert (me.json["user"], me.json["project"], me.json["session"]) == ("eve", "p1", session.id)
    assert me.json["roles"] == [{"role": "PROJECT_EXECUTOR", "scope": "p1", "via": [], "until": None}]


@pytest.mark.proves("R48", "R49", "R61")
async def test_a_right_granted_and_revoked_counts_for_the_next_command(service: Driver) -> None:
    rob, ada = await service.open("rob"), await service.open("ada")
    refused = await service.command(rob, "start training churn")
    assert refused.status == 403
    problem = refused.json
    assert problem["decision"]["allowed"] is False
    assert problem["decision"]["reason"] == "no-assignment"
    assert problem["who_can_grant"] == ["ada", "maker"]
    assert "PROJECT_EXECUTOR" in problem["remedy"]
    granted = await service.command(ada, "grant role PROJECT_EXECUTOR to rob")
    assert granted.status == 200, granted.body
    assert granted.json["canonical"] == "grant role PROJECT_EXECUTOR to rob"
    allowed = await service.command(rob, "start training churn")
    assert allowed.status == 502, "allowed, but there is no core"
    assert allowed.json["decision"]["allowed"] is True
    assert allowed.json["decision"]["revision"] >= granted.json["result"]["revision"]
    assert allowed.json["detail"] == "allowed, but no core is configured"
    assert (await service.command(ada, "revoke role PROJECT_EXECUTOR from rob")).status == 200
    assert (await service.command(rob, "start training churn")).status == 403


async def test_account_commands_answer_tables(service: Driver) -> None:
    ada = await service.open("ada")
    answer = await service.command(ada, "list projects")
    assert answer.status == 200
    assert answer.json["result"]["kind"] == "table"
    assert [row[0] for row in answer.json["result"]["rows"]] == ["p1"]
    state = await service.call("GET", f"/api/v1/commands/{answer.json['id']}", auth=ada.auth)
    assert (state.status, state.json["state"], state.json["canonical"]) == (200, "done", "list projects")
    rob = await service.open("rob")
    foreign = await service.call("GET", f"/api/v1/commands/{answer.json['id']}", auth=rob.auth)
    assert foreign.status == 404, "a command of another user is not found"


@pytest.mark.proves("R72")
async def test_a_foreign_project_is_answered_as_a_missing_one(service: Driver) -> None:
    rob = await service.open("rob")
    foreign = await service.command(rob, "show project p2")
    absent = await service.command(rob, "show project p9")

    def shape(problem: dict) -> str:
        decision_id = problem["decision"]["id"]
        assert problem["why"].endswith(f"why?decision={decision_id}")
        return str({**problem, "decision": {**problem["decision"], "id": "", "at": ""}, "why": ""}).replace("p2", "p9")

    assert foreign.status == absent.status == 404
    assert shape(foreign.json) == shape(absent.json)


async def test_set_project_asks_for_renewal_and_ends_the_old_token(service: Driver) -> None:
    boss = await service.open("boss", None)
    answer = await service.command(boss, "set project p1")
    assert answer.status == 200, answer.body
    assert answer.json["result"]["data"] == {"renew": True, "project": "p1"}
    old = await service.call("GET", "/api/v1/me", auth=boss.auth)
    assert (old.status, old.json["code"]) == (401, "project-changed")
    renewed = await service.renew(boss)
    assert renewed.status == 200, renewed.body
    assert renewed.json["project"] == "p1"
    me = await service.call("GET", "/api/v1/me", auth=f"Bearer {renewed.json['access_token']}")
    assert me.json["project"] == "p1"


@pytest.mark.proves("R46", "R78")
async def test_an_ended_session_and_a_lock_stop_the_token(service: Driver) -> None:
    eve = await service.open("eve")
    ended = await service.hub("POST", "/sessions/end", {"user": "eve", "server": "", "reason": "stopped"})
    assert ended.json == {"ended": 1}
    refused = await service.command(eve, "list projects")
    assert (refused.status, refused.json["code"]) == (401, "session-ended")
    assert (await service.renew(eve)).status == 400
    eve, boss = await service.open("eve"), await service.open("boss", None)
    lock = {"target": "identity", "name": "user:eve", "reason": "left the company"}
    assert (await service.call("POST", "/api/v1/locks", lock, auth=boss.auth)).status == 201
    assert (await service.command(eve, "list projects")).status in (401, 403)
    assert (await service.renew(eve)).status == 400


async def test_heartbeats_end_what_is_gone_and_stop_what_has_ended(service: Driver) -> None:
    await service.open("eve")
    await service.open("rob", server="two")
    live = [{"user": "eve", "server": ""}, {"user": "rob", "server": "two"}, {"user": "nil", "server": "x"}]
    first = await service.hub("POST", "/sessions/heartbeat", {"live": live})
    unknown = [{"user": "nil", "server": "x"}]
    no_admins: dict[str, list[str]] = {"former_admins": []}
    assert first.json == {"ended": [], "stop": [], "without_session": unknown} | no_admins, (
        "started before this hub used the service"
    )
    second = await service.hub("POST", "/sessions/heartbeat", {"live": live[:1]})
    assert second.json == {"ended": [{"user": "rob", "server": "two"}], "stop": [], "without_session": []} | no_admins
    third = await service.hub("POST", "/sessions/heartbeat", {"live": live[:2], "admins": ["boss", "eve", "gone"]})
    assert third.json == {
        "ended": [],
        "stop": [{"user": "rob", "server": "two"}],
        "without_session": [],
        "former_admins": ["eve", "gone"],
    }


@pytest.mark.proves("R65")
async def test_the_named_project_is_decided(service: Driver) -> None:
    ada = await service.open("ada")
    answer = await service.command(ada, "alter project p2,config=f.json", files={"f.json": "[]"})
    assert answer.status == 404


async def test_decisions_without_effect(service: Driver) -> None:
    rob = await service.open("rob")

    async def decide(**body: str) -> dict:
        answer = await service.call("POST", "/api/v1/decisions", body, auth=rob.auth)
        assert answer.status == 200, answer.body
        return answer.json["decision"]

    assert (await decide(command="list trainings"))["allowed"] is True
    assert (await decide(permission="read:training"))["allowed"] is True
    assert (await decide(permission="execute:training"))["reason"] == "no-assignment"
    assert (await decide(permission="read:training", project="p2"))["reason"] == "unknown-project"
    assert (await decide(permission="read:training", project="p9"))["reason"] == "unknown-project"


async def test_password_login_and_activation(service: Driver) -> None:
    check = {"provider": "local", "name": "eve", "password": "a wrong password"}
    wrong = await service.hub("POST", "/login/password", check)
    assert (wrong.status, wrong.json["outcome"]) == (200, "refused")
    good = await service.hub("POST", "/login/password", {**check, "password": PASSWORD})
    assert good.json["outcome"] == "verified"
    boss = await service.open("boss", None)
    created = await service.call("POST", "/api/v1/users", {"name": "new.comer"}, auth=boss.auth)
    assert created.status == 201, created.body
    token = created.json["activation"]["token"]
    body = {"token": token, "password": "correct horse battery"}
    assert (await service.call("POST", "/api/v1/activate", body)).status == 204
    repeated = await service.call("POST", "/api/v1/activate", body)
    assert repeated.status == 401
    check = {"provider": "local", "name": "new.comer", "password": "correct horse battery"}
    assert (await service.hub("POST", "/login/password", check)).json["outcome"] == "verified"


async def test_every_response_names_the_instance(service: Driver) -> None:
    for path in ("/livez", "/readyz", "/nowhere", "/api/v1/me"):
        answer = await service.call("GET", path)
        assert answer.headers["X-Aizen-Instance"] == INSTANCE
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Server"] == "aizen-hub"  # and no version
    assert (await service.call("GET", "/readyz")).json == {"status": "ready", "instance": INSTANCE}


@pytest.mark.proves("R103", "I4")
async def test_a_retried_write_has_one_effect(service: Driver) -> None:
    ada = await service.open("ada")
    key = {"Idempotency-Key": "a-key"}
    first = await service.command(ada, "grant role PROJECT_EXECUTOR to nil", headers=key)
    revision = service.revision()
    second = await service.command(ada, "grant role PROJECT_EXECUTOR to nil", headers=key)
    assert (first.status, second.status) == (200, 200)
    assert second.json["result"] == first.json["result"]
    assert second.headers["Idempotency-Replayed"] == "true"
    assert service.revision() == revision
    other = await service.command(ada, "grant role PROJECT_READER to nil", headers=key)
    assert (other.status, other.json["type"]) == (409, "/services/aizen/docs/problems/idempotency-key-reused")
    both = await asyncio.gather(
        *(service.command(ada, "grant role PROJECT_READER to zoe", headers={"Idempotency-Key": "b"}) for _ in range(8))
    )
    assert {answer.status for answer in both} == {200}
    assert len({str(answer.json["result"]) for answer in both}) == 1


@pytest.mark.proves("R81")
async def test_a_replay_is_authorised_again(service: Driver) -> None:
    zoe = await service.open("zoe", "p2")
    key = {"Idempotency-Key": "k"}
    assert (await service.command(zoe, "grant role PROJECT_READER to nil", headers=key)).status == 200
    boss = await service.open("boss", None)
    lock = {"target": "project", "name": "p2", "reason": "audit"}
    assert (await service.call("POST", "/api/v1/locks", lock, auth=boss.auth)).status == 201
    assert (await service.command(zoe, "grant role PROJECT_READER to nil", headers=key)).status in (401, 403)


async def test_a_heartbeat_of_ten_thousand_servers(service: Driver) -> None:
    live = [{"user": "eve", "server": f"s{number}"} for number in range(10_000)]
    answer = await service.hub("POST", "/sessions/heartbeat", {"live": live})
    assert answer.status == 200
    assert len(answer.json["without_session"]) == 10_000


@pytest.mark.proves("R27", "R83")
async def test_names_are_canonicalized_before_they_are_decided(service: Driver) -> None:
    ada = await service.open("ada")
    shown = await service.command(ada, "show project P1")
    assert (shown.status, shown.json["canonical"]) == (200, "show project p1")
    granted = await service.command(ada, "grant role PROJECT_EXECUTOR to ROB")
    assert (granted.status, granted.json["canonical"]) == (200, "grant role PROJECT_EXECUTOR to rob")

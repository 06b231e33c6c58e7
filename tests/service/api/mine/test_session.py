"""What a session is told about itself: roles with end and source, limits and their use, own requests."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

import pytest
from sqlalchemy import update

from aizen_hub.accounts.groups import management, membership
from aizen_hub.accounts.projects import profile
from aizen_hub.accounts.roles import assignments
from aizen_hub.notebook.answers import show_session
from aizen_hub.notebook.client import NotebookClient
from aizen_hub.notebook.command_runner import CommandRunner
from aizen_hub.rbac.assignment import Interval
from aizen_hub.rbac.identity import Identity
from aizen_hub.store import tables
from tests.service.conftest import OPERATOR, Driver


async def test_a_session_knows_its_roles_with_end_and_source(service: Driver) -> None:
    with service.context.store.write(OPERATOR) as tx:
        ends = tx.now + timedelta(hours=4)
        management.create_group(tx, "data")
        membership.add_member(tx, "data", Identity.user("rob"))
        group = Identity.group("data")
        assignments.unauthorized_write_assignment(
            tx, "PROJECT_EXECUTOR", "p1", group, interval=Interval(None, ends), reason="the migration"
        )
        assignments.unauthorized_write_assignment(tx, "PROJECT_READER", "p2", Identity.user("rob"), reason="elsewhere")
    rob = await service.open("rob")
    response = await service.call("GET", "/api/v1/session", auth=rob.auth)
    assert response.status == 200, response.body
    view = response.json
    assert (view["user"], view["project"], view["session"]["id"]) == ("rob", "p1", rob.id)
    assert view["panel"].endswith("/services/aizen/")
    roles = {role["role"]: role for role in view["roles"]}
    assert set(roles) == {"PROJECT_READER", "PROJECT_EXECUTOR"}, "those of this project and the system only"
    executor, reader = roles["PROJECT_EXECUTOR"], roles["PROJECT_READER"]
    assert (executor["source"], executor["via"], executor["reason"]) == ("group data", ["group:data"], "the migration")
    assert executor["state"] == "effective"
    assert 0 < executor["seconds_left"] <= 4 * 3600
    assert reader["ends"] is None
    assert reader["scope"] == "p1"


async def test_it_shows_own_requests_with_their_state(service: Driver) -> None:
    rob, ada = await service.open("rob"), await service.open("ada")
    body = {"role": "PROJECT_EXECUTOR", "scope": "p1", "reason": "to train"}
    asked = await service.call("POST", "/api/v1/requests", body, auth=rob.auth)
    assert asked.status == 201, asked.body

    async def states() -> list[tuple[str, str]]:
        shown = await service.call("GET", "/api/v1/session", auth=rob.auth)
        return [(request["state"], request["comment"]) for request in shown.json["requests"]]

    assert await states() == [("waiting", "")]
    request = asked.json["data"]["request"]
    denied = await service.call("POST", f"/api/v1/requests/{request}/deny", {"comment": "not now"}, auth=ada.auth)
    assert denied.status == 200, denied.body
    assert await states() == [("denied", "not now")]
    of_ada = await service.call("GET", "/api/v1/session", auth=ada.auth)
    assert of_ada.json["requests"] == [], "only one's own"


@pytest.mark.proves("R72")
async def test_a_session_whose_roles_are_gone_is_told_nothing_else(service: Driver) -> None:
    rob, ada = await service.open("rob"), await service.open("ada")
    with service.context.store.write(OPERATOR) as tx:
        profile.update_profile(tx, "p1", description="a plan")
    before = await service.call("GET", "/api/v1/session", auth=rob.auth)
    assert before.json["project_description"] == "a plan"
    revoked = await service.command(ada, "revoke role PROJECT_READER from rob")
    assert revoked.status == 200, revoked.body
    response = await service.call("GET", "/api/v1/session", auth=rob.auth)
    assert response.status == 200, response.body
    assert (response.json["roles"], response.json["project"]) == ([], "p1")
    assert response.json["project_description"] is None


async def test_a_session_that_will_stop_says_when_and_why(service: Driver) -> None:
    rob = await service.open("rob")
    calm = (await service.call("GET", "/api/v1/session", auth=rob.auth)).json
    assert (calm["ends_at"], calm["ends_because"]) == (None, None)
    assert calm["session"] == {"id": rob.id, "server": "", "started": calm["session"]["started"]}
    grace = service.context.settings.session.hub_down_grace_seconds
    with service.context.store.write(OPERATOR) as tx:
        heard = tx.now - timedelta(seconds=0.8 * grace)
        tx.conn.execute(update(tables.sessions).values(started=heard - timedelta(hours=1), last_seen=heard))
    view = (await service.call("GET", "/api/v1/session", auth=rob.auth)).json
    assert view["ends_at"].endswith("Z")
    assert datetime.fromisoformat(view["at"]) < datetime.fromisoformat(view["ends_at"])
    assert view["ends_because"].startswith("the hub has not reported this server since")
    environ = {"AIZEN_URL": service.url, "AIZEN_TOKEN": rob.token, "JUPYTERHUB_API_TOKEN": rob.hub_token}
    runner = CommandRunner(NotebookClient.from_environment(environ), rich=False)
    shown = (await asyncio.to_thread(show_session, runner)).text()
    assert "; this session stops at 20" in shown
    assert f": {view['ends_because']}" in shown


async def test_without_a_session_it_shows_the_roles_of_all_scopes(service: Driver) -> None:
    response = await service.call("GET", "/api/v1/session", auth=f"Bearer {service.robot}")  # type: ignore[attr-defined]
    assert response.status == 200, response.body
    assert (response.json["kind"], response.json["session"]) == ("service-account", None)
    assert [role["role"] for role in response.json["roles"]] == ["AIZEN_ADMIN"]

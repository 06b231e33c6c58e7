"""What a notebook is told of a session that has ended: who ended it, when and why."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from aizen_hub.accounts.sessions import locks, project_closing, server_sessions
from aizen_hub.accounts.users import registration
from aizen_hub.notebook.client import NotebookClient
from aizen_hub.notebook.command_runner import CommandRunner
from aizen_hub.notebook.display.refusal import Refusal
from aizen_hub.rbac.assignment import LockTarget
from aizen_hub.rbac.identity import Identity
from aizen_hub.store import tables
from aizen_hub.store.actor import Actor, Channel
from tests.service.conftest import OPERATOR, Driver, Session, options, service  # noqa: F401 - fixtures

BOSS = Actor(Identity.user("boss"), Channel.CLI)
ROB = Actor(Identity.user("rob"), Channel.PANEL)
HUB = Actor(Identity.user("rob"), Channel.HUB)
AT = r"\d{4}-\d\d-\d\d \d\d:\d\d UTC"


def write(service: Driver, actor: Actor, operation: Any, *args: Any, **more: Any) -> None:  # noqa: F811
    with service.context.store.write(actor) as tx:
        operation(tx, *args, **more)


async def notebook(service: Driver, session: Session) -> Refusal:  # noqa: F811
    """Return what a cell shows that runs a command."""
    import asyncio

    environ = {"AIZEN_URL": service.url, "AIZEN_TOKEN": session.token, "JUPYTERHUB_API_TOKEN": session.hub_token}
    runner = CommandRunner(NotebookClient.from_environment(environ), rich=False)
    output = await asyncio.to_thread(runner.run, "list projects")
    assert isinstance(output, Refusal), output
    return output


@pytest.mark.parametrize(
    ("actor", "who"),
    [
        (BOSS, "`boss` ended your server's session"),
        (ROB, "you ended your server's session"),
        (HUB, "your server's session ended"),
        (OPERATOR, "an operator of this hub ended your server's session"),
    ],
    ids=["admin", "own", "hub", "operator"],
)
async def test_the_notebook_says_who_ended_the_session_when_and_why(
    service: Driver,  # noqa: F811
    actor: Actor,
    who: str,
) -> None:
    session = await service.open("rob")
    write(service, actor, server_sessions.end_session, session.id, "überprüft: \u201ezu lange\u201c")
    output = await notebook(service, session)
    assert output.title == "Your session has ended"
    assert re.fullmatch(f"{who} at {AT}: überprüft: \u201ezu lange\u201c", output.sentence), output.sentence
    assert "→ start your server again at the hub" in output.text()


async def test_a_lock_is_told_with_its_reason(service: Driver) -> None:  # noqa: F811
    session = await service.open("rob")
    write(service, BOSS, locks.lock_target, LockTarget.IDENTITY, "user:rob", reason="laptop lost")
    output = await notebook(service, session)
    assert re.fullmatch(
        f"`boss` ended your server's session at {AT}: your account was locked: laptop lost", output.sentence
    )
    assert "→ ask an administrator" in output.text()


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        ("restarted", "the server was started again"),
        ("server-gone", "the hub reported that the server had stopped"),
        (project_closing.PROJECT_DELETED, "the project was deleted"),
        (project_closing.PROJECT_LOCKED, "the project was locked"),
    ],
)
async def test_a_reason_of_the_service_is_put_into_words(service: Driver, reason: str, text: str) -> None:  # noqa: F811
    session = await service.open("rob")
    write(service, HUB, server_sessions.end_session, session.id, reason)
    output = await notebook(service, session)
    assert output.sentence.endswith(f": {text}")
    stops_at = output.document.get("server_stops_at")
    assert (stops_at is not None) is text.startswith("the project"), "otherwise it stops at once, or has stopped"
    if stops_at is not None:
        left = datetime.fromisoformat(stops_at) - datetime.now(UTC)
        assert left <= timedelta(seconds=service.context.settings.session.project_end_grace_seconds)


async def test_a_deleted_user_is_told_so(service: Driver) -> None:  # noqa: F811
    session = await service.open("rob")
    write(service, OPERATOR, registration.delete_users, ["rob"])
    assert "an operator of this hub ended your server's session" in (await notebook(service, session)).sentence


async def test_a_locked_project_is_told_with_who_locked_it(service: Driver) -> None:  # noqa: F811
    """The session itself goes on; its token is not renewed."""
    session = await service.open("rob")
    with service.context.store.write(OPERATOR) as tx:
        values = {"reason": "audit", "ends": None, "locked_by": "user:boss", "locked": tx.now}
        tx.conn.execute(tables.locks.insert().values(target="project", name="p1", **values))
        tx.record_change("test", {}, ["*"])
    renewed = await service.renew(session)
    assert renewed.json["code"] == "locked"
    assert re.fullmatch(f"`boss` locked the project `p1` at {AT}: audit", renewed.json["error_description"])

"""Questions about everybody hold nobody else up: no turn to write, no place among the short reads (R125)."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from aizen_hub.accounts.users import users
from aizen_hub.audit.search import AuditFilter, newest
from aizen_hub.authorization.queries import access_queries as questions
from aizen_hub.authorization.queries import authzen as evaluations
from aizen_hub.service.api import access_queries as questions_api
from aizen_hub.service.factory import OWN
from tests.service.conftest import Driver

SEARCH = {
    "subject": {"type": "user"}, "action": {"name": "read:training"}, "resource": {"type": "project", "id": "p1"},
}  # fmt: skip


@pytest.mark.proves("R125", "T-36")
async def test_others_decide_read_and_write_while_such_questions_are_in_the_middle(
    service: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = service.house
    ada, eve, rob = await service.open("ada"), await service.open("eve"), await service.open("rob")
    robot = f"Bearer {service.robot}"  # type: ignore[attr-defined]
    begun, go_on = threading.Event(), threading.Event()
    found = questions.able

    def slow(*given: Any, **more: Any) -> Any:
        begun.set()
        assert go_on.wait(30)
        return found(*given, **more)

    monkeypatch.setattr(questions, "able", slow)
    monkeypatch.setattr(evaluations, "able", slow)
    asked = {"permission": "read:training", "scope": "p1"}
    long = [asyncio.create_task(service.call("POST", "/api/v1/questions/who-can", asked, auth=ada.auth)) for _ in "123"]
    long += [asyncio.create_task(service.call("POST", "/access/v1/search/subject", SEARCH, auth=robot)) for _ in "12"]
    try:
        assert await asyncio.to_thread(begun.wait, 30)
        with house.store.write(OWN) as tx:
            users.register(tx, "late", provider="local")
        train = {"permission": "execute:training"}
        for session, allowed in ((eve, True), (rob, False)):
            answer = await service.call("POST", "/api/v1/decisions", train, auth=session.auth)
            assert answer.json["decision"]["allowed"] is allowed
        assert (await service.call("GET", "/api/v1/me", auth=rob.auth)).status == 200
        given = {"roles": ["PROJECT_READER"], "scope": "p1", "identity": "user:nil"}
        assert (await service.call("POST", "/api/v1/assignments", given, auth=ada.auth)).status == 201
        assert not any(one.done() for one in long)
    finally:
        go_on.set()
    answers = await asyncio.gather(*long)
    assert [answer.status for answer in answers] == [200] * 5
    assert {row[0] for row in answers[0].json["rows"]} >= {"user:ada", "user:eve", "user:rob"}
    with house.store.read() as tx:
        rows = newest(tx.conn, AuditFilter(event="access.read"))
    questions_asked = [row["details"]["question"] for row in rows]
    assert questions_asked.count("who-can") == 3
    assert questions_asked.count("/access/v1/search/subject") == 2


@pytest.mark.proves("R100", "R125")
async def test_a_search_of_the_audit_waits_for_nobody_who_writes(service: Driver) -> None:
    """It is answered while somebody else is in the middle of a change, up to its own row, which waits its turn."""
    ada, house = await service.open("ada"), service.house
    looked = threading.Event()
    search = questions_api.newest

    def seen(*given: Any) -> Any:
        rows = search(*given)
        looked.set()
        return rows

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(questions_api, "newest", seen)
        with house.store.write(OWN):
            asked = asyncio.create_task(service.call("GET", "/api/v1/audit?project=p1", auth=ada.auth))
            assert await asyncio.to_thread(looked.wait, 4)
        answer = await asked
    assert answer.status == 200, answer.body
    with house.store.read() as tx:
        (row,) = newest(tx.conn, AuditFilter(event="audit.read"))
    assert row["project"] == "p1"
    assert row["details"]["rows"] == len(answer.json["rows"])


@pytest.mark.proves("R72", "R100")
async def test_a_refused_question_is_on_record_and_says_nothing(service: Driver) -> None:
    rob, zoe = await service.open("rob"), await service.open("zoe", "p2")
    asked = {"permission": "read:training", "scope": "p1"}
    for session, status in ((rob, 403), (zoe, 404)):
        answer = await service.call("POST", "/api/v1/questions/who-can", asked, auth=session.auth)
        assert answer.status == status, answer.body
        with service.house.store.read() as tx:
            row = newest(tx.conn, AuditFilter(event="decision"))[0]
        assert (row["allowed"], row["details"]["route"]) == (False, "POST /api/v1/questions/who-can")

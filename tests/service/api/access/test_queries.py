"""Long access queries block neither writes nor short reads (R125)."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from aizen_hub.accounts.users import registration
from aizen_hub.audit.search import AuditFilter, search_newest
from aizen_hub.authorization.queries import access_queries, authzen
from aizen_hub.service.api.access import queries as access_queries_api
from aizen_hub.service.factory import SERVICE_ACTOR
from tests.service.conftest import Driver

SEARCH = {
    "subject": {"type": "user"}, "action": {"name": "read:training"}, "resource": {"type": "project", "id": "p1"},
}  # fmt: skip


@pytest.mark.proves("R125", "T-36")
async def test_other_requests_are_answered_while_long_queries_run(
    service: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = service.context
    ada, eve, rob = await service.open("ada"), await service.open("eve"), await service.open("rob")
    robot = f"Bearer {service.robot}"  # type: ignore[attr-defined]
    started, go_on = threading.Event(), threading.Event()
    holders_of = access_queries.holders_of

    def slow(*args: Any, **kwargs: Any) -> Any:
        started.set()
        assert go_on.wait(30)
        return holders_of(*args, **kwargs)

    monkeypatch.setattr(access_queries, "holders_of", slow)
    monkeypatch.setattr(authzen, "holders_of", slow)
    query = {"permission": "read:training", "scope": "p1"}
    who_can = "/api/v1/access-queries/who-can"
    long = [asyncio.create_task(service.call("POST", who_can, query, auth=ada.auth)) for _ in "123"]
    long += [asyncio.create_task(service.call("POST", "/access/v1/search/subject", SEARCH, auth=robot)) for _ in "12"]
    try:
        assert await asyncio.to_thread(started.wait, 30)
        with context.store.write(SERVICE_ACTOR) as tx:
            registration.unauthorized_register_user(tx, "late", provider="local")
        train = {"permission": "execute:training"}
        for session, allowed in ((eve, True), (rob, False)):
            response = await service.call("POST", "/api/v1/decisions", train, auth=session.auth)
            assert response.json["decision"]["allowed"] is allowed
        assert (await service.call("GET", "/api/v1/me", auth=rob.auth)).status == 200
        grant = {"roles": ["PROJECT_READER"], "scope": "p1", "identity": "user:nil"}
        assert (await service.call("POST", "/api/v1/assignments", grant, auth=ada.auth)).status == 201
        assert not any(task.done() for task in long)
    finally:
        go_on.set()
    responses = await asyncio.gather(*long)
    assert [response.status for response in responses] == [200] * 5
    assert {row[0] for row in responses[0].json["rows"]} >= {"user:ada", "user:eve", "user:rob"}
    with context.store.read() as tx:
        rows = search_newest(tx.conn, AuditFilter(event="access.read"))
    recorded = [row["details"]["query"] for row in rows]
    assert recorded.count("who-can") == 3
    assert recorded.count("/access/v1/search/subject") == 2


@pytest.mark.proves("R100", "R125")
async def test_a_search_of_the_audit_does_not_wait_for_writes(service: Driver) -> None:
    """It reads while a write transaction is open; only its own audit record waits for the write lock."""
    ada, context = await service.open("ada"), service.context
    searched = threading.Event()
    search = access_queries_api.search_newest

    def observed(*args: Any) -> Any:
        rows = search(*args)
        searched.set()
        return rows

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(access_queries_api, "search_newest", observed)
        with context.store.write(SERVICE_ACTOR):
            task = asyncio.create_task(service.call("GET", "/api/v1/audit?project=p1", auth=ada.auth))
            assert await asyncio.to_thread(searched.wait, 30)
        response = await task
    assert response.status == 200, response.body
    with context.store.read() as tx:
        (row,) = search_newest(tx.conn, AuditFilter(event="audit.read"))
    assert row["project"] == "p1"
    assert row["details"]["rows"] == len(response.json["rows"])


@pytest.mark.proves("R72", "R100")
async def test_a_refused_query_is_recorded_and_reveals_nothing(service: Driver) -> None:
    rob, zoe = await service.open("rob"), await service.open("zoe", "p2")
    query = {"permission": "read:training", "scope": "p1"}
    for session, status in ((rob, 403), (zoe, 404)):
        response = await service.call("POST", "/api/v1/access-queries/who-can", query, auth=session.auth)
        assert response.status == status, response.body
        with service.context.store.read() as tx:
            row = search_newest(tx.conn, AuditFilter(event="decision"))[0]
        assert (row["allowed"], row["details"]["route"]) == (False, "POST /api/v1/access-queries/who-can")

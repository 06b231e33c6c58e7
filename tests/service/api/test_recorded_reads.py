"""Reads about other identities are recorded, and truncated lists say so."""

from __future__ import annotations

from typing import Any

import pytest

from aizen_hub.audit.search import AuditFilter, search_newest
from aizen_hub.service.api import sessions
from aizen_hub.service.api.access import assignments
from tests.service.conftest import Driver


async def get(service: Driver, path: str) -> dict[str, Any]:
    response = await service.call("GET", f"/api/v1{path}", auth=f"Bearer {service.robot}")  # type: ignore[attr-defined]
    assert response.status == 200, response.body
    result: dict[str, Any] = response.json
    return result


def reads(service: Driver) -> list[dict[str, Any]]:
    with service.context.store.read() as tx:
        return list(search_newest(tx.conn, AuditFilter(event="access.read"), 10))


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/limits?identity=user:nil", {"query": "limits", "target": "user:nil"}),
        ("/assignments?identity=user:nil", {"query": "assignments", "target": "user:nil"}),
        ("/service-accounts/robot/credentials", {"query": "credentials", "target": "service-account:robot"}),
    ],
)
async def test_reading_the_access_of_others_is_recorded(service: Driver, path: str, expected: dict[str, str]) -> None:
    await get(service, path)
    (row,) = reads(service)
    assert row["identity"] == "service-account:robot"
    assert {key: row["details"][key] for key in expected} == expected


async def test_reading_ones_own_limits_is_not_recorded(service: Driver) -> None:
    await get(service, "/limits")
    assert reads(service) == []


async def test_truncated_lists_say_so(service: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    for user in ("ada", "eve"):
        await service.open(user)
    for module, path in ((assignments, "/assignments"), (sessions, "/sessions")):
        complete = await get(service, path)
        assert complete["data"]["more"] is False
        monkeypatch.setattr(module, "_MAX_ROWS", 1)
        truncated = await get(service, path)
        assert truncated["data"]["more"] is True
        assert truncated["rows"] == complete["rows"][:1]
        assert truncated["message"] == "these are the first 1; there are more"


@pytest.mark.proves("R94")
async def test_the_record_of_an_escalation_names_no_role(service: Driver) -> None:
    body = {"roles": ["PROJECT_READER"], "scope": "p1", "identity": "user:nil"}
    response = await service.call("POST", "/api/v1/assignments", body, auth=f"Bearer {service.robot}")  # type: ignore[attr-defined]
    assert response.status == 403, response.body
    with service.context.store.read() as tx:
        row = next(
            row for row in search_newest(tx.conn, AuditFilter(identity="service-account:robot"), 5) if row.get("reason")
        )
    assert (row["allowed"], row["reason"]) == (False, "escalation")
    assert not row.get("assignment")
    assert not row.get("role")
    assert not row.get("via")

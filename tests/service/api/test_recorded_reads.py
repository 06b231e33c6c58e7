"""Who looks into what others have leaves a row, and no list looks whole that is not."""

from __future__ import annotations

from typing import Any

import pytest

from aizen_hub.audit.search import AuditFilter, newest
from aizen_hub.service.api import access
from aizen_hub.service.api import sessions as live
from tests.service.conftest import Driver


async def get(service: Driver, path: str) -> dict[str, Any]:
    answer = await service.call("GET", f"/api/v1{path}", auth=f"Bearer {service.robot}")  # type: ignore[attr-defined]
    assert answer.status == 200, answer.body
    found: dict[str, Any] = answer.json
    return found


def reads(service: Driver) -> list[dict[str, Any]]:
    with service.house.store.read() as tx:
        return list(newest(tx.conn, AuditFilter(event="access.read"), 10))


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/limits?identity=user:nil", {"question": "limits", "target": "user:nil"}),
        ("/assignments?identity=user:nil", {"question": "assignments", "target": "user:nil"}),
        ("/service-accounts/robot/credentials", {"question": "credentials", "target": "service-account:robot"}),
    ],
)
async def test_looking_into_what_others_have_is_recorded(service: Driver, path: str, said: dict[str, str]) -> None:
    await get(service, path)
    (row,) = reads(service)
    assert row["identity"] == "service-account:robot"
    assert {key: row["details"][key] for key in said} == said


async def test_looking_at_one_s_own_limits_is_not(service: Driver) -> None:
    await get(service, "/limits")
    assert reads(service) == []


async def test_lists_that_are_cut_say_so(service: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    for user in ("ada", "eve"):
        await service.open(user)
    for module, path in ((access, "/assignments"), (live, "/sessions")):
        whole = await get(service, path)
        assert whole["data"]["more"] is False
        monkeypatch.setattr(module, "_MOST", 1)
        cut = await get(service, path)
        assert cut["data"]["more"] is True
        assert cut["rows"] == whole["rows"][:1]
        assert cut["message"] == "these are the first 1 of more"


@pytest.mark.proves("R94")
async def test_a_finer_refusal_names_no_role_that_gave_it(service: Driver) -> None:
    body = {"roles": ["PROJECT_READER"], "scope": "p1", "identity": "user:nil"}
    answer = await service.call("POST", "/api/v1/assignments", body, auth=f"Bearer {service.robot}")  # type: ignore[attr-defined]
    assert answer.status == 403, answer.body
    with service.house.store.read() as tx:
        row = next(
            one for one in newest(tx.conn, AuditFilter(identity="service-account:robot"), 5) if one.get("reason")
        )
    assert (row["allowed"], row["reason"]) == (False, "escalation")
    assert not row.get("assignment")
    assert not row.get("role")
    assert not row.get("via")

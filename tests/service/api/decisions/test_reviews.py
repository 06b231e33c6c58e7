"""Reviews of access over HTTP: from the start to the undo, and who may take part."""

from __future__ import annotations

from typing import Any

import pytest

from tests.service.conftest import Driver, Session

REVIEWS = "/api/v1/reviews"


async def rows_of(service: Driver, session: Session, review: str) -> dict[str, dict[str, Any]]:
    table = (await service.call("GET", f"{REVIEWS}/{review}", auth=session.auth)).json
    rows = [dict(zip(table["columns"], row, strict=True)) for row in table["rows"]]
    return {row["identity"]: row for row in rows}


@pytest.mark.proves("R131")
async def test_a_review_from_its_start_to_its_undo(service: Driver) -> None:
    ada, eve = await service.open("ada"), await service.open("eve")

    async def post(path: str, body: Any = None, **headers: str) -> Any:
        answer = await service.call("POST", REVIEWS + path, body, auth=ada.auth, headers=headers)
        assert answer.status in (200, 201), answer.body
        return answer.json

    started = await post("", {"scope": "p1"})
    review = started["data"]["review"]
    rows = await rows_of(service, ada, review)
    assert set(rows) == {"user:ada", "user:eve", "user:rob"}
    decisions = [
        {"assignment": rows["user:eve"]["assignment"], "choice": "remove"},
        {"assignment": rows["user:rob"]["assignment"], "choice": "keep"},
    ]
    await post(f"/{review}/decisions", {"decisions": decisions})
    preview = await post(f"/{review}/carry-out", Prefer="dry-run")
    assert preview["rows"] == [["user:eve", "p1", [], ["PROJECT_EXECUTOR"]]]
    assert "user:eve" in await rows_of(service, ada, review)
    done = await post(f"/{review}/carry-out")
    assert done["data"]["finished"] is True
    assert (await service.command(eve, "start training churn")).status == 403
    await post(f"/{review}/undo", {})
    listed = (await service.call("GET", f"{REVIEWS}?scope=p1", auth=ada.auth)).json
    assert [row[0] for row in listed["rows"]] == [review]


@pytest.mark.proves("R72", "R131")
@pytest.mark.parametrize(("user", "project", "statuses"), [("eve", "p1", {403}), ("zoe", "p2", {404})])
async def test_others_take_no_part(service: Driver, user: str, project: str, statuses: set[int]) -> None:
    ada, other = await service.open("ada"), await service.open(user, project)
    review = (await service.call("POST", REVIEWS, {"scope": "p1"}, auth=ada.auth)).json["data"]["review"]
    decision = {"decisions": [{"assignment": 1, "choice": "remove"}]}
    calls = [
        ("POST", "", {"scope": "p1"}),
        ("GET", "?scope=p1", None),
        ("GET", f"/{review}", None),
        ("POST", f"/{review}/decisions", decision),
        ("POST", f"/{review}/fill", {"rule": "remove-unused"}),
        ("POST", f"/{review}/carry-out", None),
        ("POST", f"/{review}/undo", {}),
        ("POST", f"/{review}/finish", None),
    ]
    for method, path, body in calls:
        answer = await service.call(method, REVIEWS + path, body, auth=other.auth)
        assert answer.status in statuses, (path, answer.body)
    unused = await service.call("GET", "/api/v1/unused-access?scope=p1", auth=other.auth)
    assert unused.status in statuses


@pytest.mark.proves("R132")
async def test_unused_access_is_for_those_who_may_read_access(service: Driver) -> None:
    boss, ada = await service.open("boss", None), await service.open("ada")
    everywhere = await service.call("GET", "/api/v1/unused-access", auth=boss.auth)
    assert everywhere.status == 200
    assert everywhere.json["columns"] == ["unused", "identity", "role", "scope", "since", "last used"]
    assert (await service.call("GET", "/api/v1/unused-access?scope=p1", auth=ada.auth)).status == 200
    assert (await service.call("GET", "/api/v1/unused-access", auth=ada.auth)).status == 403

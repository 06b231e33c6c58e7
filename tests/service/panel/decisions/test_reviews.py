"""Pages *Review access*: started, decided, previewed, carried out and undone by an admin of the project."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from sqlalchemy import update

from aizen_hub.accounts.reviews.assignment_uses import unauthorized_record_uses
from aizen_hub.accounts.roles import assignments
from aizen_hub.authorization.decisions.use_counter import AssignmentUse
from aizen_hub.rbac.identity import Identity
from aizen_hub.service.factory import SERVICE_ACTOR
from aizen_hub.service.panel.decisions import reviews
from aizen_hub.store import tables
from tests.service.conftest import Driver
from tests.service.panel.window import Window


def row_of(driver: Driver, role: str, user: str) -> object:
    with driver.context.store.read() as tx:
        return assignments.find_assignment(tx, role, "p1", Identity.user(user))


def assignment_id(driver: Driver, role: str, user: str) -> int:
    row = row_of(driver, role, user)
    assert row is not None
    return int(row.id)  # type: ignore[attr-defined]


async def start(window: Window, token: str) -> str:
    started = await window.post("projects/p1/review", {"xsrf": token, "note": "every quarter"})
    assert started.status == 303, started.body
    return str(started.headers["Location"].removeprefix("/services/aizen/"))


@pytest.mark.proves("R131")
async def test_a_review_from_its_start_to_its_undo(hub_service: Driver, window: Window) -> None:
    eve, rob = (
        assignment_id(hub_service, "PROJECT_EXECUTOR", "eve"),
        assignment_id(hub_service, "PROJECT_READER", "rob"),
    )
    with hub_service.context.store.write(SERVICE_ACTOR) as tx:
        old = update(tables.assignment_rows).where(tables.assignment_rows.c.scope == "p1")
        tx.conn.execute(old.values(granted=tx.now - timedelta(days=60)))
        used = tx.now - timedelta(days=1)
        unauthorized_record_uses(tx, [AssignmentUse(rob, used, used, 212)])
    token = await window.sign_in("ada", "me")
    page = await start(window, token)
    text = (await window.get(page)).body.decode()
    assert "0 of 2 decided" in text
    assert "212 times" in text
    assert "Never" in text
    assert "the creator of the project always keeps this" in text

    filled = await window.post(f"{page}/fill", {"xsrf": token, "rule": "remove-unused"})
    assert filled.status == 303, filled.body
    saved = await window.post(f"{page}/decide", {"xsrf": token, "d": f"{rob}=shorten"})
    assert saved.status == 303, saved.body
    text = (await window.get(page)).body.decode()
    assert "2 of 2 decided" in text
    assert " eve: PROJECT_EXECUTOR</del>" in text
    preview = (await window.get(f"{page}/preview")).body.decode()
    assert "eve" in preview
    assert "Carry out 2 changes" in preview
    assert row_of(hub_service, "PROJECT_EXECUTOR", "eve") is not None, "nothing is changed yet"

    done = await window.post(f"{page}/carry-out", {"xsrf": token})
    assert done.status == 303, done.body
    assert row_of(hub_service, "PROJECT_EXECUTOR", "eve") is None
    shortened = row_of(hub_service, "PROJECT_READER", "rob")
    assert shortened is not None
    assert shortened.ends is not None  # type: ignore[attr-defined]
    text = (await window.get(page)).body.decode()
    assert "Finished by ada" in text
    assert f'value="{eve}"' in text

    undone = await window.post(f"{page}/undo", {"xsrf": token, "assignment": str(eve)})
    assert undone.status == 303, undone.body
    assert row_of(hub_service, "PROJECT_EXECUTOR", "eve") is not None
    history = (await window.get("projects/p1/review")).body.decode()
    assert page in history


@pytest.mark.proves("R72", "R131")
@pytest.mark.parametrize("user", ["eve", "zoe", "nil"])
async def test_others_neither_see_nor_change_a_review(hub_service: Driver, window: Window, user: str) -> None:
    token = await window.sign_in("ada", "me")
    page = await start(window, token)
    other = Window(hub_service, window.hub)
    token = await other.sign_in(user, "me")
    for path in (page, f"{page}/preview", "projects/p1/review"):
        assert (await other.get(path)).status in (403, 404)
    eve = assignment_id(hub_service, "PROJECT_READER", "rob")
    for path, form in (
        (f"{page}/decide", {"d": f"{eve}=remove"}),
        (f"{page}/carry-out", {}),
        (f"{page}/fill", {"rule": "keep-used"}),
        (f"{page}/finish", {}),
        ("projects/p1/review", {}),
    ):
        assert (await other.post(path, {"xsrf": token, **form})).status in (403, 404)


@pytest.mark.parametrize("decision", ["x=keep", "1=dance", "keep", "99999=keep=1"])
async def test_an_invented_decision_is_refused(window: Window, decision: str) -> None:
    token = await window.sign_in("ada", "me")
    page = await start(window, token)
    assert (await window.post(f"{page}/decide", {"xsrf": token, "d": decision})).status == 400


async def test_rows_are_paged_filtered_and_counted(window: Window, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reviews, "PAGE", 2)
    token = await window.sign_in("ada", "me")
    page = await start(window, token)
    text = (await window.get(page)).body.decode()
    assert "3 rows" in text
    following = re.search(r'href="/services/aizen/(reviews/[^"]*after=[^"]*)"', text)
    assert following is not None
    assert "rob" in (await window.get(following[1].replace("&amp;", "&"))).body.decode()
    assert "1 row<" in (await window.get(f"{page}?q=ev")).body.decode()
    assert "No rows match" in (await window.get(f"{page}?show=decided")).body.decode()


async def test_a_finished_review_is_not_changed(window: Window) -> None:
    token = await window.sign_in("ada", "me")
    page = await start(window, token)
    assert (await window.post(f"{page}/finish", {"xsrf": token})).status == 303
    assert (await window.post(f"{page}/carry-out", {"xsrf": token})).status == 409
    assert "Finished by ada" in (await window.get(page)).body.decode()


@pytest.mark.proves("R131")
async def test_the_roles_in_the_whole_system_are_reviewed_by_those_who_read_access_there(
    hub_service: Driver, window: Window
) -> None:
    token = await window.sign_in("boss", "me")
    assert "Start a review" in (await window.get("system/review")).body.decode()
    started = await window.post("system/review", {"xsrf": token, "note": "every year"})
    assert started.status == 303, started.body
    page = started.headers["Location"].removeprefix("/services/aizen/")
    text = (await window.get(page)).body.decode()
    assert "The whole system" in text
    assert "AIZEN_ADMIN" in text
    assert "Go on with it" in (await window.get("system/review")).body.decode()
    assert page in (await window.get("home")).body.decode()

    other = Window(hub_service, window.hub)
    token = await other.sign_in("ada", "me")
    for answer in (
        await other.get("system/review"),
        await other.post("system/review", {"xsrf": token}),
        await other.get(page),
    ):
        assert answer.status in (403, 404)

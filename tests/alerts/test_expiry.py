"""Everybody whose role ends is told in time, once, however many end at one moment."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, insert, select, update

from aizen_hub.alerts.expiry import announce_expiring
from aizen_hub.settings import AlertSettings, MailSettings
from aizen_hub.store.database import database_url
from aizen_hub.store.tables import assignments, metadata, outbox, users

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
AHEAD = timedelta(hours=72)
SOON = NOW + timedelta(hours=10)
MAIL = MailSettings(host="mail.example.org", sender="hub@example.org")
HOOK = "https://hook.example.org"


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.needs("postgres"))])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    url = f"sqlite:///{tmp_path}/alerts.sqlite"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres_url")
    engine = create_engine(database_url(url))
    metadata.create_all(engine)
    yield engine
    engine.dispose()


def people(engine: Engine, names: list[str], **more: Any) -> None:
    common = {"provider": "local", "display_name": "", "active": True, "created": NOW, "phone": None}
    person = {**common, "alerts": {"email": True, "phone": False}, **more}
    with engine.begin() as conn:
        conn.execute(insert(users), [{"email": f"{name}@example.org", **person, "name": name} for name in names])


def hold(engine: Engine, identities: list[str], ends: datetime = SOON) -> None:
    row = {"scope": "p1", "role": "PROJECT_READER", "granted_by": "user:root", "granted": NOW, "revision": 7}
    with engine.begin() as conn:
        conn.execute(insert(assignments), [{**row, "identity": one, "ends": ends} for one in identities])


def announce(engine: Engine, now: datetime = NOW, **alerts: Any) -> int:
    with engine.begin() as conn:
        settings = SimpleNamespace(alerts=AlertSettings(**(alerts or {"mail": MAIL})))
        return announce_expiring(SimpleNamespace(conn=conn, now=now, settings=settings), AHEAD)  # type: ignore[arg-type]


def told(engine: Engine) -> list[str]:
    with engine.connect() as conn:
        return sorted(conn.execute(select(outbox.c.recipient)).scalars())


def test_more_than_fit_into_one_call_are_told_by_the_next(engine: Engine) -> None:
    names = [f"u{number:04}" for number in range(220)]
    people(engine, names)
    hold(engine, [f"user:{name}" for name in names])
    assert [announce(engine) for _ in range(4)] == [100, 100, 20, 0]
    assert told(engine) == names


def test_whom_nobody_can_tell_takes_no_place(engine: Engine) -> None:
    hold(engine, [f"{kind}:a{number}" for number in range(60) for kind in ("group", "service-account", "user")])
    people(engine, [f"quiet{number}" for number in range(120)], alerts={"email": False})
    people(engine, ["unreachable"], email=None)
    people(engine, ["emptied"], email="")
    people(engine, ["unasked"], alerts={})
    people(engine, ["phoned"], phone="+1555", alerts={"email": False, "phone": True})
    hold(engine, [f"user:quiet{number}" for number in range(120)])
    hold(engine, ["user:unreachable", "user:emptied", "user:unasked", "user:phoned"])
    people(engine, ["zoe"])
    hold(engine, ["user:zoe"], SOON + timedelta(hours=1))
    assert announce(engine) == 1
    assert told(engine) == ["zoe"]


def test_the_webhook_is_told_of_everybody_and_the_phone_by_it(engine: Engine) -> None:
    people(engine, ["quiet"], alerts={"email": False})
    people(engine, ["phoned"], phone="+1555", alerts={"email": True, "phone": True})
    hold(engine, ["user:quiet", "user:phoned", "group:ops"])
    assert announce(engine, webhook_url=HOOK) == 3
    assert told(engine) == ["*", "*", "phoned"]
    assert announce(engine, webhook_url=HOOK, mail=MAIL) == 0, "told is told, whatever ways are added"


def test_without_any_way_nothing_is_written(engine: Engine) -> None:
    people(engine, ["ada"])
    hold(engine, ["user:ada"])
    assert announce(engine, expiry_notice_hours=72) == 0
    assert told(engine) == []


def test_a_role_that_was_given_anew_is_told_of_anew(engine: Engine) -> None:
    people(engine, ["ada"])
    hold(engine, ["user:ada"])
    assert announce(engine) == 1
    later = NOW + timedelta(hours=1)
    assert announce(engine, later) == 0
    with engine.begin() as conn:
        conn.execute(update(assignments).values(ends=SOON + timedelta(hours=5), revision=8))
    assert announce(engine, later) == 1
    assert announce(engine, later) == 0


def test_what_has_ended_or_ends_late_is_not_told(engine: Engine) -> None:
    people(engine, ["ada", "ben", "eve"])
    hold(engine, ["user:ada"], NOW)
    hold(engine, ["user:ben"], NOW + AHEAD + timedelta(seconds=1))
    hold(engine, ["user:eve"], NOW + AHEAD)
    assert announce(engine) == 1
    assert told(engine) == ["eve"]

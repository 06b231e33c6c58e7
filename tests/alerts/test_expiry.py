"""Every user whose role ends is alerted in time, once, however many end at the same time."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, insert, select, update

from aizen_hub.alerts.expiry import alert_expiring_assignments
from aizen_hub.settings import AlertSettings, MailSettings
from aizen_hub.store.database import database_url
from aizen_hub.store.tables import assignment_rows, metadata, outbox, users

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


def insert_users(engine: Engine, names: list[str], **more: Any) -> None:
    common = {"provider": "local", "display_name": "", "active": True, "created": NOW, "phone": None}
    row = {**common, "alerts": {"email": True, "phone": False}, **more}
    with engine.begin() as conn:
        conn.execute(insert(users), [{"email": f"{name}@example.org", **row, "name": name} for name in names])


def insert_assignments(engine: Engine, identities: list[str], ends: datetime = SOON) -> None:
    row = {"scope": "p1", "role": "PROJECT_READER", "granted_by": "user:root", "granted": NOW, "revision": 7}
    with engine.begin() as conn:
        conn.execute(insert(assignment_rows), [{**row, "identity": identity, "ends": ends} for identity in identities])


def alert_expiring(engine: Engine, now: datetime = NOW, **alerts: Any) -> int:
    with engine.begin() as conn:
        settings = SimpleNamespace(alerts=AlertSettings(**(alerts or {"mail": MAIL})))
        return alert_expiring_assignments(SimpleNamespace(conn=conn, now=now, settings=settings), AHEAD)  # type: ignore[arg-type]


def recipients(engine: Engine) -> list[str]:
    with engine.connect() as conn:
        return sorted(conn.execute(select(outbox.c.recipient)).scalars())


def test_the_next_call_continues_after_the_limit(engine: Engine) -> None:
    names = [f"u{number:04}" for number in range(220)]
    insert_users(engine, names)
    insert_assignments(engine, [f"user:{name}" for name in names])
    assert [alert_expiring(engine) for _ in range(4)] == [100, 100, 20, 0]
    assert recipients(engine) == names


def test_identities_without_a_channel_do_not_count_towards_the_limit(engine: Engine) -> None:
    insert_assignments(
        engine, [f"{kind}:a{number}" for number in range(60) for kind in ("group", "service-account", "user")]
    )
    insert_users(engine, [f"quiet{number}" for number in range(120)], alerts={"email": False})
    insert_users(engine, ["unreachable"], email=None)
    insert_users(engine, ["emptied"], email="")
    insert_users(engine, ["undecided"], alerts={})
    insert_users(engine, ["phoned"], phone="+1555", alerts={"email": False, "phone": True})
    insert_assignments(engine, [f"user:quiet{number}" for number in range(120)])
    insert_assignments(engine, ["user:unreachable", "user:emptied", "user:undecided", "user:phoned"])
    insert_users(engine, ["zoe"])
    insert_assignments(engine, ["user:zoe"], SOON + timedelta(hours=1))
    assert alert_expiring(engine) == 1
    assert recipients(engine) == ["zoe"]


def test_the_webhook_receives_all_alerts_and_those_for_phones(engine: Engine) -> None:
    insert_users(engine, ["quiet"], alerts={"email": False})
    insert_users(engine, ["phoned"], phone="+1555", alerts={"email": True, "phone": True})
    insert_assignments(engine, ["user:quiet", "user:phoned", "group:ops"])
    assert alert_expiring(engine, webhook_url=HOOK) == 3
    assert recipients(engine) == ["*", "*", "phoned"]
    assert alert_expiring(engine, webhook_url=HOOK, mail=MAIL) == 0, "no second alert when a channel is added"


def test_without_a_channel_nothing_is_written(engine: Engine) -> None:
    insert_users(engine, ["ada"])
    insert_assignments(engine, ["user:ada"])
    assert alert_expiring(engine, expiry_notice_hours=72) == 0
    assert recipients(engine) == []


def test_a_role_that_was_granted_again_is_alerted_again(engine: Engine) -> None:
    insert_users(engine, ["ada"])
    insert_assignments(engine, ["user:ada"])
    assert alert_expiring(engine) == 1
    later = NOW + timedelta(hours=1)
    assert alert_expiring(engine, later) == 0
    with engine.begin() as conn:
        conn.execute(update(assignment_rows).values(ends=SOON + timedelta(hours=5), revision=8))
    assert alert_expiring(engine, later) == 1
    assert alert_expiring(engine, later) == 0


def test_ended_and_later_assignments_are_not_alerted(engine: Engine) -> None:
    insert_users(engine, ["ada", "ben", "eve"])
    insert_assignments(engine, ["user:ada"], NOW)
    insert_assignments(engine, ["user:ben"], NOW + AHEAD + timedelta(seconds=1))
    insert_assignments(engine, ["user:eve"], NOW + AHEAD)
    assert alert_expiring(engine) == 1
    assert recipients(engine) == ["eve"]

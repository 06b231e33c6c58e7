"""When a session will stop, told before it does: without news of the hub, or of the identity provider."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import update

from aizen_hub.accounts.sessions import server_sessions
from aizen_hub.accounts.sessions.session_deadlines import ForeseeableEnd, foreseeable_end
from aizen_hub.store import tables
from tests.accounts.harness import OPERATOR, AccountsHarness
from tests.accounts.sessions.test_server_sessions import opened

SESSION = tables.sessions
HOUR = timedelta(hours=1)


def end_of(
    harness: AccountsHarness, session_id: str, *, heard: datetime, checked: datetime, provider: str = "ldap"
) -> ForeseeableEnd | None:
    """Return the end of emma's session, whose server the hub reported last at one time and checked her at another."""

    def work(tx: Any) -> ForeseeableEnd | None:
        tx.conn.execute(update(SESSION).values(started=harness.now() - 9 * HOUR, last_seen=heard))
        values = {"provider": provider, "last_seen": checked}
        tx.conn.execute(update(tables.users).where(tables.users.c.name == "emma").values(values))
        return foreseeable_end(tx, server_sessions.find_live_session(tx, session_id))

    found: ForeseeableEnd | None = harness.execute(OPERATOR, work)
    return found


@pytest.mark.proves("R46")
def test_it_is_told_only_while_news_are_missing(harness: AccountsHarness) -> None:
    session, now = opened(harness, "emma", "p1").session_id, harness.now()
    settings = harness.settings
    grace = timedelta(seconds=settings.session.hub_down_grace_seconds + 2 * settings.session.heartbeat_seconds)
    age = timedelta(seconds=settings.group_max_age_seconds)
    assert end_of(harness, session, heard=now, checked=now) is None
    assert end_of(harness, session, heard=now - 0.4 * grace, checked=now - 0.6 * age) is None
    heard = now - 0.6 * grace
    unheard = end_of(harness, session, heard=heard, checked=now)
    assert unheard == ForeseeableEnd(
        heard + grace, f"the hub has not reported this server since {heard:%Y-%m-%d %H:%M} UTC"
    )
    checked = now - 0.8 * age
    unchecked = end_of(harness, session, heard=now, checked=checked)
    assert unchecked is not None
    assert unchecked.at == checked + age
    assert unchecked.because.startswith("your identity provider has not confirmed your account since")
    assert end_of(harness, session, heard=now, checked=checked, provider="local") is None, "it is stored here"
    both = end_of(harness, session, heard=now - 0.99 * grace, checked=checked)
    assert both is not None
    assert "the hub" in both.because, "the earlier one"


def test_a_server_that_starts_is_not_expected_to_be_reported(harness: AccountsHarness) -> None:
    session = opened(harness, "emma", "p1").session_id

    def work(tx: Any) -> ForeseeableEnd | None:
        long_ago = tx.now - timedelta(minutes=9)
        tx.conn.execute(update(SESSION).values(started=long_ago, last_seen=long_ago))
        tx.conn.execute(update(tables.users).where(tables.users.c.name == "emma").values(last_seen=tx.now))
        return foreseeable_end(tx, server_sessions.find_live_session(tx, session))

    assert harness.execute(OPERATOR, work) is None

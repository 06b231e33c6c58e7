"""Search for what was done to one identity: complete up to a bound, which the result names."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from aizen_hub.audit import target_search, timeline_search
from aizen_hub.audit.search import AuditFilter
from aizen_hub.audit.target_search import search_target
from aizen_hub.rbac.identity import Identity
from aizen_hub.store.actor import Actor, Channel
from aizen_hub.store.sql_store import Store
from aizen_hub.store.transaction import make_audit_record
from tests.store.conftest import catalog, opened, settings, store  # noqa: F401 - fixtures

PAUL, RITA = (Actor(Identity.user(name), Channel.CLI) for name in ("paul", "rita"))


@pytest.fixture
def filled(store: Store) -> Store:  # noqa: F811
    """A grant to rita and a stop of rita, between thirty reads of rita's own, one a minute."""
    with store.read() as tx:
        start = tx.now - timedelta(hours=1)
    events: list[tuple[Actor, str, dict[str, Any]]] = [(RITA, "access.read", {"query": "users"})] * 32
    events[3] = (PAUL, "role.granted", {"target": "user:rita", "role": "READER"})
    events[20] = (PAUL, "user.deleted", {"user": "rita"})
    events[21] = (PAUL, "group.deleted", {"group": "rita"})
    store.append_audit(
        [
            make_audit_record(actor, event, start + timedelta(minutes=minute), details=details)
            for minute, (actor, event, details) in enumerate(events)
        ]
    )
    return store


@pytest.mark.parametrize(
    ("target", "row_filter", "limit", "events"),
    [
        ("user:rita", AuditFilter(), 50, ["user.deleted", "role.granted"]),
        ("user:rita", AuditFilter(), 1, ["user.deleted"]),
        ("user:rita", AuditFilter(event="role.granted"), 50, ["role.granted"]),
        ("group:rita", AuditFilter(), 50, ["group.deleted"]),
        ("user:rit", AuditFilter(), 50, []),
        ("user:paul", AuditFilter(), 50, []),
    ],
)
def test_what_was_done_to_an_identity(
    filled: Store, target: str, row_filter: AuditFilter, limit: int, events: list[str]
) -> None:
    with filled.read() as tx:
        found = search_target(tx.conn, row_filter, target, limit)
    assert [record["event"] for record in found.records] == events
    assert found.examined_until is None


def test_what_an_active_user_did_hides_nothing(store: Store) -> None:  # noqa: F811
    with store.read() as tx:
        start = tx.now - timedelta(hours=2)
    granted = make_audit_record(PAUL, "role.granted", start, details={"target": "user:rita", "role": "READER"})
    own = [
        make_audit_record(RITA, "access.read", start + timedelta(seconds=second), details={"query": "users"})
        for second in range(1, 201)
    ]
    store.append_audit([granted, *own])
    with store.read() as tx:
        found = search_target(tx.conn, AuditFilter(), "user:rita", 2)
    assert ([record["event"] for record in found.records], found.examined_until) == (["role.granted"], None)


def test_the_bound_is_named(filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timeline_search, "MAX_EXAMINED", 5)
    monkeypatch.setattr(target_search, "_MAX_PAGES", 3)
    with filled.read() as tx:
        found = search_target(tx.conn, AuditFilter(), "user:rita", 50)
        assert [record["event"] for record in found.records] == ["user.deleted"]
        assert found.examined_until is not None
        rest = search_target(tx.conn, AuditFilter(until=found.examined_until), "user:rita", 50)
        assert rest.examined_until is not None

"""Requests of two users with a session each, and changes that affect their decisions."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import select, update

from aizen_hub.authorization.decisions.decision_service import DecisionRequest
from aizen_hub.rbac.decision import AuthorizationRequest
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.permission import Permission
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.settings import ServiceSettings
from aizen_hub.store import tables
from aizen_hub.store.actor import Actor, Channel
from aizen_hub.store.sql_store import Store
from aizen_hub.store.transaction import WriteTransaction
from aizen_hub.tokens.role_token import RoleToken
from tests.store.store_rows import TESTER, TRAIN

ALICE, BOB = Identity.user("alice"), Identity.user("bob")
SESSION, OTHER = "a" * 32, "b" * 32
ISSUED = datetime.now(UTC).replace(microsecond=0)
TOKEN = RoleToken(
    "alice", SESSION, "p1", (), 3, "f" * 32, ISSUED, ISSUED, ISSUED + timedelta(days=1), key_id="key"
)  # fmt: skip
ACTOR = Actor(ALICE, Channel.KERNEL, session=SESSION, project="p1", token_id=TOKEN.token_id, source="127.0.0.1")
REQUEST = DecisionRequest(ACTOR, AuthorizationRequest(TRAIN, "p1", SESSION), token=TOKEN)

PATIENT = ServiceSettings(deadline_seconds=30)
"""More time than a busy machine needs, and than a writer to SQLite, which has no fair queue, waits under load."""


def request(permission: Permission | None = TRAIN, scope: str | None = "p1") -> DecisionRequest:
    return replace(REQUEST, request=AuthorizationRequest(permission, scope))


def with_token(**changes: Any) -> DecisionRequest:
    return replace(REQUEST, token=replace(TOKEN, **changes))


def without_token(
    identity: Identity = ALICE, channel: Channel = Channel.PANEL, permission: Permission | None = TRAIN
) -> DecisionRequest:
    return DecisionRequest(Actor(identity, channel), AuthorizationRequest(permission, "p1" if permission else SYSTEM))


def rows(store: Store, **fields: Any) -> list[dict[str, Any]]:
    with store.read() as tx:
        encoded = tx.conn.scalars(
            select(tables.audit.c.body).where(tables.audit.c.event == "decision").order_by(tables.audit.c.id)
        )
        bodies = [json.loads(bytes(body)) for body in encoded]
    return [body for body in bodies if all(body.get(name) == value for name, value in fields.items())]


def effective_rows(store: Store) -> dict[str, dict[str, Any]]:
    """Return the rows by id, without those of outdated decisions, which a later row supersedes."""
    by_id = {row["id"]: row for row in rows(store)}
    superseded = {row["details"].get("supersedes") for row in by_id.values()}
    return {id: row for id, row in by_id.items() if id not in superseded}


def write(store: Store, operation: Callable[[WriteTransaction], object]) -> int:
    with store.write(TESTER) as tx:
        operation(tx)
        return tx.revision


def end_session(tx: WriteTransaction, session_id: str = SESSION) -> None:
    tx.conn.execute(update(tables.sessions).where(tables.sessions.c.id == session_id).values(ended=tx.now))
    tx.record_change("session", {}, [f"session:{session_id}"])


def change_project(tx: WriteTransaction) -> None:
    tx.conn.execute(update(tables.sessions).where(tables.sessions.c.id == SESSION).values(project="p2"))
    tx.record_change("session", {}, [f"session:{SESSION}"])


def revoke_tokens_of_session(tx: WriteTransaction) -> None:
    tx.conn.execute(update(tables.sessions).values(min_token_revision=TOKEN.revision + 1))
    tx.record_change("session", {}, [f"session:{SESSION}"])


def key_state(state: str, ago: timedelta = timedelta()) -> Callable[[WriteTransaction], None]:
    def change(tx: WriteTransaction) -> None:
        tx.conn.execute(update(tables.keys).values(state=state, changed=ISSUED - ago))
        tx.record_change("key", {}, ["key:key"])

    return change

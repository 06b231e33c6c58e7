"""Acceptance of a restored backup by the operator, after which no earlier credential works (T-40)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import delete, select, update

from aizen_hub.accounts.sessions import server_sessions
from aizen_hub.store import tables
from aizen_hub.store.audit_log import change_records
from aizen_hub.tokens.key_encryption import KeyFileError
from aizen_hub.tokens.keys import KeyState

if TYPE_CHECKING:
    from aizen_hub.audit.integrity.rollback_detection import Rollback
    from aizen_hub.store.keystore import KeyStore
    from aizen_hub.store.transaction import WriteTransaction

_REASON = "database restored"


@dataclass(frozen=True, slots=True)
class AcceptedRestore:
    """Number of sessions, keys and activation links that the acceptance ended."""

    sessions: int
    keys: int
    links: int


def accept_restored_database(
    tx: WriteTransaction, keystore: KeyStore, rollback: Rollback, reason: str
) -> AcceptedRestore:
    """Continue after the last signed revision, and end what the lost changes may already have ended.

    Revisions are never used twice, so that no response or token quotes one with another meaning. Role tokens, sessions
    and activation links end. All keys are replaced, since one that was withdrawn after the backup would be valid again.
    Roles, locks and credentials are those of the backup: what was revoked since then is back, and only people can know
    what that was.

    Raises
    ------
    KeyFileError
        The key-encryption file cannot be used, so the acceptance cannot be signed.
    """
    if keystore.file_fault is not None:
        raise KeyFileError(keystore.file_fault)
    now = tx.now.replace(microsecond=0)  # issue times are whole seconds, and tokens of the new keys must be valid
    tx.conn.execute(update(tables.revision).values(value=rollback.signed_revision, not_before=now))
    tx.state = tx.state._replace(revision=rollback.signed_revision)
    sessions_table = tables.sessions.c
    users = tx.conn.scalars(
        select(sessions_table.user).where(sessions_table.ended.is_(None)).distinct().order_by(sessions_table.user)
    ).all()
    ended_sessions = sum(server_sessions.end_sessions(tx, user, None, _REASON) for user in users)
    u, a = tables.users.c, tables.activations
    invited_users = tx.conn.scalars(select(u.name).join(a, a.c.user_id == u.id)).all()
    tx.conn.execute(delete(a))
    replaced_keys = [key.kid for key in keystore.list_keys(tx) if key.state is not KeyState.WITHDRAWN]
    keystore.withdraw(tx, replaced_keys, _REASON)
    keystore.create_missing(tx)
    lost_range = {
        "from": rollback.present_revision,
        "signed": rollback.signed_revision,
        "checkpoint": rollback.void_from,
        "since": rollback.since,
    }
    wrote = change_records.change_payload(*(change_records.row_deleted(a, user) for user in invited_users))
    tx.record_change("restored", {**lost_range, "until": rollback.until, "not_before": now, **wrote}, ["*"])
    counts = {"sessions": ended_sessions, "keys": len(replaced_keys), "links": len(invited_users)}
    tx.audit("database.accepted", reason=reason or None, details={**lost_range, "until": rollback.until, **counts})
    return AcceptedRestore(ended_sessions, len(replaced_keys), len(invited_users))

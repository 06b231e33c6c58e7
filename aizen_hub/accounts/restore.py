"""Going on from a restored backup: an act of the operator, after which nothing of before opens anything (T-40)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import delete, select, update

from aizen_hub.accounts.sessions import sessions
from aizen_hub.problems import Unavailable
from aizen_hub.store import tables
from aizen_hub.store.audit_log import change_records as recorded
from aizen_hub.tokens.keys import KeyState

if TYPE_CHECKING:
    from aizen_hub.audit.integrity.rollback_detection import Loss
    from aizen_hub.store.keystore import KeyStore
    from aizen_hub.store.transaction import Write

_REASON = "database restored"


@dataclass(frozen=True, slots=True)
class Accepted:
    """What the acceptance ended."""

    sessions: int
    keys: int
    links: int


def accept(tx: Write, keystore: KeyStore, loss: Loss, reason: str) -> Accepted:
    """Go on behind the last revision that was signed, and end what the lost changes may have ended already.

    Revisions are never used twice, so that no answer and no token quotes one that means something else now. Role
    tokens, sessions and activation links end. All keys are replaced: one that was withdrawn since the backup would be
    good again. Roles, locks and credentials are those of the backup: what was taken away since is back, and nobody but
    people can know.

    Raises
    ------
    Unavailable
        The key-encryption file is missing, so nothing could sign the acceptance.
    """
    if keystore.encryption is None:
        raise Unavailable(keystore.sealed or "sealed", remedy="bring back the key-encryption file first")
    now = tx.now.replace(microsecond=0)  # a token says its second only, and those of the new keys must be good
    tx.conn.execute(update(tables.revision).values(value=loss.revision, not_before=now))
    tx.state = tx.state._replace(revision=loss.revision)
    s = tables.sessions.c
    people = tx.conn.scalars(select(s.user).where(s.ended.is_(None)).distinct().order_by(s.user)).all()
    ended = sum(sessions.end(tx, user, None, _REASON) for user in people)
    u, a = tables.users.c, tables.activations
    invited = tx.conn.scalars(select(u.name).join(a, a.c.user_id == u.id)).all()
    tx.conn.execute(delete(a))
    old = [key.kid for key in keystore.list(tx) if key.state is not KeyState.WITHDRAWN]
    keystore.withdraw(tx, old, _REASON)
    keystore.ensure(tx)
    lost = {"from": loss.present, "signed": loss.revision, "checkpoint": loss.void_from, "since": loss.since}
    wrote = recorded.rows(*(recorded.gone(a, user) for user in invited))
    tx.change("restored", {**lost, "until": loss.until, "not_before": now, **wrote}, ["*"])
    done = {"sessions": ended, "keys": len(old), "links": len(invited)}
    tx.audit("database.accepted", reason=reason or None, details={**lost, "until": loss.until, **done})
    return Accepted(ended, len(old), len(invited))

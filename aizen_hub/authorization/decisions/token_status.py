"""Whether a verified role token is still good at a revision, and how its life ends early."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select, update

from aizen_hub.authorization.decisions.evaluation import stopped
from aizen_hub.rbac.decision import Request
from aizen_hub.rbac.engine import decide
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.store import tables
from aizen_hub.store.audit_log import change_records as recorded
from aizen_hub.tokens.keys import KeyRing, Purpose
from aizen_hub.tokens.role_token import RoleToken

if TYPE_CHECKING:
    from aizen_hub.store.transaction import Read, Write

_s = tables.sessions


def ended_because(tx: Read, ring: KeyRing, token: RoleToken) -> tuple[str, str] | None:
    """Return why a role token is no longer good in this view of the store, as a code and a sentence; None if it is.

    Judges the key, the session and its project, revocation, every ``not_before``, and whether the subject is stopped or
    whoever acts for it may do that no longer; not what the subject may do.

    Parameters
    ----------
    ring : KeyRing
        As it is at the revision of ``tx``.
    """
    key = ring.verifier(Purpose.ROLE, token.key_id)
    if key is None or not key.signed_at(token.issued_at):
        return "unknown-key", "the token's key is withdrawn"
    row = tx.conn.execute(select(_s).where(_s.c.id == token.session)).first()
    if row is None or row.ended is not None or row.user != token.subject:
        return "session-ended", "the token's session has ended"
    if row.tokens_from is not None and token.revision < row.tokens_from:
        return "revoked", "the token was revoked"
    if row.project != token.project:
        return "project-changed", "the session has changed its project since"
    starts = [
        tx.conn.scalar(select(tables.revision.c.not_before)),
        tx.conn.scalar(select(tables.users.c.not_before).where(tables.users.c.name == token.subject)),
        tx.conn.scalar(select(tables.projects.c.not_before).where(tables.projects.c.name == token.project)),
    ]
    if any(start is not None and token.issued_at < start for start in starts):
        return "revoked", "all tokens of that time were revoked"
    asked = Request(None, token.project or SYSTEM, token.session)
    decision = decide(tx.rights(Identity.user(token.subject)), asked, tx.now)
    if decision.allowed and token.actor is not None:
        decision = stopped(Identity.parse(token.actor), asked, tx.rights, tx.catalog, tx.now) or decision
    return None if decision.allowed else (decision.reason.value, decision.sentence)


def revoke(tx: Write, ring: KeyRing, token: RoleToken) -> bool:
    """End every role token that the session of a good token has so far; its server can renew (RFC 7009).

    A token that is good no longer ends nothing: whoever keeps a dead one cannot use it against newer ones (R52).
    """
    if ended_because(tx, ring, token) is not None:
        return False
    start = tx.state.revision + 1
    tx.conn.execute(update(_s).where(_s.c.id == token.session).values(tokens_from=start))
    wrote = recorded.rows(recorded.altered(_s, token.session, {"tokens_from": start}))
    tx.change("session", {"session": token.session, "did": "revoke", **wrote}, [f"session:{token.session}"])
    tx.audit("token.revoked", session=token.session, project=token.project, token=token.token_id)
    return True

"""Validity of a verified role token at a revision, and its revocation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select, update

from aizen_hub.authorization.decisions.evaluation import impersonation_denied
from aizen_hub.rbac.decision import AuthorizationRequest
from aizen_hub.rbac.engine import decide
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.store import tables
from aizen_hub.store.audit_log import change_records
from aizen_hub.tokens.keys import KeyRing, Purpose
from aizen_hub.tokens.role_token import RoleToken

if TYPE_CHECKING:
    from aizen_hub.store.transaction import ReadTransaction, WriteTransaction

_s = tables.sessions


def token_invalid_reason(tx: ReadTransaction, ring: KeyRing, token: RoleToken) -> tuple[str, str] | None:
    """Return why a role token is no longer valid in this view of the store, as code and sentence; None if it is valid.

    Checks the key, the session and its project, revocation, every ``not_before``, locks on the subject, and whether a
    user who acts for the subject still may; not what the subject may do.

    Parameters
    ----------
    ring : KeyRing
        The keys at the revision of ``tx``.
    """
    key = ring.verifier(Purpose.ROLE, token.key_id)
    if key is None or not key.could_have_signed_at(token.issued_at):
        return "unknown-key", "the token's key is withdrawn"
    row = tx.conn.execute(select(_s).where(_s.c.id == token.session_id)).first()
    if row is None or row.ended is not None or row.user != token.subject:
        return "session-ended", "the token's session has ended"
    if row.min_token_revision is not None and token.revision < row.min_token_revision:
        return "revoked", "the token was revoked"
    if row.project != token.project:
        return "project-changed", "the session has changed its project since"
    not_before_times = [
        tx.conn.scalar(select(tables.revision.c.not_before)),
        tx.conn.scalar(select(tables.users.c.not_before).where(tables.users.c.name == token.subject)),
        tx.conn.scalar(select(tables.projects.c.not_before).where(tables.projects.c.name == token.project)),
    ]
    if any(start is not None and token.issued_at < start for start in not_before_times):
        return "revoked", "all tokens of that time were revoked"
    request = AuthorizationRequest(None, token.project or SYSTEM, token.session_id)
    decision = decide(tx.rights(Identity.user(token.subject)), request, tx.now)
    if decision.allowed and token.actor is not None:
        decision = impersonation_denied(Identity.parse(token.actor), request, tx.rights, tx.catalog, tx.now) or decision
    return None if decision.allowed else (decision.reason.value, decision.sentence)


def revoke_session_tokens(tx: WriteTransaction, ring: KeyRing, token: RoleToken) -> bool:
    """Revoke every role token issued so far to the session of a valid token; its server can renew (RFC 7009).

    An invalid token revokes nothing, so that an old one cannot be used against newer ones (R52).

    Returns
    -------
    bool
        Whether tokens were revoked.
    """
    if token_invalid_reason(tx, ring, token) is not None:
        return False
    next_revision = tx.state.revision + 1
    tx.conn.execute(update(_s).where(_s.c.id == token.session_id).values(min_token_revision=next_revision))
    changes = change_records.change_payload(
        change_records.row_updated(_s, token.session_id, {"min_token_revision": next_revision})
    )
    tx.record_change(
        "session", {"session": token.session_id, "did": "revoke", **changes}, [f"session:{token.session_id}"]
    )
    tx.audit("token.revoked", session=token.session_id, project=token.project, token=token.token_id)
    return True

"""Acting for somebody else: a right of its own, for service accounts, with both names in every row (R54, R70)."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import insert

from aizen_hub.accounts import pending_changes as pending
from aizen_hub.accounts.names import names
from aizen_hub.accounts.sessions import sessions
from aizen_hub.authorization import checks as gate
from aizen_hub.problems import Denied, Escalation, NotFound
from aizen_hub.rbac.identity import Identity, Kind
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.store import tables
from aizen_hub.store.audit_log import change_records as recorded
from aizen_hub.tokens.opaque_token import hash_credential, new_id
from aizen_hub.tokens.role_token import RoleToken, issue
from aizen_hub.validation.printable import show

if TYPE_CHECKING:
    from aizen_hub.store.transaction import Write
    from aizen_hub.tokens.keys import KeyRing

RIGHT = "impersonate"
"""Name of the catalog's endpoint that says which permission this needs; a catalog without it has no impersonation."""


@dataclass(frozen=True, slots=True)
class Acting:
    """A role token for ``user`` that names the service account as its actor, and how long it lives."""

    token: str
    token_id: str
    session: str
    user: str
    project: str | None
    lifetime: timedelta


def impersonate(
    tx: Write,
    ring: KeyRing,
    user: str,
    project: str | None,
    *,
    within: RoleToken | None = None,
    scope: Iterable[str] | None = None,
) -> Acting:
    """Issue a token with which a service account acts for a user in one project.

    The token gives the user's rights and none of the account's; it cannot be renewed, exchanged, or used to change
    access. Both sides are judged again at every decision. Its session ends by itself: no server stands behind it.

    Parameters
    ----------
    within : RoleToken, optional
        A good token of this user and project, whose session the new one shares, and which it does not outlive.
    scope : iterable of str, optional
        Permissions to which the new token is narrowed; the caller has compared them with those of ``within``.

    Raises
    ------
    NotFound
        The catalog has no impersonation, the user is not registered, or the project does not exist for the user.
    Denied
        The actor is no service account, lacks the right, or the user is stopped.
    Escalation
        The user holds a role of the system that hands on rights, or may impersonate, too.
    Unavailable
        There is no usable key.
    """
    right = tx.catalog.endpoints.get(RIGHT)
    if right is None:
        raise NotFound("the catalog of this deployment has no impersonation")
    account = tx.actor.identity
    if account.kind is not Kind.SERVICE_ACCOUNT:
        raise Denied("only service accounts act for somebody else", remedy="use the account of the agent")
    gate.need(tx, str(right), SYSTEM)
    target = names.known_as(user)
    identity = Identity.user(target or "")
    if target is None or not tx.rights(identity).active:
        raise NotFound(f"`{show(user)}` is not registered and active")
    _need_harmless(tx, identity, str(right))
    name = sessions.enter(tx, target, project)
    lifetime = timedelta(seconds=tx.settings.role_token.lifetime_seconds)
    if within is None:
        session = _open(tx, target, name, account)
    else:
        session = within.session
        issued = datetime.fromtimestamp(int(tx.now.timestamp()), tx.now.tzinfo)
        lifetime = min(lifetime, within.expires_at - issued)
    tx.audit("session.acting", project=name, session=session, details={"user": target, "by": str(account)})
    rights, token_id = tx.rights(identity), new_id()
    token = issue(
        ring,
        tx.settings.service_url,
        tx.settings.service_url,
        subject=target,
        session=session,
        project=name,
        roles=sessions.roles_in(tx, rights, name or SYSTEM),
        revision=tx.revision,
        now=tx.now,
        lifetime=lifetime,
        scope=scope,
        actor=str(account),
        token_id=token_id,
    )
    return Acting(token, token_id, session, target, name, lifetime)


def _open(tx: Write, target: str, name: str | None, account: Identity) -> str:
    session = secrets.token_hex(16)
    # Nobody ever sees what this is the hash of, so this session can never be renewed.
    credential = hash_credential(secrets.token_hex(32))
    server = f"acting/{account.name}"[:255]
    values = {"user": target, "server": server, "project": name, "credential": credential}
    tx.conn.execute(insert(tables.sessions).values(id=session, started=tx.now, heard=tx.now, **values))
    wrote = recorded.rows(recorded.put(tables.sessions, session, values))
    tx.change("session", {"session": session, "did": "act", "by": str(account), **wrote}, [f"session:{session}"])
    return session


def _need_harmless(tx: Write, target: Identity, right: str) -> None:
    # R70: nobody of higher right can be a target. Which roles are high is the catalog's word, not ours.
    rights = tx.rights(target)
    present = {held.role for held in rights.held if held.scope == SYSTEM and held.gives(tx.now)}
    high = sorted(name for name in present if tx.roles[name].protected or pending.guarded(tx, name, SYSTEM))
    if high or gate.ask(tx, target, right, SYSTEM).allowed:
        what = f"holds {', '.join(high)}" if high else "may act for others as well"
        raise Escalation(f"nobody can act for `{target.name}`, who {what}", remedy="act for somebody else")

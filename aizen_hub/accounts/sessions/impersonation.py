"""Impersonation of users by service accounts, a separate right, with both names in every audit row (R54, R70)."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import insert

from aizen_hub.accounts import pending_changes
from aizen_hub.accounts.names import normalization
from aizen_hub.accounts.sessions import project_entry
from aizen_hub.authorization import checks
from aizen_hub.hub_settings import MAIN_HUB
from aizen_hub.problems import Denied, Escalation, NotFound
from aizen_hub.rbac.identity import Identity, IdentityKind
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.store import tables
from aizen_hub.store.audit_log import change_records
from aizen_hub.tokens.opaque_token import hash_credential, new_id
from aizen_hub.tokens.role_token import RoleToken, issue_role_token
from aizen_hub.validation.printable import excerpt

if TYPE_CHECKING:
    from aizen_hub.store.transaction import WriteTransaction
    from aizen_hub.tokens.keys import KeyRing

IMPERSONATE_ENDPOINT = "impersonate"
"""Catalog endpoint that names the permission needed; a catalog without it has no impersonation."""


@dataclass(frozen=True, slots=True)
class ImpersonationToken:
    """A role token for ``user`` whose actor is the service account, with its lifetime."""

    token: str
    token_id: str
    session_id: str
    user: str
    project: str | None
    lifetime: timedelta


def impersonate(
    tx: WriteTransaction,
    ring: KeyRing,
    user: str,
    project: str | None,
    *,
    within: RoleToken | None = None,
    scope: Iterable[str] | None = None,
) -> ImpersonationToken:
    """Issue a token with which a service account acts for a user in one project.

    The token has the user's rights and none of the account's. It cannot be renewed, exchanged, or used to change
    access, and both identities are checked again at every decision. Its session has no server and ends by itself.

    Parameters
    ----------
    within : RoleToken, optional
        A valid token of this user and project, whose session the new one shares, and which it does not outlive.
    scope : iterable of str, optional
        Permissions to which the new token is restricted; the caller has compared them with those of ``within``.

    Raises
    ------
    NotFound
        The catalog has no impersonation, the user is not registered, or the project does not exist for the user.
    Denied
        The actor is no service account, lacks the right, or the user is locked or inactive.
    Escalation
        The user holds a privileged system role, or may impersonate too.
    Unavailable
        There is no usable key.
    """
    endpoint_permission = tx.catalog.endpoints.get(IMPERSONATE_ENDPOINT)
    if endpoint_permission is None:
        raise NotFound("the catalog of this deployment has no impersonation")
    account = tx.actor.identity
    if account.kind is not IdentityKind.SERVICE_ACCOUNT:
        raise Denied("only service accounts can act for another user", remedy="use the account of the agent")
    checks.require(tx, str(endpoint_permission), SYSTEM)
    target = normalization.canonical_or_none(user)
    identity = Identity.user(target or "")
    if target is None or not tx.rights(identity).active:
        raise NotFound(f"`{excerpt(user)}` is not registered and active")
    require_permitted_target(tx, identity, str(endpoint_permission))
    project_name = project_entry.require_may_enter(tx, target, project)
    lifetime = timedelta(seconds=tx.settings.role_token.lifetime_seconds)
    if within is None:
        session = _open_session(tx, target, project_name, account)
    else:
        session = within.session_id
        issued = datetime.fromtimestamp(int(tx.now.timestamp()), tx.now.tzinfo)
        lifetime = min(lifetime, within.expires_at - issued)
    tx.audit("session.acting", project=project_name, session=session, details={"user": target, "by": str(account)})
    rights, token_id = tx.rights(identity), new_id()
    token = issue_role_token(
        ring,
        tx.settings.service_url,
        tx.settings.service_url,
        subject=target,
        session_id=session,
        project=project_name,
        roles=project_entry.active_roles(tx, rights, project_name or SYSTEM),
        revision=tx.revision,
        now=tx.now,
        lifetime=lifetime,
        scope=scope,
        actor=str(account),
        token_id=token_id,
    )
    return ImpersonationToken(token, token_id, session, target, project_name, lifetime)


def _open_session(tx: WriteTransaction, user: str, project: str | None, account: Identity) -> str:
    session = secrets.token_hex(16)
    # The hashed value is discarded, so this session can never be renewed.
    credential = hash_credential(secrets.token_hex(32))
    server = f"acting/{account.name}"[:255]
    # No hub has this server: the main one does not list it, so that its heartbeats end the session with the token.
    values = {"user": user, "hub": MAIN_HUB, "server": server, "project": project, "credential": credential}
    tx.conn.execute(insert(tables.sessions).values(id=session, started=tx.now, last_seen=tx.now, **values))
    wrote = change_records.change_payload(change_records.row_written(tables.sessions, session, values))
    tx.record_change("session", {"session": session, "did": "act", "by": str(account), **wrote}, [f"session:{session}"])
    return session


def require_permitted_target(tx: WriteTransaction, target: Identity, endpoint_permission: str) -> None:
    """Raise Escalation for a user with privileged roles (R70); the catalog says which roles are privileged."""
    rights = tx.rights(target)
    system_roles = {held.role for held in rights.held_roles if held.scope == SYSTEM and held.is_effective(tx.now)}
    privileged_roles = sorted(
        name for name in system_roles if tx.roles[name].protected or pending_changes.is_protected(tx, name, SYSTEM)
    )
    if privileged_roles or checks.decide_now(tx, target, endpoint_permission, SYSTEM).allowed:
        why = f"hold {', '.join(privileged_roles)}" if privileged_roles else "may impersonate users themselves"
        raise Escalation(f"`{target.name}` cannot be impersonated, since they {why}", remedy="choose another user")

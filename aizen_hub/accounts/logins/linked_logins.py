"""Linked logins of a user: linked by an administrator, or by the user who proved both (R32, T-16)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, insert, select

from aizen_hub.accounts import identities, pending_changes
from aizen_hub.accounts.credentials import recent_logins
from aizen_hub.accounts.logins import login_report
from aizen_hub.accounts.roles import last_holder
from aizen_hub.authorization import checks, lock_state
from aizen_hub.commands.result import Result, message_result, table_result
from aizen_hub.problems import BadInput, Conflict, Denied, LastHolder, NotFound
from aizen_hub.rbac import messages
from aizen_hub.rbac.assignment import LockTarget
from aizen_hub.rbac.identity import Identity
from aizen_hub.store import tables
from aizen_hub.store.audit_log import change_records
from aizen_hub.validation.printable import excerpt
from aizen_hub.wording import LAST_LOGIN

if TYPE_CHECKING:
    from aizen_hub.store.transaction import ReadTransaction, WriteTransaction

_u, _l, _p = tables.users, tables.logins, tables.passwords


def link_login(tx: WriteTransaction, user: str, provider: str, subject: str) -> Result:
    """Let another (provider, subject) sign in as a user; the actor needs every right of the user (R66-R70).

    If the user holds a protected role, the change waits for confirmation.

    Parameters
    ----------
    subject : str
        The immutable id of the person at the provider, as the provider reports it; never a name or an e-mail
        address.

    Raises
    ------
    Denied
        The permission to manage users, or in the panel a recent login, is missing.
    Escalation
        A right that the user holds is missing.
    NotFound, BadInput
        There is no such user or provider; the subject is empty; the provider is the local one.
    Conflict
        The login already belongs to a user.
    """
    checks.require(tx, checks.endpoint_permission(tx, "users"))
    row = identities.get_user(tx, user)
    identity = Identity.user(row.name)
    checks.require_control_of(tx, identity, "link a login")
    _require_linkable(tx, row.name, provider, subject)
    summary = f"let `{excerpt(subject)}` of {provider} sign in as `{row.name}`"
    if pending_changes.control_requires_confirmation(tx, identity):
        return pending_changes.submit(
            tx, "link-login", {"user": row.name, "provider": provider, "subject": subject}, summary
        )
    _insert_login(tx, row, provider, subject, {})
    return message_result(f"`{row.name}` can now sign in with {provider} too", user=row.name)


def link_confirmed_login(tx: WriteTransaction, args: Mapping[str, Any]) -> Result:
    """Execute a confirmed `link_login`."""
    return link_login(tx, args["user"], args["provider"], args["subject"])


def link_own_login(tx: WriteTransaction, user: str, provider: str, subject: str, browser_session: str) -> Result:
    """Link a login of a second provider to a user who proved both logins in one browser session.

    Parameters
    ----------
    browser_session : str
        SHA-256 of the hub's id of the browser session; it must have a recent login with a login linked so far.

    Raises
    ------
    Denied
        There is no recent login in that browser session, or the account is inactive or locked.
    Conflict
        The login already belongs to a user.
    """
    row = identities.get_user(tx, user)
    if recent_logins.recent_until(tx, row.name, browser_session) is None:
        raise Denied(
            "this needs a recent login",
            remedy="sign in again with the login you already have",
            extensions={"reason": "fresh-login-required"},
        )
    if not row.active or lock_state.is_locked(tx, LockTarget.IDENTITY, f"user:{row.name}"):
        raise Denied("your account is locked or inactive")
    _require_linkable(tx, row.name, provider, subject)
    _insert_login(tx, row, provider, subject, {"by": "self"})
    return message_result(f"you can now sign in with {provider} too")


def unlink_login(tx: WriteTransaction, user: str, login_id: int, *, last: bool = False) -> Result:
    """Remove a linked login from a user, and end the browser sessions that used it.

    Parameters
    ----------
    login_id : int
        As `list_logins` shows it.
    last : bool
        Remove it even if the user cannot sign in afterwards.

    Raises
    ------
    Denied
        The permission to manage users is missing.
    NotFound
        There is no such user or no such linked login.
    Conflict
        It is the user's last login, and ``last`` is not set.
    LastHolder
        It is the last login of the last holder of a protected role (R69).
    """
    checks.require(tx, checks.endpoint_permission(tx, "users"))
    row = identities.get_user(tx, user)
    login = tx.conn.execute(select(_l).where(_l.c.user_id == row.id, _l.c.id == login_id)).first()
    if login is None:
        raise NotFound(f"`{row.name}` has no linked login {login_id}", remedy="list the logins to see their ids")
    locked_out = not _can_still_sign_in(tx, row, without_login_id=login_id)
    if locked_out:
        _check_last_login(tx, row.name, last)
    _delete_logins(
        tx,
        row,
        _l.c.id == login_id,
        {"provider": login.provider, "subject": excerpt(login.subject), "shut": locked_out},
    )
    summary = f"`{row.name}` can no longer sign in as `{excerpt(login.subject)}` of {login.provider}"
    return message_result(
        summary + ("; this user has no login left" if locked_out else ""), user=row.name, shut=locked_out
    )


def unlink_own_logins(tx: WriteTransaction, provider: str) -> Result:
    """Remove the actor's own linked logins of a provider; the login of the registration stays."""
    checks.forbid_impersonation(tx)
    pending_changes.require_recent_login(tx)
    row = identities.get_user(tx, tx.actor.identity.name)
    if provider not in linked_providers(tx, row.name):
        raise NotFound("you have no such linked login")
    _delete_logins(tx, row, _l.c.provider == provider, {"provider": provider, "by": "self"})
    return message_result(f"you can no longer sign in with {provider}")


def list_logins(tx: WriteTransaction, user: str) -> Result:
    """List the logins of a user: the actor's own, or with the permission to manage users those of any user."""
    row = identities.get_user(tx, user)
    if Identity.user(row.name) == tx.actor.identity:
        checks.forbid_impersonation(tx)
    else:
        checks.require(tx, checks.endpoint_permission(tx, "users"))
        tx.audit("access.read", details={"query": "logins", "target": f"user:{row.name}"})
    return table_result(("login", "provider", "subject", "kind", "works"), logins_of(tx, row))


def logins_of(tx: ReadTransaction, row: Any) -> list[tuple[int | None, str, str | None, str, bool]]:
    """Return the logins of the user of a row, as `list_logins` shows them, without an authorization check."""
    logins = tx.conn.execute(select(_l).where(_l.c.user_id == row.id).order_by(_l.c.id)).all()
    configured = {configured_provider.name for configured_provider in tx.settings.providers}
    registration = (None, row.provider, row.subject, "registration", _registration_works(tx, row))
    return [
        registration,
        *((login.id, login.provider, login.subject, "further", login.provider in configured) for login in logins),
    ]


def linked_providers(tx: ReadTransaction, user: str) -> tuple[str, ...]:
    """Return the providers of a user's linked logins."""
    query = select(_l.c.provider).join(_u, _u.c.id == _l.c.user_id).where(_u.c.name == user)
    return tuple(sorted(set(tx.conn.execute(query).scalars())))


def _require_linkable(tx: ReadTransaction, user: str, provider: str, subject: str) -> None:
    identities.resolve_provider(tx, provider)
    if identities.provider_kind(tx, provider) == identities.LOCAL_KIND:
        raise BadInput("a local account cannot be linked", remedy="link a login of another provider")
    if not subject or len(subject) > login_report.MAX_SUBJECT:
        raise BadInput("the subject is empty or too long")
    owner = recent_logins.find_user(tx, provider, subject)
    if owner is not None:
        raise Conflict(
            f"`{user}` already signs in with this" if owner == user else "this login belongs to another user"
        )


def _insert_login(tx: WriteTransaction, row: Any, provider: str, subject: str, more: Mapping[str, str]) -> None:
    tx.conn.execute(insert(_l).values(user_id=row.id, provider=provider, subject=subject))
    wrote = change_records.change_payload(change_records.row_written(_l, row.name, {}, provider, subject))
    tx.record_change("login", {"user": row.name, "did": "link", "provider": provider, **wrote}, [])
    tx.audit("login.linked", details={"user": row.name, "provider": provider, "subject": excerpt(subject), **more})


def _delete_logins(tx: WriteTransaction, row: Any, condition: Any, details: Mapping[str, Any]) -> None:
    deleted = tx.conn.execute(select(_l.c.provider, _l.c.subject).where(_l.c.user_id == row.id, condition)).all()
    tx.conn.execute(delete(_l).where(_l.c.user_id == row.id, condition))
    # Browser sessions do not record the login they used, so all of them need a new login.
    recent_logins.forget_logins(tx, row.name)
    recent_logins.sign_out_user(tx, row.name)
    wrote = change_records.change_payload(
        *(change_records.row_deleted(_l, row.name, login.provider, login.subject) for login in deleted)
    )
    payload = {"user": row.name, "did": "unlink", "provider": details["provider"], **wrote}
    tx.record_change("login", payload, [f"user:{row.name}"])
    tx.audit("login.unlinked", details={"user": row.name, **details})


def _can_still_sign_in(tx: ReadTransaction, row: Any, without_login_id: int) -> bool:
    if _registration_works(tx, row):
        return True
    providers = [configured.name for configured in tx.settings.providers]
    others = select(_l.c.id).where(_l.c.user_id == row.id, _l.c.id != without_login_id, _l.c.provider.in_(providers))
    return tx.conn.execute(others).first() is not None


def _registration_works(tx: ReadTransaction, row: Any) -> bool:
    """Return whether the user can sign in as registered: the provider exists, and a local account has its password."""
    kind = identities.provider_kind(tx, row.provider)
    if kind != identities.LOCAL_KIND:
        return kind is not None
    return tx.conn.execute(select(_p.c.user_id).where(_p.c.user_id == row.id)).first() is not None


def _check_last_login(tx: WriteTransaction, user: str, allow_last: bool) -> None:
    for role, scope in last_holder.protected_grants_of(tx, [Identity.user(user)]):
        if last_holder.active_holders(tx, role, scope) == {user}:
            raise LastHolder(
                f"`{user}`, the last {role} of {messages.describe_scope(scope)}, could not sign in any more",
                remedy=f"grant {role} to another user first, or link another login",
            )
    if not allow_last:
        raise Conflict(
            f"this is the last login of `{user}`",
            remedy=LAST_LOGIN,
        )

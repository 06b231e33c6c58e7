"""Login reports of the hub: the user of an authenticated (provider, subject), and what the hub is told.

See R22, R32 and T-16 in `docs/security/`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import select, update

from aizen_hub.accounts import identities
from aizen_hub.accounts.credentials import recent_logins
from aizen_hub.accounts.groups.mapping_sync import sync_groups
from aizen_hub.accounts.names import normalization
from aizen_hub.accounts.sessions import project_entry
from aizen_hub.accounts.users import registration
from aizen_hub.api_models.logins import LoginOutcome
from aizen_hub.authorization import lock_state
from aizen_hub.authorization.activity import USE_LINK
from aizen_hub.problems import BadInput, Conflict
from aizen_hub.rbac.assignment import LockTarget
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.store import tables
from aizen_hub.store.audit_log import change_records
from aizen_hub.validation.email_address import email_domain, is_email_address, short_name
from aizen_hub.validation.printable import excerpt
from aizen_hub.validation.prose import check_prose

if TYPE_CHECKING:
    from aizen_hub.store.transaction import WriteTransaction

MAX_SUBJECT = 255
MAX_GROUPS = 1_000
_u = tables.users


_REASONS = {
    LoginOutcome.ADMITTED: "welcome",
    LoginOutcome.NOT_REGISTERED: "you are not registered here; ask an administrator to add you",
    LoginOutcome.LOCKED: "your account is locked; contact an administrator",
    LoginOutcome.NOT_ACTIVE: f"your account is not activated; {USE_LINK}",
    LoginOutcome.NAME_TAKEN: "another user is registered under your name; contact an administrator",
}


@dataclass(frozen=True, slots=True)
class HubUserInfo:
    """What the hub is told of a user: no more than it needs itself, since rights are decided here alone.

    Attributes
    ----------
    groups : tuple of str
        The projects in which the user has a role in effect, for the hub's own filters.
    admin : bool
        Whether the user may use the hub's admin page: the catalog's admin role is in effect now.
    """

    groups: tuple[str, ...] = ()
    admin: bool = False


@dataclass(frozen=True, slots=True)
class LoginResult:
    """Result of a login report, whose further fields are for an admitted user only.

    Attributes
    ----------
    user : str or None
        The canonical name.
    sign_out_revision : int or None
        The last change that ended all earlier sign-ins, which the hub ends before this login takes effect.
    """

    outcome: LoginOutcome
    user: str | None
    reason: str
    hub_user: HubUserInfo = field(default_factory=HubUserInfo)
    sign_out_revision: int | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "outcome": self.outcome.value,
            "user": self.user,
            "reason": self.reason,
            "hub_user": {"groups": list(self.hub_user.groups), "admin": self.hub_user.admin},
            "sign_out_revision": self.sign_out_revision,
        }


def report_login(
    tx: WriteTransaction,
    provider: str,
    subject: str,
    name: str,
    display_name: str = "",
    email: str | None = None,
    groups: Sequence[str] | None = None,
    *,
    refresh: bool = False,
    unattended: bool = False,
) -> LoginResult:
    """Record the hub's report that (provider, subject) has just authenticated, and return which user that is.

    A registration that was never used is bound to the first subject of its provider that has its name, and its e-mail
    domain if it was registered with one; afterwards the name is not used any more.

    Parameters
    ----------
    subject : str
        The immutable id of the person at the provider.
    name : str
        The external name; of an e-mail address, the local part is used.
    groups : sequence of str or None
        The user's groups at the provider; None if the provider reports none, which changes nothing.
    refresh : bool
        Whether the provider was queried without the user. That is no login: it binds and registers no one, and is
        recorded only if it changed something or denied access.
    unattended : bool
        Whether no request of the user caused the refresh, so that it is no use of the account.

    Raises
    ------
    BadInput
        The subject is empty or too long, or there are too many groups.
    """
    if not subject or len(subject) > MAX_SUBJECT:
        raise BadInput("the subject is empty or too long")
    if groups is not None and len(groups) > MAX_GROUPS:
        raise BadInput(f"more than {MAX_GROUPS} groups")
    identities.resolve_provider(tx, provider)
    details = {"provider": provider, "subject": excerpt(subject), "name": excerpt(name)}
    owner = recent_logins.find_user(tx, provider, subject)
    if owner is None and refresh:
        # Only a person who signs in takes a name: a saved subject may belong to someone else than the new account.
        owner = LoginOutcome.NOT_REGISTERED
    elif owner is None:
        # Invalid contact data of a provider must not prevent a login; an invalid address is ignored.
        valid_email = email if email and is_email_address(email) else None
        owner = _find_or_register(tx, provider, subject, name, display_name, valid_email)
    if isinstance(owner, LoginOutcome):
        return _make_result(tx, owner, None, details, refresh)
    user = str(owner)
    row = identities.get_user(tx, user)
    if groups is not None:
        sync_groups(tx, user, provider, groups)
    if lock_state.is_locked(tx, LockTarget.IDENTITY, f"user:{user}"):
        return _make_result(tx, LoginOutcome.LOCKED, user, details, refresh)
    if not row.active:
        return _make_result(tx, LoginOutcome.NOT_ACTIVE, user, details, refresh)
    seen = {} if unattended else {"last_seen": tx.now}
    back = {"gone_at": None} if row.gone_at is not None and row.provider == provider else {}
    if seen or back:
        tx.conn.execute(update(_u).where(_u.c.name == user).values(**seen, **back))
    return _make_result(tx, LoginOutcome.ADMITTED, user, details, refresh)


def _find_or_register(
    tx: WriteTransaction, provider: str, subject: str, name: str, display_name: str, email: str | None
) -> str | LoginOutcome:
    short = short_name(name)
    canonical = normalization.canonical_or_none(short)
    if canonical is None:
        return LoginOutcome.NOT_REGISTERED
    row = tx.conn.execute(select(_u).where(_u.c.name == canonical)).first()
    if row is not None:
        if row.provider != provider or row.subject is not None or not normalization.is_canonical(short, canonical):
            return LoginOutcome.NAME_TAKEN
        if row.domain is not None and row.domain != email_domain(name):
            return LoginOutcome.NAME_TAKEN
        values: dict[str, Any] = {"subject": subject}
        if not row.display_name:
            values["display_name"] = check_prose(display_name, "display name")
        if not row.email:
            values["email"] = email
        tx.conn.execute(update(_u).where(_u.c.id == row.id).values(**values))
        wrote = change_records.change_payload(change_records.row_updated(_u, canonical, values))
        tx.record_change(
            "user", {"user": canonical, "did": "bind", "provider": provider, **wrote}, [f"user:{canonical}"]
        )
        tx.audit("user.bound", details={"user": canonical, "provider": provider, "subject": excerpt(subject)})
        return canonical
    if not tx.settings.auto_register:
        return LoginOutcome.NOT_REGISTERED
    try:
        return registration.unauthorized_register_user(
            tx, canonical, provider=provider, display_name=display_name, email=email, subject=subject
        )
    except Conflict:
        # Reserved for a deleted user, or a look-alike of another name.
        return LoginOutcome.NAME_TAKEN


def _make_result(
    tx: WriteTransaction, outcome: LoginOutcome, user: str | None, details: dict[str, str], refresh: bool
) -> LoginResult:
    admitted = outcome is LoginOutcome.ADMITTED and user is not None
    if not (refresh and admitted and not tx.invalidated):
        event = "login.refreshed" if refresh else "login"
        # For an admitted user the canonical name is enough: it stays as a pseudonym when personal data is erased,
        # unlike the name at the provider, which is often an e-mail address.
        recorded_details = {key: value for key, value in details.items() if key != "name" or user is None}
        tx.audit(event, details={"outcome": outcome.value, "user": user, **recorded_details})
    if not admitted:
        return LoginResult(outcome, None, _REASONS[outcome])
    rights = tx.rights(Identity.user(str(user)))
    projects = {held.scope for held in rights.held_roles if held.scope != SYSTEM and held.is_effective(tx.now)}
    hub_user = HubUserInfo(tuple(sorted(projects)), project_entry.is_admin(tx, str(user)))
    return LoginResult(outcome, user, _REASONS[outcome], hub_user, recent_logins.sign_out_revision(tx, str(user)))

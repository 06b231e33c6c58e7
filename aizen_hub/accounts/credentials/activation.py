"""Activation links of local accounts: valid for 24 hours, one per account, stored as a hash."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from sqlalchemy import delete, insert, select, update

from aizen_hub.accounts import identities, pending_changes
from aizen_hub.accounts.credentials import passwords
from aizen_hub.authorization import checks
from aizen_hub.commands.result import Result, message_result, to_json_value
from aizen_hub.problems import Conflict, Denied, Escalation, NotAuthenticated
from aizen_hub.rbac.escalation import MissingRight
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.store import tables
from aizen_hub.store.actor import Channel
from aizen_hub.store.audit_log import change_records

if TYPE_CHECKING:
    from aizen_hub.store.transaction import ReadTransaction, WriteTransaction

LINK_LIFETIME = timedelta(hours=24)
_a = tables.activations


@dataclass(frozen=True, slots=True)
class ActivationLink:
    """An activation link, shown once.

    The token is in the fragment of the URL, which a browser sends to no server.
    """

    token: str
    expires: datetime

    @property
    def page(self) -> str:
        """Path below the address of the panel."""
        return f"activate#{quote(self.token)}"

    @property
    def path(self) -> str:
        """Path below the hub's own address."""
        return f"/services/aizen/{self.page}"

    def to_json(self) -> dict[str, Any]:
        return {"link": self.path, "token": self.token, "expires": to_json_value(self.expires)}


def reissue_link(tx: WriteTransaction, name: str) -> Result:
    """Create a new activation link for an existing account, as ``data["activation"]``; earlier links become invalid.

    If the account holds a protected role, the change waits for confirmation. A link for the actor's own account is
    created only in the panel, after a recent login, so that a program cannot take over the user who runs it.

    Raises
    ------
    Denied
        A link for the actor's own account outside the panel, or in the panel without a recent login; otherwise as
        `issue_link`.
    Escalation, NotFound, Conflict
        As `issue_link`.
    """
    user = _require_may_issue(tx, name)
    identity = Identity.user(user)
    if identity == tx.actor.identity:
        if tx.actor.channel is not Channel.PANEL:
            raise Denied(
                "a link for your own account can be created in the panel only",
                remedy="open the panel, or change your password on the hub's password page",
            )
        pending_changes.require_recent_login(tx)
    if pending_changes.control_requires_confirmation(tx, identity):
        return pending_changes.submit(tx, "activation-link", {"user": user}, f"create an activation link for `{user}`")
    link = issue_link(tx, user)
    return message_result(
        "created a new activation link; earlier ones are no longer valid", user=user, activation=link.to_json()
    )


def reissue_confirmed_link(tx: WriteTransaction, args: Mapping[str, Any]) -> Result:
    """Execute a confirmed `reissue_link`."""
    result = reissue_link(tx, args["user"])
    return message_result(result.message, activations=[{"user": args["user"], **result.data["activation"]}])


def issue_link(tx: WriteTransaction, name: str) -> ActivationLink:
    """Create an activation link without confirmation, as for a new account; earlier links become invalid.

    The holder of the link controls the account, so the actor needs every right of the account. Until the first link is
    redeemed, the actor must hold, or be able to grant, whatever the account is given. A link that was created neither
    after a recent login nor for an account with protected roles becomes invalid when the account gets a protected role.

    Raises
    ------
    Denied, Escalation
        The permission to manage users, or a right of the account, is missing.
    NotFound, Conflict
        There is no such user; it is not a local account.
    """
    return store_link(tx, _require_may_issue(tx, name))


def store_link(tx: WriteTransaction, user: str, *, by_mail: bool = False) -> ActivationLink:
    """Store a new link, without an authorization check.

    Parameters
    ----------
    by_mail : bool
        The link is sent to the user and shown to no one else, so it stays valid whatever its issuer may do.
    """
    user_id = identities.get_user(tx, user).id
    token = secrets.token_urlsafe(32)
    expires = tx.now + LINK_LIFETIME
    values = {
        "token_hash": _hash(token),
        "expires": expires,
        "issued_by": None if checks.is_operator(tx) else str(tx.actor.identity),
        "with_recent_login": pending_changes.has_recent_login(tx) or _is_protected(tx, user),
        "by_mail": by_mail,
    }
    tx.conn.execute(delete(_a).where(_a.c.user_id == user_id))
    tx.conn.execute(insert(_a).values(user_id=user_id, **values))
    tx.record_change(
        "activation",
        {"user": user, "did": "issue", **change_records.change_payload(change_records.row_written(_a, user, values))},
        [],
    )
    tx.audit("activation.issued", details={"user": user, "expires": to_json_value(expires), "by_mail": by_mail})
    return ActivationLink(token, expires)


def require_local_account(tx: WriteTransaction, name: str) -> Any:
    """Return the row of a local account for an actor who may manage users.

    Raises
    ------
    Denied, NotFound, Conflict
    """
    checks.require(tx, checks.endpoint_permission(tx, "users"))
    row = identities.get_user(tx, name)
    if identities.provider_kind(tx, row.provider) != identities.LOCAL_KIND:
        raise Conflict(
            f"`{row.name}` signs in with {row.provider}, so there is nothing to activate",
            remedy=f"a lost password of `{row.name}` is reset at {row.provider}",
        )
    return row


def missing_to_see_link(tx: WriteTransaction, row: Any) -> tuple[MissingRight, ...]:
    """Return the rights that the actor lacks to be shown a link for an account, which gives control of it.

    Before its first activation, rights that the actor could give to a new account too do not count.
    """
    if checks.is_operator(tx):
        return ()
    return checks.missing_for_control(
        tx, tx.actor.identity, Identity.user(row.name), include_grantable=not was_activated(tx, row)
    )


def was_activated(tx: ReadTransaction, row: Any) -> bool:
    """Return whether a local account has ever been activated, and so is in the hands of its user."""
    passwords_table = tables.passwords
    return row.active or (
        tx.conn.execute(select(passwords_table.c.user_id).where(passwords_table.c.user_id == row.id)).first()
        is not None
    )


def has_trusted_address(tx: ReadTransaction, row: Any) -> bool:
    """Return whether a link may be sent to the registered e-mail address, for any issuer.

    An address from the registration may be used if its setter holds every right of this account or could give it to
    another new account; one that another user set afterwards, only if that user holds every right. A program in a
    server of the user cannot set it for links.
    """
    if row.email_set_by is None:
        return True
    setter, account = Identity.parse(row.email_set_by), Identity.user(row.name)
    if setter == account:
        return not row.email_unconfirmed
    return not checks.missing_for_control(tx, setter, account, include_grantable=not row.email_unconfirmed)


def is_link_valid(tx: ReadTransaction, token: str) -> bool:
    """Return whether the link could be redeemed now; checked first, so that no password is hashed in vain."""
    return _find_valid_link(tx, token) is not None


def redeem_link(tx: WriteTransaction, token: str, password: str | passwords.NewPassword) -> str:
    """Set the password of the account of the link, activate the account, and return the user's name.

    Raises
    ------
    NotAuthenticated
        The link is unknown, used, revoked or expired; the message does not say which. A link is also invalid if its
        issuer could not issue it any more, because the account has got more rights or the issuer has lost some.
    BadInput
        The password is not acceptable.
    """
    row = _find_valid_link(tx, token)
    if row is None:
        raise NotAuthenticated(
            "this link is invalid or has expired", remedy="ask for a new one", extensions={"code": "activation"}
        )
    passwords.set_password(tx, row.name, password)
    tx.conn.execute(update(tables.users).where(tables.users.c.id == row.id).values(active=True))
    tx.conn.execute(delete(_a).where(_a.c.user_id == row.id))
    wrote = change_records.change_payload(
        change_records.row_updated(tables.users, row.name, {"active": True}), change_records.row_deleted(_a, row.name)
    )
    tx.record_change("activation", {"user": row.name, "did": "redeem", **wrote}, [f"user:{row.name}"])
    tx.audit("activation.redeemed", details={"user": row.name})
    return str(row.name)


def _require_may_issue(tx: WriteTransaction, name: str) -> str:
    """Return the canonical name of a local account for which the actor may create a link and see it."""
    row = require_local_account(tx, name)
    missing = missing_to_see_link(tx, row)
    if missing:
        sentences = [right.sentence for right in missing]
        raise Escalation(
            f"to issue an activation link you need every right of `user:{row.name}`: {'; '.join(sentences[:5])}",
            remedy="ask a user who has these rights",
            extensions={"missing": sentences},
        )
    return str(row.name)


def _find_valid_link(tx: ReadTransaction, token: str) -> Any:
    """Return the row of the account of the link, or None if the link is unknown, expired or revoked."""
    row = tx.conn.execute(
        select(tables.users, _a.c.expires, _a.c.issued_by, _a.c.with_recent_login, _a.c.by_mail)
        .join(_a, _a.c.user_id == tables.users.c.id)
        .where(_a.c.token_hash == _hash(token))
    ).first()
    return None if row is None or row.expires <= tx.now or not _issuer_still_entitled(tx, row) else row


def _issuer_still_entitled(tx: ReadTransaction, row: Any) -> bool:
    if row.by_mail:
        return has_trusted_address(tx, row)
    if row.issued_by is None:
        return True
    issuer, account = Identity.parse(row.issued_by), Identity.user(row.name)
    return (
        checks.decide_now(tx, issuer, checks.endpoint_permission(tx, "users"), SYSTEM).allowed
        # Rights that the issuer could grant to any new account may also be granted to this one before its first login.
        and not checks.missing_for_control(tx, issuer, account, include_grantable=True)
        and (row.with_recent_login or not _is_protected(tx, row.name))
    )


def _is_protected(tx: ReadTransaction, user: str) -> bool:
    grants = pending_changes.reachable_grants(tx, Identity.user(user))
    return tx.settings.confirm_protected and any(pending_changes.is_protected(tx, *grant) for grant in grants)


def _hash(token: str) -> str:
    return sha256(token.encode()).hexdigest()

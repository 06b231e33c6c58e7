"""Activation links of local accounts: 24 hours, one at a time, only their hash is stored."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from sqlalchemy import delete, insert, select, update

from aizen_hub.accounts import pending_changes as pending
from aizen_hub.accounts.credentials import passwords
from aizen_hub.accounts.users import users
from aizen_hub.authorization import checks as gate
from aizen_hub.commands.result import Result, message, plain
from aizen_hub.problems import Conflict, Denied, NotAuthenticated
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.store import tables
from aizen_hub.store.actor import Road
from aizen_hub.store.audit_log import change_records as recorded

if TYPE_CHECKING:
    from aizen_hub.store.transaction import Read, Write

LIVES = timedelta(hours=24)
_a = tables.activations


@dataclass(frozen=True, slots=True)
class Link:
    """An activation link, shown once. The token stands in the fragment, which a browser sends to no server."""

    token: str
    expires: datetime

    @property
    def path(self) -> str:
        """Path below the hub's own address."""
        return f"/services/aizen/activate#{quote(self.token)}"

    def to_json(self) -> dict[str, Any]:
        return {"link": self.path, "token": self.token, "expires": plain(self.expires)}


def reissue(tx: Write, name: str) -> Result:
    """Make a new activation link for an account that is there, as ``data["activation"]``; the earlier one is void.

    Where the account holds a role that changes hands only with confirmation, it waits for that; for oneself it is made
    in the panel only, after a fresh sign-in: a program must not take over who runs it.

    Raises
    ------
    Denied
        For oneself elsewhere, or in the panel without a fresh sign-in; else as `issue`.
    Escalation, NotFound, Conflict
        As `issue`.
    """
    user = _check(tx, name)
    identity = Identity.user(user)
    if identity == tx.actor.identity:
        if tx.actor.road is not Road.PANEL:
            raise Denied(
                "a link for your own account is made in the panel only",
                remedy="open the panel, or change your password on the hub's page",
            )
        pending.need_fresh(tx)
    if pending.needed_to_control(tx, identity):
        return pending.hold(tx, "activation-link", {"user": user}, f"make an activation link for `{user}`")
    link = issue(tx, user)
    return message("a new activation link; the earlier one is void", user=user, activation=link.to_json())


def reissue_confirmed(tx: Write, args: Mapping[str, Any]) -> Result:
    """Make a link after its confirmation."""
    result = reissue(tx, args["user"])
    return message(result.message, activations=[{"user": args["user"], **result.data["activation"]}])


def issue(tx: Write, name: str) -> Link:
    """Make an activation link without asking for confirmation, as for an account just made; an earlier one is void.

    Whoever holds the link decides who the account is, so the actor needs every right that the account holds; what the
    account is given until it is redeemed, the actor must hold or be able to give. A link that was made neither after a
    fresh sign-in nor for an account with such roles dies when the account gets a role that changes hands only with
    confirmation.

    Raises
    ------
    Denied, Escalation
        The permission to manage users, or a right of the account, is missing.
    NotFound, Conflict
        No such user; not a local account.
    """
    user = _check(tx, name)
    number = users.row_of(tx, user).id
    token = secrets.token_urlsafe(32)
    expires = tx.now + LIVES
    values = {
        "token_hash": _hash(token),
        "expires": expires,
        "issued_by": None if gate.above_roles(tx) else str(tx.actor.identity),
        "proven": pending.is_fresh(tx) or _is_guarded(tx, user),
    }
    tx.conn.execute(delete(_a).where(_a.c.user_id == number))
    tx.conn.execute(insert(_a).values(user_id=number, **values))
    tx.change("activation", {"user": user, "did": "issue", **recorded.rows(recorded.put(_a, user, values))}, [])
    tx.audit("activation.issued", details={"user": user, "expires": plain(expires)})
    return Link(token, expires)


def is_good(tx: Read, token: str) -> bool:
    """Tell whether the link could be redeemed now, so that no password is hashed for nothing."""
    return _good(tx, token) is not None


def redeem(tx: Write, token: str, password: str | passwords.NewPassword) -> str:
    """Set the password of the account that the link was made for, and activate it; return the user's name.

    Raises
    ------
    NotAuthenticated
        The link is unknown, used, void or expired: one sentence for all. It is void also when whoever made it could not
        make it any more, because the account was given more, or they lost something, since then.
    BadInput
        The password cannot be used.
    """
    row = _good(tx, token)
    if row is None:
        raise NotAuthenticated(
            "this link is not valid, or not any more", remedy="ask for a new one", more={"code": "activation"}
        )
    passwords.put(tx, row.name, password)
    tx.conn.execute(update(tables.users).where(tables.users.c.id == row.id).values(active=True))
    tx.conn.execute(delete(_a).where(_a.c.user_id == row.id))
    wrote = recorded.rows(recorded.altered(tables.users, row.name, {"active": True}), recorded.gone(_a, row.name))
    tx.change("activation", {"user": row.name, "did": "redeem", **wrote}, [f"user:{row.name}"])
    tx.audit("activation.redeemed", details={"user": row.name})
    return str(row.name)


def _check(tx: Write, name: str) -> str:
    """Return the canonical name of a local account for which the actor may make a link."""
    gate.need(tx, gate.permission(tx, "users"))
    row = users.row_of(tx, name)
    if users.kind_of(tx, row.provider) != users.LOCAL:
        raise Conflict(f"`{row.name}` signs in with {row.provider}, so there is nothing to activate")
    gate.need_control(tx, Identity.user(row.name), "issue an activation link")
    return str(row.name)


def _good(tx: Read, token: str) -> Any:
    """Return the row of the account that the link was made for, or None where it is unknown, expired or void."""
    row = tx.conn.execute(
        select(tables.users.c.id, tables.users.c.name, _a.c.expires, _a.c.issued_by, _a.c.proven)
        .join(_a, _a.c.user_id == tables.users.c.id)
        .where(_a.c.token_hash == _hash(token))
    ).first()
    return None if row is None or row.expires <= tx.now or not _holds_good(tx, row) else row


def _holds_good(tx: Read, row: Any) -> bool:
    if row.issued_by is None:
        return True
    maker, account = Identity.parse(row.issued_by), Identity.user(row.name)
    return (
        gate.ask(tx, maker, gate.permission(tx, "users"), SYSTEM).allowed
        # What the maker could give to any new account, they may give to this one before its first sign-in too.
        and not gate.missing_to_control(tx, maker, account, or_give=True)
        and (row.proven or not _is_guarded(tx, row.name))
    )


def _is_guarded(tx: Read, user: str) -> bool:
    places = pending.reached_places(tx, Identity.user(user))
    return tx.settings.confirm_protected and any(pending.guarded(tx, *place) for place in places)


def _hash(token: str) -> str:
    return sha256(token.encode()).hexdigest()

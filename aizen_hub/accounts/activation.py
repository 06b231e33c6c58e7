"""Activation links of local accounts: 24 hours, one at a time, only their hash is stored."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from sqlalchemy import delete, insert, select, update

from aizen_hub.accounts import gate, passwords, users
from aizen_hub.accounts.result import plain
from aizen_hub.problems import Conflict, NotAuthenticated
from aizen_hub.rbac.identity import Identity
from aizen_hub.store import tables

if TYPE_CHECKING:
    from aizen_hub.store.transaction import Write

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


def issue(tx: Write, name: str) -> Link:
    """Make an activation link; an earlier one is void.

    Whoever holds the link decides who the account is, so the actor needs every right that the account holds.

    Raises
    ------
    Denied, Escalation
        The permission to manage users, or a right of the account, is missing.
    NotFound, Conflict
        No such user; not a local account.
    """
    gate.need(tx, gate.permission(tx, "users"))
    row = users.row_of(tx, name)
    if users.kind_of(tx, row.provider) != users.LOCAL:
        raise Conflict(f"`{row.name}` signs in with {row.provider}, so there is nothing to activate")
    gate.need_control(tx, Identity.user(row.name), "issue an activation link")
    token = secrets.token_urlsafe(32)
    expires = tx.now + LIVES
    tx.conn.execute(delete(_a).where(_a.c.user_id == row.id))
    tx.conn.execute(insert(_a).values(user_id=row.id, token_hash=_hash(token), expires=expires))
    tx.change("activation", {"user": row.name, "did": "issue"}, [])
    tx.audit("activation.issued", details={"user": row.name, "expires": plain(expires)})
    return Link(token, expires)


def redeem(tx: Write, token: str, password: str) -> str:
    """Set the password of the account that the link was made for, and activate it; return the user's name.

    Raises
    ------
    NotAuthenticated
        The link is unknown, used, void or expired: one sentence for all.
    BadInput
        The password cannot be used.
    """
    row = tx.conn.execute(
        select(tables.users.c.id, tables.users.c.name, _a.c.expires)
        .join(_a, _a.c.user_id == tables.users.c.id)
        .where(_a.c.token_hash == _hash(token))
    ).first()
    if row is None or row.expires <= tx.now:
        raise NotAuthenticated(
            "this link is not valid, or not any more", remedy="ask for a new one", more={"code": "activation"}
        )
    passwords.put(tx, row.name, password)
    tx.conn.execute(update(tables.users).where(tables.users.c.id == row.id).values(active=True))
    tx.conn.execute(delete(_a).where(_a.c.user_id == row.id))
    tx.change("activation", {"user": row.name, "did": "redeem"}, [f"user:{row.name}"])
    tx.audit("activation.redeemed", details={"user": row.name})
    return str(row.name)


def _hash(token: str) -> str:
    return sha256(token.encode()).hexdigest()

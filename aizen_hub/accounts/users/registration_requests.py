"""Requests of people whom a provider signed in to be registered: administrators are told, and register or dismiss."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, func, insert, select, update

from aizen_hub.alerts.message import AlertEvent
from aizen_hub.alerts.outbox import alert_users
from aizen_hub.authorization import checks
from aizen_hub.authorization.queries.permission_holders import holders_of
from aizen_hub.commands.result import Result, message_result
from aizen_hub.problems import NotFound, TooManyRequests
from aizen_hub.rbac.identity import IdentityKind
from aizen_hub.rbac.permission import Permission
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.store import tables
from aizen_hub.validation.printable import excerpt

if TYPE_CHECKING:
    from aizen_hub.store.transaction import ReadTransaction, WriteTransaction

LIFETIME = timedelta(days=14)
MAX_WAITING = 1_000
_MAX_ALERTED = 20
_r, _u = tables.registration_requests, tables.users


def request_registration(
    tx: WriteTransaction, provider: str, name: str, *, display_name: str = "", email: str | None = None
) -> None:
    """Record that a person asks to be registered, and tell the users who may register people.

    A repeated request of the same person only renews it. The caller has authenticated the person at the provider.

    Raises
    ------
    TooManyRequests
        Too many people are asking already.
    """
    is_same = (_r.c.provider == provider, _r.c.name == name)
    values = {"display_name": display_name, "email": email, "asked": tx.now}
    if tx.conn.execute(update(_r).where(*is_same).values(**values)).rowcount:
        return
    tx.conn.execute(delete(_r).where(_r.c.asked < tx.now - LIFETIME))
    if tx.conn.execute(select(func.count()).select_from(_r)).scalar_one() >= MAX_WAITING:
        raise TooManyRequests("too many people are asking to be registered", remedy="tell an administrator")
    tx.conn.execute(insert(_r).values(provider=provider, name=name, **values))
    tx.audit("registration.requested", details={"provider": provider, "name": excerpt(name)})
    permission = Permission.parse(checks.endpoint_permission(tx, "users"))
    admins = holders_of(tx, permission, SYSTEM, IdentityKind.USER, limit=_MAX_ALERTED).holders
    alert = {"user": name, "target": provider, "comment": display_name or None, "page": "home"}
    alert_users(tx, [holder.identity.name for holder in admins], AlertEvent.REGISTRATION_REQUESTED, alert)


def list_registration_requests(tx: ReadTransaction, limit: int = 20) -> Sequence[Any]:
    """Return the newest requests of people who are still not registered under that name."""
    is_registered = select(_u.c.name).where(_u.c.name == func.lower(_r.c.name), _u.c.provider == _r.c.provider)
    query = select(_r).where(_r.c.asked >= tx.now - LIFETIME, ~is_registered.exists())
    return tx.conn.execute(query.order_by(_r.c.asked.desc(), _r.c.name).limit(limit)).all()


def dismiss_registration_request(tx: WriteTransaction, provider: str, name: str) -> Result:
    """Remove a request; the person may ask again.

    Raises
    ------
    Denied
        The actor may not manage users.
    NotFound
        There is no such request.
    """
    checks.require(tx, checks.endpoint_permission(tx, "users"))
    if not tx.conn.execute(delete(_r).where(_r.c.provider == provider, _r.c.name == name)).rowcount:
        raise NotFound("there is no such request to be registered", remedy="it was dismissed, or has ended")
    tx.audit("registration.dismissed", details={"provider": provider, "name": excerpt(name)})
    return message_result("the request was dismissed")

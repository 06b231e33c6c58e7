"""What the user of a server is told when its session has ended or is locked: who did it, when and why."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import or_, select

from aizen_hub.commands.result import to_json_value
from aizen_hub.problems import NotAuthenticated
from aizen_hub.rbac.assignment import LockTarget
from aizen_hub.rbac.identity import Identity
from aizen_hub.store import tables
from aizen_hub.store.actor import Actor, Channel

if TYPE_CHECKING:
    from datetime import datetime

    from aizen_hub.store.transaction import ReadTransaction

OPERATOR_NAME = "operator"
_REASONS: Mapping[str, str] = {
    "locked": "it was locked",
    "restarted": "the server was started again",
    "server-gone": "the hub reported that the server had stopped",
    "hub-removed": "its hub does not use this service any more",
    "provider-removed": "its hub does not sign in people of your provider any more",
    "project-deleted": "the project was deleted",
    "project-locked": "the project was locked",
}
"""By the reason as it is stored; any other is a text of the user who ended the session."""
_OTHER_PROJECT = "save your work: the server stops {grace} seconds later; start one for another project at the hub"
_REMEDIES: Mapping[str, str] = {
    "locked": "ask an administrator",
    "hub-removed": "start a server at another hub",
    "provider-removed": "start a server at another hub",
    "restarted": "use the server that was started since, or start it again at the hub",
    "project-deleted": _OTHER_PROJECT,
    "project-locked": _OTHER_PROJECT,
}
_RESTART = "start your server again at the hub"


def name_of_ender(actor: Actor) -> str | None:
    """Return who ends a session, as it is stored; None for the hub, which only reports what happened to the server."""
    if actor.channel is Channel.HUB:
        return None
    return OPERATOR_NAME if actor.channel is Channel.OPERATOR else str(actor.identity)


def ended_error(tx: ReadTransaction, row: Any) -> NotAuthenticated:
    """Return the error for the credential of a session that has ended.

    Parameters
    ----------
    row : Row
        The session.
    """
    reason = row.end_reason or "it ended"
    why = _REASONS.get(reason, reason)
    if reason == "locked" and (lock := _lock_on(tx, row)) is not None:
        what = {LockTarget.IDENTITY.value: "your account", LockTarget.SESSION.value: "the session"}[lock.target]
        until = f" until {_format_time(lock.ends)}" if lock.ends is not None else ""
        why = f"{what} was locked{until}: {lock.reason}"
    own, at = str(Identity.user(row.user)), _format_time(row.ended)
    match row.ended_by:
        case None:
            sentence = f"your server's session ended at {at}: {why}"
        case name if name == own:
            sentence = f"you ended your server's session at {at}: {why}"
        case name:
            who = "an operator of this hub" if name == OPERATOR_NAME else f"`{name.removeprefix('user:')}`"
            sentence = f"{who} ended your server's session at {at}: {why}"
    grace = tx.settings.session.project_end_grace_seconds
    remedy = _REMEDIES.get(reason, _RESTART).format(grace=grace)
    extensions = {"code": "session-ended"}
    if _REMEDIES.get(reason) is _OTHER_PROJECT:
        extensions["server_stops_at"] = str(to_json_value(row.ended + timedelta(seconds=grace)))
    return NotAuthenticated(sentence, remedy=remedy, extensions=extensions)


def locked_error(tx: ReadTransaction, target: LockTarget, name: str) -> NotAuthenticated:
    """Return the error for a session that is locked, or whose project is."""
    row = tx.conn.execute(select(_l).where(_l.c.target == target.value, _l.c.name == name)).one()
    what = "this session" if target is LockTarget.SESSION else f"the project `{name}`"
    until = f" until {_format_time(row.ends)}" if row.ends is not None else ""
    sentence = f"`{row.locked_by.removeprefix('user:')}` locked {what} at {_format_time(row.locked)}{until}"
    return NotAuthenticated(f"{sentence}: {row.reason}", remedy="ask an administrator", extensions={"code": "locked"})


_l = tables.locks


def _lock_on(tx: ReadTransaction, row: Any) -> Any:
    identity, session = LockTarget.IDENTITY.value, LockTarget.SESSION.value
    mine = (_l.c.target == identity) & (_l.c.name == str(Identity.user(row.user)))
    query = select(_l).where(or_(mine, (_l.c.target == session) & (_l.c.name == row.id)))
    return tx.conn.execute(query.order_by(_l.c.locked.desc()).limit(1)).first()


def _format_time(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"

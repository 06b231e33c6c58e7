"""Ending the role tokens that a person, a project or everybody has so far; who may still be here renews (R47, R48)."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any

from sqlalchemy import Column, ColumnElement, Table, select, update

from aizen_hub.accounts import pending_changes as pending
from aizen_hub.accounts.names import names
from aizen_hub.accounts.names.names import NameKind
from aizen_hub.authorization import checks as gate
from aizen_hub.commands.result import Result, message
from aizen_hub.problems import NotFound
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.store import tables
from aizen_hub.validation.printable import show

if TYPE_CHECKING:
    from aizen_hub.store.transaction import Write

_r, _s, _u, _p = tables.revision, tables.sessions, tables.users, tables.projects


class Whose(StrEnum):
    """Whose tokens end."""

    USER = "user"
    PROJECT = "project"
    ALL = "all"


def revoke(tx: Write, whose: Whose, name: str = "", *, reason: str = "") -> Result:
    """End every role token issued so far to a user, for a project, or to anybody.

    Sessions go on: their servers exchange their own hub token for a new role token, if their people may still be here.
    A person ends their own; whoever may lock ends those of others, and in the project those of a project. To end all
    needs a fresh sign-in in the panel, or waits for confirmation there (R77).

    Parameters
    ----------
    name : str
        Of the user or the project; empty for all.
    reason : str
        For the audit; at most 500 characters are kept.

    Raises
    ------
    NotFound
        There is no such user, or no such project of which the actor may know.
    Denied
    """
    permission = gate.permission(tx, "locks")
    if whose is Whose.ALL:
        gate.need(tx, permission)
        if pending.needed(tx, always=True):
            return pending.hold(tx, "revoke-tokens", {"reason": reason[:500]}, "end every role token issued so far")
        return _end(tx, "all", (_r, _r.c.id, 1), None, reason)
    if whose is Whose.PROJECT:
        project = names.known_as(name, NameKind.PROJECT)
        if project is None:
            raise gate.no_project(name)
        gate.need_project(tx, project)
        gate.need(tx, permission, project)
        return _end(tx, f"project:{project}", (_p, _p.c.name, project), _s.c.project == project, reason)
    user = names.known_as(name)
    if user is not None and tx.actor.identity == Identity.user(user) and not gate.above_roles(tx):
        gate.in_person(tx)
    else:
        gate.need(tx, permission, SYSTEM)
    if user is None or tx.conn.execute(select(_u.c.id).where(_u.c.name == user)).first() is None:
        raise NotFound(f"there is no user `{show(name)}`", remedy="`list users` shows who is registered")
    return _end(tx, f"user:{user}", (_u, _u.c.name, user), _s.c.user == user, reason)


def _end(
    tx: Write,
    subject: str,
    place: tuple[Table, Column[Any], str | int],
    where: ColumnElement[bool] | None,
    reason: str,
) -> Result:
    # A token says the second of its issue, and clocks are set back: by time alone, one of this very second, or of a
    # clock that was ahead, would live on, or the next renewal be dead at once. So the live sessions' tokens end by the
    # revision as well, which is exact and which every later token has; only tokens of live sessions count at all.
    bound, start = tx.now.replace(microsecond=0), tx.state.revision + 1
    table, key, owner = place
    tx.conn.execute(update(table).where(key == owner).values(not_before=bound))
    those = _s.c.ended.is_(None) if where is None else _s.c.ended.is_(None) & where
    sessions = tx.conn.execute(update(_s).where(those).values(tokens_from=start)).rowcount
    # Which rows this wrote follows from it; named one by one they would make the record of a whole house too long.
    tx.change("not-before", {"subject": subject, "not_before": bound, "tokens_from": start}, [])
    project = subject.partition(":")[2] if subject.startswith("project:") else None
    tx.audit("tokens.revoked", project=project, reason=reason[:500] or None, subject=subject, sessions=sessions)
    whom = "everybody" if where is None else f"`{owner}`"
    return message(
        f"every role token issued to {whom} so far has ended; servers that run renew theirs by themselves",
        subject=subject,
        sessions=sessions,
    )

"""The store compared with its own history: what no recorded change explains was put there by somebody else (T-38).

Every change record is bound to the audit row of its transaction by a hash, so a record cannot be changed or added
without breaking the chain. Replaying the records gives what the tables must hold. Compared is what gives or stops
rights: assignments, local memberships, custom roles and locks. What directories feed is dated and renewed, and left
out.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from aizen_hub.audit.row import canonical
from aizen_hub.store import tables

_PAGE = 1_000
MAX_DIFFERENCES = 1_000

Assignments = dict[tuple[str, str, str], tuple[str | None, str | None]]
Memberships = set[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Difference:
    """One place where store and history disagree.

    Attributes
    ----------
    what : str
        ``change``, ``assignment``, ``membership``, ``role`` or ``lock``.
    sentence : str
        Names the place.
    """

    what: str
    sentence: str


@dataclass(slots=True)
class _History:
    assignments: Assignments = field(default_factory=dict)
    memberships: Memberships = field(default_factory=set)
    roles: dict[str, tuple[str, ...]] = field(default_factory=dict)
    locks: set[tuple[str, str]] = field(default_factory=set)

    def take(self, change: Mapping[str, Any]) -> None:
        act = _ACTS.get(change["kind"])
        if act is not None:
            act(self, change)

    def grant(self, change: Mapping[str, Any]) -> None:
        key = (change["role"], change["scope"], change["identity"])
        self.assignments[key] = (change["from"], change["until"])

    def revoke(self, change: Mapping[str, Any]) -> None:
        self.assignments.pop((change["role"], change["scope"], change["identity"]), None)

    def member(self, change: Mapping[str, Any]) -> None:
        one = (change["group"], change["member"])
        if change["did"] == "add":
            self.memberships.add(one)
        else:
            self.memberships.discard(one)

    def user(self, change: Mapping[str, Any]) -> None:
        member = f"user:{change['user']}"
        if change["did"] == "delete":
            self._forget(member)
        self.memberships |= {(group, member) for group in change.get("groups", ())}

    def account(self, change: Mapping[str, Any]) -> None:
        if change["did"] == "delete":
            self._forget(f"service-account:{change['account']}")

    def group(self, change: Mapping[str, Any]) -> None:
        if change["did"] == "delete":
            self._forget(f"group:{change['group']}")
            self.memberships = {one for one in self.memberships if one[0] != change["group"]}

    def role(self, change: Mapping[str, Any]) -> None:
        if change["did"] == "delete":
            self.roles.pop(change["role"], None)
        else:
            self.roles[change["role"]] = tuple(sorted(change["permissions"]))

    def lock(self, change: Mapping[str, Any]) -> None:
        self.locks.add((change["target"], change["name"]))

    def unlock(self, change: Mapping[str, Any]) -> None:
        self.locks.discard((change["target"], change["name"]))

    def _forget(self, member: str) -> None:
        self.memberships = {one for one in self.memberships if one[1] != member}


_ACTS: Mapping[str, Callable[[_History, Mapping[str, Any]], None]] = {
    "grant": _History.grant,
    "revoke": _History.revoke,
    "membership": _History.member,
    "user": _History.user,
    "service-account": _History.account,
    "group": _History.group,
    "role": _History.role,
    "lock": _History.lock,
    "unlock": _History.unlock,
}


def compare(conn: Connection) -> list[Difference]:
    """Replay every change record and compare the result with the tables, in one consistent view of the store.

    Returns
    -------
    list of Difference
        Empty if the store is what its history says; at most 1,000.
    """
    history, found = _History(), []
    for fault in _replay(conn, history):
        found.append(fault)
    found += _compare(conn, history)
    return found[:MAX_DIFFERENCES]


def _replay(conn: Connection, history: _History) -> Iterator[Difference]:
    expected = None
    for row in _records(conn):
        if expected is not None and row.revision != expected:
            yield Difference("change", f"the records of revisions {expected} to {row.revision - 1} are missing")
        expected = row.revision + 1
        stated = _stated(conn, row.audit_id)
        digest = hashlib.sha256(canonical([row.revision, row.payload, row.touches]).encode()).hexdigest()
        if stated != digest:
            # What nobody vouches for is not replayed: it may hold anything.
            yield Difference("change", f"the record of revision {row.revision} is not the one that was audited")
            continue
        for one in row.payload:
            history.take(one)
    present = conn.execute(select(tables.revision.c.value)).scalar() or 0
    if expected is not None and expected != present + 1:
        yield Difference("change", f"the store shows revision {present}, its records end at {expected - 1}")


def _records(conn: Connection) -> Iterator[Any]:
    table, last = tables.changes, -1
    while True:
        query = select(table).where(table.c.revision > last).order_by(table.c.revision).limit(_PAGE)
        page = conn.execute(query).all()
        if not page:
            return
        yield from page
        last = page[-1].revision


def _stated(conn: Connection, audit_id: str) -> object:
    body = conn.execute(select(tables.audit.c.body).where(tables.audit.c.id == audit_id)).scalar()
    try:
        return None if body is None else json.loads(bytes(body))["details"]["change"]
    except (ValueError, KeyError, TypeError):
        return None


def _compare(conn: Connection, history: _History) -> Iterator[Difference]:
    a, g, m, r, lock = tables.assignments, tables.groups, tables.memberships, tables.roles, tables.locks
    held: Assignments = {
        (row.role, row.scope, row.identity): (_text(row.starts), _text(row.ends)) for row in conn.execute(select(a))
    }
    for key in sorted(held.keys() | history.assignments.keys()):
        if held.get(key) != history.assignments.get(key):
            role, scope, identity = key
            how = _how(key in held, key in history.assignments)
            yield Difference("assignment", f"{role} in `{scope}` for `{identity}` {how}")
    query = select(g.c.name, m.c.member).join(m, m.c.group_id == g.c.id).where(m.c.provider.is_(None))
    members = {(row.name, row.member) for row in conn.execute(query)}
    for group, member in sorted(members ^ history.memberships):
        yield Difference("membership", f"`{member}` in the group `{group}` {_how((group, member) in members, False)}")
    roles = {row.name: tuple(sorted(row.permissions)) for row in conn.execute(select(r))}
    for name in sorted(roles.keys() | history.roles.keys()):
        if roles.get(name) != history.roles.get(name):
            yield Difference("role", f"the role {name} {_how(name in roles, name in history.roles)}")
    locks = {(row.target, row.name) for row in conn.execute(select(lock))}
    for target, name in sorted(locks ^ history.locks):
        yield Difference("lock", f"the lock on {target} `{name}` {_how((target, name) in locks, False)}")


def _how(stands: bool, recorded: bool) -> str:
    if stands and recorded:
        return "is not as it was recorded"
    return "stands in the store, but no change put it there" if stands else "is gone from the store without a change"


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()

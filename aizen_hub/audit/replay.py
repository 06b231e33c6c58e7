"""The store compared with its own history: what no recorded change explains was put there by somebody else (T-38).

Every change record is bound to the audit row of its transaction by a hash, so a record cannot be changed or added
without breaking the chain. Replaying the records gives what the tables must hold. Compared is what gives or stops
rights: assignments, local memberships, custom roles, locks and keys. What directories feed is dated and renewed, and
left out.

Where the audit rows are sealed, the seal holds one hash over the change records that they vouched for.
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
from aizen_hub.audit.seal import NO_CHANGES, Seals, fold
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
        ``change``, ``assignment``, ``membership``, ``role``, ``lock`` or ``key``.
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
    keys: dict[str, str] = field(default_factory=dict)

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

    def key(self, change: Mapping[str, Any]) -> None:
        self.keys[change["kid"]] = change["state"]

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
    "key": _History.key,
}


def compare(conn: Connection, seals: Seals | None = None, sealed: Mapping[str, str] | None = None) -> list[Difference]:
    """Replay every change record and compare the result with the tables, in one consistent view of the store.

    Parameters
    ----------
    seals : Seals, optional
        The audit rows up to the last one are not in the database any more.
    sealed : mapping, optional
        By audit id, the hashes of change records that sealed rows vouch for, from their files. Without them a wrong
        record is found, but only known to be one of its seal's.

    Returns
    -------
    list of Difference
        Empty if the store is what its history says; at most 1,000.
    """
    history, found = _History(), []
    for fault in _replay(conn, history, seals or Seals(), sealed or {}):
        found.append(fault)
    found += _compare(conn, history)
    return found[:MAX_DIFFERENCES]


class _Sealed:
    """Compares the records before each seal with the one hash that it holds over them."""

    def __init__(self, seals: Seals) -> None:
        self._left = list(reversed(seals.seals))
        self._since = 1
        self._hash = NO_CHANGES

    def take(self, digest: str) -> None:
        self._hash = fold(self._hash, [digest])

    def passed(self, revision: int) -> Iterator[Difference]:
        """Judge the seals that end before a revision."""
        while self._left and self._left[-1].revision < revision:
            seal = self._left.pop()
            if seal.changes != self._hash:
                span = f"of revisions {self._since} to {seal.revision}"
                sentence = (
                    f"the records {span} are not those that were sealed; the file of seal {seal.number} tells more"
                )
                yield Difference("change", sentence)
            self._since, self._hash = seal.revision + 1, seal.changes


def record_hash(revision: int, payload: Any, touches: Any) -> str:
    """Return the hash by which an audit row vouches for a change record."""
    return hashlib.sha256(canonical([revision, payload, touches]).encode()).hexdigest()


def _replay(conn: Connection, history: _History, seals: Seals, sealed: Mapping[str, str]) -> Iterator[Difference]:
    expected, behind = None, _Sealed(seals)
    last = None if seals.last is None else seals.last.revision
    for row in _records(conn):
        yield from behind.passed(row.revision)
        digest = record_hash(row.revision, row.payload, row.touches)
        stated = sealed.get(row.audit_id) or _stated(conn, row.audit_id)
        covered = last is not None and row.revision <= last
        if covered:
            behind.take(digest)
        vouched = stated == digest or (covered and stated is None)
        if expected is not None and row.revision != expected and not (vouched and _restored(row, expected)):
            yield Difference("change", f"the records of revisions {expected} to {row.revision - 1} are missing")
        expected = row.revision + 1
        if not vouched:
            # What nobody vouches for is not replayed: it may hold anything.
            yield Difference("change", f"the record of revision {row.revision} is not the one that was audited")
            continue
        for one in row.payload:
            history.take(one)
    present = conn.execute(select(tables.revision.c.value)).scalar() or 0
    yield from behind.passed(present + 1)
    if expected is not None and expected != present + 1:
        yield Difference("change", f"the store shows revision {present}, its records end at {expected - 1}")


def _restored(row: Any, expected: int) -> bool:
    # After a restored backup the revisions go on behind the last that was ever signed.
    return any(one["kind"] == "restored" and one["from"] == expected - 1 for one in row.payload)


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
    k = tables.keys
    keys = {row.kid: row.state for row in conn.execute(select(k.c.kid, k.c.state))}
    for kid in sorted(keys.keys() | history.keys.keys()):
        if keys.get(kid) != history.keys.get(kid):
            yield Difference("key", f"the key `{kid}` {_how(kid in keys, kid in history.keys)}")
    locks = {(row.target, row.name) for row in conn.execute(select(lock))}
    for target, name in sorted(locks ^ history.locks):
        yield Difference("lock", f"the lock on {target} `{name}` {_how((target, name) in locks, False)}")


def _how(stands: bool, recorded: bool) -> str:
    if stands and recorded:
        return "is not as it was recorded"
    return "stands in the store, but no change put it there" if stands else "is gone from the store without a change"


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()

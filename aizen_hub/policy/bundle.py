"""What remote workers may keep a copy of: the policy and every project's members, signed and dated.

A copy is never authoritative: it may be old, and decisions are made by the service alone.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from aizen_hub.accounts.projects import members as project_members
from aizen_hub.authorization import checks as gate
from aizen_hub.commands.result import plain
from aizen_hub.problems import NotFound
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.store import tables
from aizen_hub.tokens.jws import sign
from aizen_hub.tokens.keys import Purpose

if TYPE_CHECKING:
    from aizen_hub.store.transaction import Read, Write
    from aizen_hub.tokens.keys import KeyRing

RIGHT = "sync"
"""Name of the catalog's endpoint that says which permission this needs."""
POLICY = "policy"
_PROJECT = "project:"


@dataclass(frozen=True, slots=True)
class Copy:
    """One file at one revision."""

    name: str
    content: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content.encode()).hexdigest()


def listing(tx: Write) -> list[dict[str, Any]]:
    """List what can be downloaded, with the hash by which a worker sees that its copy is still the same.

    Raises
    ------
    NotFound
        The catalog has no such right.
    Denied
        The actor lacks it.
    """
    _need(tx)
    names = [POLICY, *(f"{_PROJECT}{name}" for name in _projects(tx))]
    copies = [_copy(tx, name) for name in names]
    tx.audit("sync.listed", details={"files": len(copies)})
    return [{"name": one.name, "sha256": one.sha256, "bytes": len(one.content.encode())} for one in copies]


def download(tx: Write, ring: KeyRing, name: str) -> dict[str, Any]:
    """Return one file with its signature: a JWS over name, hash, revision and time, typed ``aizen-sync+jwt``.

    Raises
    ------
    NotFound
        No such file, or no such right in the catalog.
    Denied
        The actor lacks the right.
    Unavailable
        There is no usable key.
    """
    _need(tx)
    copy = _copy(tx, name)
    stated = {
        "iss": tx.settings.service_url,
        "name": copy.name,
        "sha256": copy.sha256,
        "rev": tx.revision,
        "iat": int(tx.now.timestamp()),
        "authoritative": False,
    }
    tx.audit("sync.downloaded", details={"file": copy.name, "sha256": copy.sha256})
    return {
        "name": copy.name,
        "content": copy.content,
        "sha256": copy.sha256,
        "revision": tx.revision,
        "issued": plain(tx.now),
        "authoritative": False,
        "signature": sign(ring, Purpose.SYNC, stated),
    }


def _need(tx: Write) -> None:
    right = tx.catalog.endpoints.get(RIGHT)
    if right is None:
        raise NotFound("the catalog of this deployment has nothing to synchronise")
    gate.need(tx, str(right), SYSTEM)


def _projects(tx: Read) -> list[str]:
    return list(tx.conn.execute(select(tables.projects.c.name).order_by(tables.projects.c.name)).scalars())


def _copy(tx: Read, name: str) -> Copy:
    if name == POLICY:
        return Copy(name, _text(_policy(tx)))
    project = name.removeprefix(_PROJECT)
    if project == name or project not in _projects(tx):
        raise NotFound("there is no such file to download")
    return Copy(name, _text({"project": project, "members": project_members.listed(tx, project)}))


def _policy(tx: Read) -> dict[str, Any]:
    a = tables.assignments
    rows = tx.conn.execute(select(a).order_by(a.c.scope, a.c.role, a.c.identity))
    held = [
        {"role": row.role, "scope": row.scope, "identity": row.identity, "from": row.starts, "until": row.ends}
        for row in rows
    ]
    roles = {
        role.name: {"permissions": sorted(map(str, role.permissions)), "scopes": sorted(map(str, role.scopes))}
        for role in tx.roles.values()
    }
    return {"catalog": tx.catalog.name, "hash": tx.catalog.hash, "roles": roles, "assignments": plain(held)}


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))

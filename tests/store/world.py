"""Rows put into a store past the accounts layer, which lies above it; each helper announces its change."""

from __future__ import annotations

from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import delete, insert, select, update

from aizen_hub.catalogs.catalog import Catalog
from aizen_hub.catalogs.loader import load_catalog
from aizen_hub.rbac.decision import Request
from aizen_hub.rbac.engine import decide
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.permission import Permission
from aizen_hub.store import tables
from aizen_hub.store.actor import Actor, Road
from aizen_hub.store.transaction import Read, Write

TESTER = Actor(Identity.user("tester"), Road.OPERATOR)
TRAIN = Permission("execute", "training")
READ = Permission("read", "training")


@cache
def catalog() -> Catalog:
    return load_catalog("aizen")


def user(tx: Write, name: str, **more: Any) -> Identity:
    row = {"provider": "local", "subject": name, "display_name": "", "alerts": {}, "active": True, "created": tx.now}
    tx.conn.execute(insert(tables.users).values(name=name, **{**row, **more}))
    return _did(tx, "user", Identity.user(name))


def group(tx: Write, name: str) -> Identity:
    tx.conn.execute(insert(tables.groups).values(name=name, description="", is_default=False, built_in=False))
    return _did(tx, "group", Identity.group(name))


def project(tx: Write, name: str) -> str:
    row = {"description": "", "created_by": "user:tester", "created": tx.now, "version": tx.revision}
    tx.conn.execute(insert(tables.projects).values(name=name, **row))
    tx.change("project", {"project": name}, [f"project:{name}"])
    return name


def join(tx: Write, member: Identity, into: Identity, seen_at: datetime | None = None) -> None:
    number = tx.conn.scalar(select(tables.groups.c.id).where(tables.groups.c.name == into.name))
    provider = None if seen_at is None else "ldap"
    row = {"group_id": number, "member": str(member), "provider": provider, "seen_at": seen_at}
    tx.conn.execute(insert(tables.memberships).values(**row))
    tx.change("membership", {"member": str(member)}, [str(member), str(into)])


def leave(tx: Write, member: Identity, out_of: Identity) -> None:
    number = tx.conn.scalar(select(tables.groups.c.id).where(tables.groups.c.name == out_of.name))
    table = tables.memberships
    tx.conn.execute(delete(table).where(table.c.group_id == number, table.c.member == str(member)))
    tx.change("membership", {"member": str(member)}, [str(member), str(out_of)])


def grant(tx: Write, role: str, scope: str, to: Identity, **more: Any) -> None:
    row = {
        "role": role, "scope": scope, "identity": str(to), "reason": "", "granted_by": "user:tester", "granted": tx.now,
        "creator": False, "revision": tx.revision + 1,
    }  # fmt: skip
    tx.conn.execute(insert(tables.assignments).values(**{**row, **more}))
    tx.change("grant", {"role": role, "scope": scope, "to": to}, [str(to)])
    tx.audit("role.granted", target=str(to), role=role)


def revoke(tx: Write, role: str, scope: str, from_: Identity) -> None:
    a = tables.assignments
    tx.conn.execute(delete(a).where(a.c.role == role, a.c.scope == scope, a.c.identity == str(from_)))
    tx.change("revoke", {"role": role, "scope": scope, "from": from_}, [str(from_)])
    tx.audit("role.revoked", target=str(from_), role=role)


def lock(tx: Write, target: str, name: str, ends: datetime | None = None) -> None:
    row = {"target": target, "name": name, "reason": "", "ends": ends, "locked_by": "user:tester", "locked": tx.now}
    tx.conn.execute(insert(tables.locks).values(**row))
    tx.change("lock", {"target": target, "name": name}, [f"lock:{target}:{name}"])


def unlock(tx: Write, target: str, name: str) -> None:
    table = tables.locks
    tx.conn.execute(delete(table).where(table.c.target == target, table.c.name == name))
    tx.change("unlock", {"target": target, "name": name}, [f"lock:{target}:{name}"])


def role(tx: Write, name: str, permissions: list[str], **limits: float) -> None:
    row = {"description": "", "category": "", "scopes": ["project"], "limits": limits, "version": 1}
    tx.conn.execute(insert(tables.roles).values(name=name, permissions=permissions, **row))
    tx.change("role", {"role": name}, [f"role:{name}"])


def set_role(tx: Write, name: str, permissions: list[str]) -> None:
    tx.conn.execute(update(tables.roles).where(tables.roles.c.name == name).values(permissions=permissions))
    tx.change("role", {"role": name}, [f"role:{name}"])


def allowed(
    tx: Read, who: Identity, permission: Permission = TRAIN, scope: str = "p1", at: datetime | None = None
) -> bool:
    return decide(tx.rights(who), Request(permission, scope), at or tx.now).allowed


def _did(tx: Write, kind: str, identity: Identity) -> Identity:
    tx.change(kind, {kind: identity.name}, [str(identity)])
    return identity

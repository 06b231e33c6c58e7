"""Rows inserted into a store without the accounts package, which is above it; each helper records its change."""

from __future__ import annotations

from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import delete, insert, select, update

from aizen_hub.catalogs.catalog import Catalog
from aizen_hub.catalogs.loader import load_catalog
from aizen_hub.rbac.decision import AuthorizationRequest
from aizen_hub.rbac.engine import decide
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.permission import Permission
from aizen_hub.store import tables
from aizen_hub.store.actor import Actor, Channel
from aizen_hub.store.transaction import ReadTransaction, WriteTransaction

TESTER = Actor(Identity.user("tester"), Channel.OPERATOR)
TRAIN = Permission("execute", "training")
READ = Permission("read", "training")


@cache
def catalog() -> Catalog:
    return load_catalog("aizen")


def insert_user(tx: WriteTransaction, name: str, **more: Any) -> Identity:
    row = {"provider": "local", "subject": name, "display_name": "", "alerts": {}, "active": True, "created": tx.now}
    tx.conn.execute(insert(tables.users).values(name=name, **{**row, **more}))
    return _record_change(tx, "user", Identity.user(name))


def insert_group(tx: WriteTransaction, name: str) -> Identity:
    tx.conn.execute(insert(tables.groups).values(name=name, description="", is_default=False, built_in=False))
    return _record_change(tx, "group", Identity.group(name))


def insert_project(tx: WriteTransaction, name: str) -> str:
    row = {"description": "", "created_by": "user:tester", "created": tx.now, "version": tx.revision}
    tx.conn.execute(insert(tables.projects).values(name=name, **row))
    tx.record_change("project", {"project": name}, [f"project:{name}"])
    return name


def insert_membership(tx: WriteTransaction, member: Identity, into: Identity, seen_at: datetime | None = None) -> None:
    group_id = tx.conn.scalar(select(tables.groups.c.id).where(tables.groups.c.name == into.name))
    provider = None if seen_at is None else "ldap"
    row = {"group_id": group_id, "member": str(member), "provider": provider, "seen_at": seen_at}
    tx.conn.execute(insert(tables.memberships).values(**row))
    tx.record_change("membership", {"member": str(member)}, [str(member), str(into)])


def delete_membership(tx: WriteTransaction, member: Identity, out_of: Identity) -> None:
    group_id = tx.conn.scalar(select(tables.groups.c.id).where(tables.groups.c.name == out_of.name))
    table = tables.memberships
    tx.conn.execute(delete(table).where(table.c.group_id == group_id, table.c.member == str(member)))
    tx.record_change("membership", {"member": str(member)}, [str(member), str(out_of)])


def insert_assignment(tx: WriteTransaction, role: str, scope: str, to: Identity, **more: Any) -> None:
    row = {
        "role": role, "scope": scope, "identity": str(to), "reason": "", "granted_by": "user:tester", "granted": tx.now,
        "creator": False, "revision": tx.revision + 1,
    }  # fmt: skip
    tx.conn.execute(insert(tables.assignment_rows).values(**{**row, **more}))
    tx.record_change("grant", {"role": role, "scope": scope, "to": to}, [str(to)])
    tx.audit("role.granted", target=str(to), role=role)


def delete_assignment(tx: WriteTransaction, role: str, scope: str, from_: Identity) -> None:
    a = tables.assignment_rows
    tx.conn.execute(delete(a).where(a.c.role == role, a.c.scope == scope, a.c.identity == str(from_)))
    tx.record_change("revoke", {"role": role, "scope": scope, "from": from_}, [str(from_)])
    tx.audit("role.revoked", target=str(from_), role=role)


def insert_lock(tx: WriteTransaction, target: str, name: str, ends: datetime | None = None) -> None:
    row = {"target": target, "name": name, "reason": "", "ends": ends, "locked_by": "user:tester", "locked": tx.now}
    tx.conn.execute(insert(tables.locks).values(**row))
    tx.record_change("lock", {"target": target, "name": name}, [f"lock:{target}:{name}"])


def delete_lock(tx: WriteTransaction, target: str, name: str) -> None:
    table = tables.locks
    tx.conn.execute(delete(table).where(table.c.target == target, table.c.name == name))
    tx.record_change("unlock", {"target": target, "name": name}, [f"lock:{target}:{name}"])


def insert_role(tx: WriteTransaction, name: str, permissions: list[str], **limits: float) -> None:
    row = {"description": "", "category": "", "scopes": ["project"], "limits": limits, "version": 1}
    tx.conn.execute(insert(tables.roles).values(name=name, permissions=permissions, **row))
    tx.record_change("role", {"role": name}, [f"role:{name}"])


def update_role(tx: WriteTransaction, name: str, permissions: list[str]) -> None:
    tx.conn.execute(update(tables.roles).where(tables.roles.c.name == name).values(permissions=permissions))
    tx.record_change("role", {"role": name}, [f"role:{name}"])


def is_allowed(
    tx: ReadTransaction,
    identity: Identity,
    permission: Permission = TRAIN,
    scope: str = "p1",
    at: datetime | None = None,
) -> bool:
    return decide(tx.rights(identity), AuthorizationRequest(permission, scope), at or tx.now).allowed


def _record_change(tx: WriteTransaction, kind: str, identity: Identity) -> Identity:
    tx.record_change(kind, {kind: identity.name}, [str(identity)])
    return identity

"""Reservation of names: unique, without look-alikes, and never reused unless released (R29, R31)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import delete, insert, select, update

from aizen_hub.accounts.names.normalization import NameKind, confusable_skeleton
from aizen_hub.problems import Conflict
from aizen_hub.store import tables
from aizen_hub.store.audit_log import change_records
from aizen_hub.validation.printable import excerpt

if TYPE_CHECKING:
    from aizen_hub.store.transaction import ReadTransaction, WriteTransaction


def reserve_name(tx: WriteTransaction, name: str, kind: NameKind) -> None:
    """Reserve a canonical name permanently; raises as `require_name_available` does."""
    require_name_available(tx, name, kind)
    values = {"skeleton": confusable_skeleton(name, kind)}
    tx.conn.execute(insert(tables.names).values(kind=kind.value, name=name, **values))
    tx.record_change(
        "name", change_records.change_payload(change_records.row_written(tables.names, (kind.value, name), values)), []
    )


def require_name_available(tx: ReadTransaction, name: str, kind: NameKind) -> None:
    """Raise Conflict for a canonical name that cannot be used.

    Raises
    ------
    Conflict
        The name, or a look-alike, is in use or was used before (R29, R31).
    """
    names = tables.names
    new_skeleton = confusable_skeleton(name, kind)
    if kind is NameKind.ROLE and any(confusable_skeleton(role, kind) == new_skeleton for role in tx.roles):
        raise Conflict(f"`{excerpt(name)}` is, or looks like, the name of an existing role")
    row = tx.conn.execute(
        select(names.c.name, names.c.retired).where(names.c.kind == kind.value, names.c.skeleton == new_skeleton)
    ).first()
    if row is None:
        return
    if row.name != name:
        raise Conflict(
            f"`{excerpt(name)}` looks like the name of another {kind}", remedy="choose a clearly different name"
        )
    if row.retired is not None:
        raise Conflict(
            f"`{excerpt(name)}` was the name of a {kind} that has been deleted, and stays reserved",
            remedy="choose another name, or make this one available again: "
            f"`aizen-hub {kind} release {name}` in a terminal",
        )
    raise Conflict(f"there is already a {kind} called `{excerpt(name)}`")


def retire_name(tx: WriteTransaction, name: str, kind: NameKind) -> None:
    """Keep the name of something deleted reserved, so that a later identity cannot inherit anything."""
    names, values = tables.names, {"retired": tx.now}
    tx.conn.execute(update(names).where(names.c.kind == kind.value, names.c.name == name).values(**values))
    tx.record_change(
        "name", change_records.change_payload(change_records.row_updated(names, (kind.value, name), values)), []
    )


def is_name_retired(tx: ReadTransaction, name: str, kind: NameKind) -> bool:
    names = tables.names
    retired = tx.conn.execute(select(names.c.retired).where(names.c.kind == kind.value, names.c.name == name)).scalar()
    return retired is not None


def free_name(tx: WriteTransaction, name: str, kind: NameKind) -> None:
    """Release a retired name; the caller has checked that nothing refers to it any more."""
    names = tables.names
    tx.conn.execute(delete(names).where(names.c.kind == kind.value, names.c.name == name, names.c.retired.is_not(None)))

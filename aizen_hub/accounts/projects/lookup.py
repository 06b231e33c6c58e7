"""Lookup of projects by name, and their description."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import select, update

from aizen_hub.accounts.names import normalization
from aizen_hub.accounts.names.normalization import NameKind
from aizen_hub.authorization import checks
from aizen_hub.problems import NotFound, ProjectRequired
from aizen_hub.store import tables
from aizen_hub.validation.prose import check_prose
from aizen_hub.wording import NAME_PROJECT

if TYPE_CHECKING:
    from aizen_hub.store.transaction import ReadTransaction, WriteTransaction

_p = tables.projects


def set_project_description(tx: WriteTransaction, name: str, description: str) -> None:
    """Change the description, without an authorization check."""
    if get_project(tx, name).description == check_prose(description, "description"):
        return
    tx.conn.execute(update(_p).where(_p.c.name == name).values(description=description))
    tx.record_change("project", {"project": name, "did": "describe"}, [f"project:{name}"])
    tx.audit("project.described", project=name)


def resolve_project(tx: WriteTransaction, name: str | None) -> str:
    """Return the canonical name of the named, or else the current, project that the actor can see."""
    canonical = tx.actor.project if name is None else normalization.canonical_or_none(name, NameKind.PROJECT)
    if canonical is None and name is None:
        raise ProjectRequired("no project is named, and none is set", remedy=NAME_PROJECT)
    if canonical is None:
        raise checks.project_not_found(name or "")
    checks.require_visible_project(tx, canonical)
    return canonical


def get_project(tx: ReadTransaction, name: str) -> Any:
    row = tx.conn.execute(select(_p).where(_p.c.name == name)).first()
    if row is None:
        raise NotFound(f"there is no project `{name}`")
    return row

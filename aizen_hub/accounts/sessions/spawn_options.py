"""Options of the spawn form: the projects for which a user may start a server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aizen_hub.accounts.names import normalization
from aizen_hub.accounts.roles import limits
from aizen_hub.accounts.sessions import project_entry
from aizen_hub.authorization import checks
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import SYSTEM

if TYPE_CHECKING:
    from aizen_hub.store.transaction import ReadTransaction


@dataclass(frozen=True, slots=True)
class ProjectOption:
    """One project in the spawn form."""

    name: str
    description: str
    roles: tuple[str, ...]
    limits: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class SpawnOptions:
    """Projects for which a user may start a server; ``notice`` says why there are none."""

    projects: tuple[ProjectOption, ...]
    system_session: bool
    notice: str | None = None


def get_spawn_options(tx: ReadTransaction, user: str) -> SpawnOptions:
    """Return the projects that the user may enter, and whether they may start a system session."""
    name = normalization.canonical_or_none(user)
    rights = None if name is None else tx.rights(Identity.user(name))
    if name is None or rights is None or not rights.active:
        return SpawnOptions((), False, "you are not registered here, or your account is locked or inactive")
    projects = tuple(
        ProjectOption(
            row.name,
            row.description,
            project_entry.active_roles(tx, rights, row.name),
            limits.limit_values(tx, Identity.user(name), row.name),
        )
        for row in checks.visible_projects(tx, Identity.user(name))
    )
    system_session = bool(project_entry.active_roles(tx, rights, SYSTEM))
    notice = (
        None
        if projects or system_session
        else "you have no role in any project yet: ask a project's admin, or request access"
    )
    return SpawnOptions(projects, system_session, notice)

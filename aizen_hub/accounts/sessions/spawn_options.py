"""What a person may start a server for: the spawn page's choices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aizen_hub.accounts.names import names
from aizen_hub.accounts.roles import limits
from aizen_hub.accounts.sessions import sessions
from aizen_hub.authorization import checks as gate
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import SYSTEM

if TYPE_CHECKING:
    from aizen_hub.store.transaction import Read


@dataclass(frozen=True, slots=True)
class Choice:
    """One project on the spawn page."""

    name: str
    description: str
    roles: tuple[str, ...]
    limits: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Choices:
    """What a person may start a server for; ``notice`` says why there is nothing."""

    projects: tuple[Choice, ...]
    system_session: bool
    notice: str | None = None


def of(tx: Read, user: str) -> Choices:
    """Return the projects the user may enter, and whether a system session is open to them."""
    name = names.known_as(user)
    rights = None if name is None else tx.rights(Identity.user(name))
    if name is None or rights is None or not rights.active:
        return Choices((), False, "you are not registered here, or your account is stopped")
    found = tuple(
        Choice(
            row.name,
            row.description,
            sessions.roles_in(tx, rights, row.name),
            limits.numbers(tx, Identity.user(name), row.name),
        )
        for row in gate.visible_projects(tx, Identity.user(name))
    )
    system = bool(sessions.roles_in(tx, rights, SYSTEM))
    notice = (
        None if found or system else "you have no role in any project yet: ask a project's admin, or request access"
    )
    return Choices(found, system, notice)

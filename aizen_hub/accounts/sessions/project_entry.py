"""Entry to a project: whether a user may open a session for it, and the roles in effect there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aizen_hub.accounts.names import normalization
from aizen_hub.accounts.names.normalization import NameKind
from aizen_hub.authorization import checks, lock_state
from aizen_hub.authorization.activity import inactive_remedy
from aizen_hub.problems import Denied
from aizen_hub.rbac.assignment import LockTarget
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.rights import Rights
from aizen_hub.rbac.role import SYSTEM

if TYPE_CHECKING:
    from aizen_hub.store.transaction import ReadTransaction, WriteTransaction


def active_roles(tx: ReadTransaction, rights: Rights, scope: str) -> tuple[str, ...]:
    """Return the names of the roles in effect in a scope, for display and for the role token."""
    return tuple(sorted({held.role for held in rights.held_roles if held.scope == scope and held.is_effective(tx.now)}))


def is_admin(tx: ReadTransaction, user: str) -> bool:
    """Return whether the catalog's admin role is in effect for a user now."""
    return tx.catalog.admin_role in active_roles(tx, tx.rights(Identity.user(user)), SYSTEM)


def require_active(tx: ReadTransaction, user: Identity) -> None:
    """Raise Denied for an account that is locked or not active."""
    if not tx.rights(user).active:
        raise Denied(f"the account `{user.name}` is not activated", remedy=inactive_remedy(tx, user))
    if lock_state.is_locked(tx, LockTarget.IDENTITY, str(user)):
        raise Denied(f"the account `{user.name}` is locked", remedy="ask an administrator")


def require_may_enter(tx: WriteTransaction, user: str, project: str | None) -> str | None:
    """Return the canonical name of a project that the user may enter, or None for a session without a project.

    Raises
    ------
    Denied
        The account is locked or inactive, the project is locked, or a session without a project needs a system
        role.
    NotFound
        The project does not exist for the user (R34, R72).
    """
    identity = Identity.user(user)
    require_active(tx, identity)
    if not project:
        if not active_roles(tx, tx.rights(identity), SYSTEM):
            raise Denied(
                "a session without a project needs a system role", remedy="choose a project, or request access to one"
            )
        return None
    name = normalization.canonical_or_none(project, NameKind.PROJECT)
    if name is None or not checks.can_see_project(tx, identity, name):
        raise checks.project_not_found(project)
    if lock_state.is_locked(tx, LockTarget.PROJECT, name):
        raise Denied(f"the project `{name}` is locked", remedy="ask an administrator")
    return name


def require_may_start(tx: WriteTransaction, user: str, project: str | None) -> str | None:
    """Do what `require_may_enter` does for the start of a server, which an archived project does not allow."""
    name = require_may_enter(tx, user, project)
    if name is not None and (error := lock_state.archived_error(tx, name)) is not None:
        raise error
    return name

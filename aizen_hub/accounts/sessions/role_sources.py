"""Which roles hold in a session and where each comes from, in sentences for the page of a starting server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aizen_hub.authorization.queries.effective_access import AccessState, HeldAccess, list_access
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.messages import describe_no_end
from aizen_hub.rbac.role import SYSTEM

if TYPE_CHECKING:
    from aizen_hub.store.transaction import ReadTransaction

_MAX_ROLES = 20


def describe_roles(tx: ReadTransaction, identity: Identity, project: str | None) -> list[str]:
    """Return a sentence for each role in effect in a session, such as ``PROJECT_READER from paul, no end``."""
    wanted = frozenset({SYSTEM} if project is None else {SYSTEM, project})
    access = list_access(tx, identity, projects=wanted)
    held = [role for scope in access.scopes for role in scope.roles if role.state is AccessState.EFFECTIVE]
    sentences = [_describe(role, project) for role in held[:_MAX_ROLES]]
    return [*sentences, f"and {len(held) - _MAX_ROLES} more roles"] if len(held) > _MAX_ROLES else sentences


def _describe(held: HeldAccess, project: str | None) -> str:
    where = " in the whole system" if held.scope == SYSTEM and project is not None else ""
    end = describe_no_end(held.confirmed_until) if held.ends is None else f"until {held.ends:%Y-%m-%d %H:%M} UTC"
    return f"{held.role}{where} from {describe_source(held)}, {end}"


def describe_source(held: HeldAccess) -> str:
    """Return where a role comes from: a group, the creation of the project, a directory rule, or who gave it."""
    if held.via:
        return " in ".join(f"group {group.name}" for group in held.via)
    if held.creator:
        return "the creation of the project"
    if held.mapped:
        return "a directory rule"
    return Identity.parse(held.granted_by).name

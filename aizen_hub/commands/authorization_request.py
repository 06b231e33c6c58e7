"""The authorization request of a command: which permission, in which scope."""

from __future__ import annotations

from aizen_hub.catalogs.catalog import CommandScope
from aizen_hub.commands.command import Command
from aizen_hub.rbac.decision import AuthorizationRequest
from aizen_hub.rbac.identity import Identity, IdentityKind
from aizen_hub.rbac.role import SYSTEM


def build_authorization_request(
    command: Command, current_project: str | None, requester: Identity, session_id: str | None = None
) -> AuthorizationRequest:
    """Return the authorization request of ``command``.

    A command that names a project is authorized there, not in the current project (R65). If a command requires a
    project and there is none, the scope is None, which the engine denies with *project-required*.

    Parameters
    ----------
    current_project : str or None
        The project of the session.
    requester : Identity
        Who sends the command; some commands need no permission if they concern the requester only.
    """
    entry = command.entry
    scope: str | None
    match entry.scope:
        case CommandScope.SYSTEM | CommandScope.SELF:
            scope = SYSTEM
        case CommandScope.PROJECT:
            scope = command.project or current_project
        case CommandScope.EITHER:
            scope = command.project or current_project or SYSTEM
    permission = None if entry.open_for_self and _concerns_requester(command, requester) else entry.permission
    return AuthorizationRequest(permission, scope, session_id)


def _concerns_requester(command: Command, requester: Identity) -> bool:
    user = command.arguments.get("user")
    return user is None or (requester.kind is IdentityKind.USER and user == requester.name)

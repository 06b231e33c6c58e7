"""From a command to the question that the engine decides: which permission, and in which scope."""

from __future__ import annotations

from aizen_hub.catalogs.catalog import CommandScope
from aizen_hub.commands.command import Command
from aizen_hub.rbac.decision import Request
from aizen_hub.rbac.identity import Identity, Kind
from aizen_hub.rbac.role import SYSTEM


def request_for(command: Command, current_project: str | None, asker: Identity, session: str | None = None) -> Request:
    """Return the question that ``command`` asks.

    A command that names a project is judged there, not in the current one (R65). One that needs a project and finds
    none asks with scope None, which the engine answers with *project-required*.

    Parameters
    ----------
    current_project : str or None
        The project of the session.
    asker : Identity
        Who asks; some commands need no permission about oneself.
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
    permission = None if entry.open_for_self and _about_oneself(command, asker) else entry.permission
    return Request(permission, scope, session)


def _about_oneself(command: Command, asker: Identity) -> bool:
    user = command.arguments.get("user")
    return user is None or (asker.kind is Kind.USER and user == asker.name)

"""What an access query asks about: a permission, or a command, for which its permission and its scope are looked up."""

from __future__ import annotations

from dataclasses import dataclass

from aizen_hub.authorization.decisions.evaluation import RequestedGrant
from aizen_hub.catalogs.catalog import CommandScope
from aizen_hub.commands.authorization_request import build_authorization_request
from aizen_hub.problems import CommandSyntaxError, ProjectRequired
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import SYSTEM, project_of
from aizen_hub.service.api.schemas.access_queries import CanIQuery, WhatIfQuery
from aizen_hub.service.denials.grant_denial import GRANT_HANDLERS, grant_of_command
from aizen_hub.service.pipeline.request_context import RequestContext
from aizen_hub.wording import NAME_PROJECT


@dataclass(frozen=True, slots=True)
class PermissionQuestion:
    """May an identity do this, there?

    Attributes
    ----------
    permission : str or None
        None for a command that is open to every registered user.
    grant : RequestedGrant or None
        What the command would grant or revoke.
    """

    permission: str | None
    scope: str
    grant: RequestedGrant | None = None


def resolve_question(ctx: RequestContext, body: CanIQuery | WhatIfQuery, asked_about: Identity) -> PermissionQuestion:
    """Return what is asked.

    A command may be without its arguments, such as ``start training``, but not one that grants or revokes: there they
    decide.

    Parameters
    ----------
    asked_about : Identity
        Who would run the command.

    Raises
    ------
    CommandSyntaxError, UnknownCommand, TooLarge
    ProjectRequired
        The command is one of a project, and none is named.
    """
    if body.command is None:
        return PermissionQuestion(body.permission, body.scope)
    project = project_of(body.scope)
    try:
        command = ctx.service.parsed_commands.parse(body.command)
    except CommandSyntaxError:
        words = body.command.split()
        commands = ctx.service.catalog.commands
        entry = commands.get(" ".join(words[:2])) or commands.get(" ".join(words[:1]))
        if entry is None or (entry.handler in GRANT_HANDLERS and len(words) > len(entry.name.split())):
            raise
        permission = entry.permission
        scope = None if entry.scope is CommandScope.PROJECT and project is None else body.scope
        scope = SYSTEM if entry.scope in (CommandScope.SYSTEM, CommandScope.SELF) else scope
        grant = None
    else:
        request = build_authorization_request(command, project, asked_about)
        permission, scope, grant = request.permission, request.scope, grant_of_command(command, project)
    if scope is None:
        raise ProjectRequired(f"`{body.command[:80]}` is a command of a project", remedy=NAME_PROJECT)
    return PermissionQuestion(None if permission is None else str(permission), scope, grant)

"""From an account command to the function that carries it out: one table, no chain of conditions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from aizen_hub.accounts import pending_changes as pending
from aizen_hub.accounts.credentials import activation
from aizen_hub.accounts.groups import groups
from aizen_hub.accounts.groups import mapping_rules as mappings
from aizen_hub.accounts.logins import linked_logins as further_logins
from aizen_hub.accounts.names import names
from aizen_hub.accounts.projects import members as project_members
from aizen_hub.accounts.projects import projects
from aizen_hub.accounts.roles import assignments, roles
from aizen_hub.accounts.service_accounts import service_accounts
from aizen_hub.accounts.sessions import locks
from aizen_hub.accounts.sessions import token_revocation as revocation
from aizen_hub.accounts.users import users, users_file
from aizen_hub.commands.command import Command
from aizen_hub.commands.result import Result
from aizen_hub.problems import BadInput, NotFound
from aizen_hub.rbac.assignment import Interval, LockTarget
from aizen_hub.rbac.identity import Identity
from aizen_hub.validation.printable import show

if TYPE_CHECKING:
    from aizen_hub.store.transaction import Write

Arguments = Mapping[str, Any]
Files = Mapping[str, str]
Handler = Callable[["Write", Arguments, Files], Result]


def carry_out(tx: Write, command: Command, files: Mapping[str, str] | None = None) -> Result:
    """Carry out an account command that was allowed, in the transaction of its decision.

    Parameters
    ----------
    files : mapping of str to str
        The client's files by the name they have in the command; nothing is ever opened here (R111).

    Returns
    -------
    Result
        With ``pending`` where the change waits for confirmation.

    Raises
    ------
    Problem
        Whatever the function raises; the transaction must then be given up.
    """
    handler = HANDLERS.get(command.entry.handler or "")
    if handler is None:
        raise RuntimeError(f"the catalog names the handler {command.entry.handler!r}, which does not exist")
    return handler(tx, command.arguments, files or {})


def confirm(tx: Write, number: str) -> Result:
    """Carry out a change that waits, as the person who confirms it."""
    return pending.confirm(tx, number, OPERATIONS)


def _file(files: Files, name: str) -> str:
    if name not in files:
        raise BadInput(
            f"the contents of the file `{show(name)}` did not come with the command",
            remedy="the file must be readable where the command is typed",
        )
    return files[name]


def _user(text: str) -> Identity:
    name = names.known_as(text)
    if name is None:
        raise NotFound(f"there is no user `{show(text)}`", remedy="`list users` shows who is registered")
    return Identity.user(name)


def _config(args: Arguments, files: Files) -> str | None:
    return _file(files, args["config"]) if "config" in args else None


HANDLERS: Mapping[str, Handler] = {
    "add_users": lambda tx, args, files: users_file.add(tx, _file(files, args["config"])),
    "alter_users": lambda tx, args, files: users_file.alter(tx, _file(files, args["config"])),
    "list_users": lambda tx, args, files: users.list_users(tx, tx.actor.project),
    "delete_users": lambda tx, args, files: users.remove(tx, args["users"]),
    "list_roles": lambda tx, args, files: roles.list_for(
        tx, _user(args["user"]) if "user" in args else None, tx.actor.project
    ),
    "grant_role": lambda tx, args, files: assignments.grant(tx, args["roles"], tx.actor.project, _user(args["user"])),
    "revoke_role": lambda tx, args, files: assignments.revoke(tx, args["roles"], tx.actor.project, _user(args["user"])),
    "create_project": lambda tx, args, files: projects.create(tx, args["name"], config=_config(args, files)),
    "alter_project": lambda tx, args, files: project_members.replace(tx, args["name"], _file(files, args["config"])),
    "exportconfig_project": lambda tx, args, files: projects.export(tx, args["name"]),
    "importconfig_project": lambda tx, args, files: project_members.restore(
        tx, args["name"], _file(files, args["config"])
    ),
    "list_projects": lambda tx, args, files: projects.list_projects(tx),
    "show_project": lambda tx, args, files: projects.show(tx, args.get("name")),
    "set_project": lambda tx, args, files: projects.set_project(tx, args["name"]),
    "delete_project": lambda tx, args, files: projects.remove(tx, args["name"]),
}
"""By the handler that the catalog names."""


def _grant(tx: Write, args: Arguments) -> Result:
    return assignments.grant(
        tx,
        args["roles"],
        args["scope"],
        Identity.parse(args["to"]),
        interval=Interval(assignments.moment(args["from"]), assignments.moment(args["until"])),
        reason=args["reason"],
        in_file=args.get("in_file", False),
    )


def _revoke(tx: Write, args: Arguments) -> Result:
    return assignments.revoke(tx, args["roles"], args["scope"], Identity.parse(args["from"]), reason=args["reason"])


OPERATIONS: Mapping[str, pending.Operation] = {
    "grant": _grant,
    "revoke": _revoke,
    "add-users": lambda tx, args: users_file.add(tx, args["config"]),
    "alter-users": lambda tx, args: users_file.alter(tx, args["config"]),
    "delete-users": lambda tx, args: users.remove(tx, args["users"]),
    "group-mapping": groups.map_from,
    "map-group": mappings.put_confirmed,
    "unmap-group": lambda tx, args: mappings.remove(tx, args["number"]),
    "link-login": further_logins.link_confirmed,
    "add-member": lambda tx, args: groups.add_member(tx, args["name"], Identity.parse(args["member"])),
    "remove-member": lambda tx, args: groups.remove_member(tx, args["name"], Identity.parse(args["member"])),
    "default-group": lambda tx, args: groups.set_default(tx, args["name"], True),
    "alter-role": lambda tx, args: roles.alter(tx, **args),
    "unlock": lambda tx, args: locks.unlock(tx, LockTarget.IDENTITY, args["identity"]),
    "activation-link": activation.reissue_confirmed,
    "delete-group": lambda tx, args: groups.remove(tx, args["name"]),
    "credential": service_accounts.issue_confirmed,
    "switch-on": lambda tx, args: service_accounts.set_active(tx, args["name"], True),
    "delete-account": lambda tx, args: service_accounts.remove(tx, args["name"]),
    "revoke-tokens": lambda tx, args: revocation.revoke(tx, revocation.Whose.ALL, reason=args["reason"]),
    "alter-project": lambda tx, args: project_members.replace(tx, args["name"], args["config"]),
}
"""By the name under which a waiting change is stored."""

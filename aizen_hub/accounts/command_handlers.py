"""Table of account commands and the functions that execute them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from aizen_hub.accounts import pending_changes
from aizen_hub.accounts.credentials import activation
from aizen_hub.accounts.groups import management, mapping_rules, membership
from aizen_hub.accounts.logins import linked_logins
from aizen_hub.accounts.names import normalization
from aizen_hub.accounts.projects import lifecycle, members, queries
from aizen_hub.accounts.roles import assignments, custom_roles, lookup
from aizen_hub.accounts.service_accounts import accounts, credentials
from aizen_hub.accounts.sessions import locks, token_revocation
from aizen_hub.accounts.users import profiles, registration, users_file
from aizen_hub.commands.command import Command, identity_of_argument
from aizen_hub.commands.result import Result
from aizen_hub.problems import BadInput, CommandSyntaxError, NotFound
from aizen_hub.rbac.assignment import Interval
from aizen_hub.rbac.identity import Identity, IdentityKind
from aizen_hub.validation.duration import parse_duration
from aizen_hub.validation.end_time import parse_end
from aizen_hub.validation.printable import excerpt
from aizen_hub.validation.prose import check_prose
from aizen_hub.wording import LIST_USERS

if TYPE_CHECKING:
    from aizen_hub.store.transaction import WriteTransaction

Arguments = Mapping[str, Any]
Files = Mapping[str, str]
Handler = Callable[["WriteTransaction", Arguments, Files], Result]


def execute_account_command(tx: WriteTransaction, command: Command, files: Mapping[str, str] | None = None) -> Result:
    """Execute an account command that was allowed, in the transaction of its decision.

    Parameters
    ----------
    files : mapping of str to str
        Contents of the client's files by the name they have in the command; nothing is opened here (R111).

    Returns
    -------
    Result
        With ``pending_id`` if the change is waiting for confirmation.

    Raises
    ------
    Problem
        Any problem of the handler; the transaction must then be rolled back.
    """
    handler = HANDLERS.get(command.entry.handler or "")
    if handler is None:
        raise RuntimeError(f"the catalog names the handler {command.entry.handler!r}, which does not exist")
    return handler(tx, command.arguments, files or {})


def confirm_pending_change(tx: WriteTransaction, change_id: str) -> Result:
    """Execute a pending change as the user who confirms it."""
    return pending_changes.confirm_change(tx, change_id, CHANGE_HANDLERS)


def _get_file(files: Files, name: str) -> str:
    if name not in files:
        raise BadInput(
            f"the contents of the file `{excerpt(name)}` were not sent with the command",
            remedy="the file must be readable where the command is typed",
        )
    return files[name]


def _parse_user(text: str) -> Identity:
    name = normalization.canonical_or_none(text)
    if name is None:
        raise NotFound(f"there is no user `{excerpt(text)}`", remedy=LIST_USERS)
    return Identity.user(name)


def _parse_identity(text: str) -> Identity:
    """Return a user, or with its prefix a group or service account."""
    identity = identity_of_argument(text)
    return _parse_user(identity.name) if identity.kind is IdentityKind.USER else identity


def _end_of_grant(tx: WriteTransaction, args: Arguments) -> datetime | None:
    until, duration = args.get("until"), args.get("duration")
    if until is not None and duration is not None:
        raise CommandSyntaxError(
            "a role ends either `until` a time or `for` a duration", remedy="leave out one of both"
        )
    if duration is not None:
        lasts = parse_duration(duration)
        return None if lasts is None else tx.now + lasts
    return None if until is None else parse_end(until, tx.now)


def _get_config(args: Arguments, files: Files) -> str | None:
    return _get_file(files, args["config"]) if "config" in args else None


HANDLERS: Mapping[str, Handler] = {
    "add_users": lambda tx, args, files: users_file.add_users(tx, _get_file(files, args["config"])),
    "alter_users": lambda tx, args, files: users_file.alter_users(tx, _get_file(files, args["config"])),
    "list_users": lambda tx, args, files: profiles.list_users(tx, tx.actor.project),
    "delete_users": lambda tx, args, files: registration.delete_users(tx, args["users"]),
    "list_roles": lambda tx, args, files: lookup.list_user_roles(
        tx, _parse_user(args["user"]) if "user" in args else None, tx.actor.project
    ),
    "grant_role": lambda tx, args, files: assignments.grant_roles(
        tx,
        args["roles"],
        tx.actor.project,
        _parse_identity(args["user"]),
        interval=Interval(None, _end_of_grant(tx, args)),
        reason=check_prose(args.get("reason", ""), "reason"),
    ),
    "revoke_role": lambda tx, args, files: assignments.revoke_roles(
        tx, args["roles"], tx.actor.project, _parse_identity(args["user"])
    ),
    "create_project": lambda tx, args, files: lifecycle.create_project(
        tx, args["name"], config=_get_config(args, files)
    ),
    "alter_project": lambda tx, args, files: members.replace_members(
        tx, args["name"], _get_file(files, args["config"])
    ),
    "exportconfig_project": lambda tx, args, files: queries.export_project(tx, args["name"]),
    "importconfig_project": lambda tx, args, files: members.import_project(
        tx, args["name"], _get_file(files, args["config"])
    ),
    "list_projects": lambda tx, args, files: queries.list_projects(tx),
    "show_project": lambda tx, args, files: queries.show_project(tx, args.get("name")),
    "set_project": lambda tx, args, files: lifecycle.set_current_project(tx, args["name"]),
    "delete_project": lambda tx, args, files: lifecycle.delete_project(tx, args["name"]),
}
"""Handlers of account commands by the name in the catalog."""


def _grant(tx: WriteTransaction, args: Arguments) -> Result:
    return assignments.grant_roles(
        tx,
        args["roles"],
        args["scope"],
        Identity.parse(args["to"]),
        interval=Interval(assignments.parse_time(args["from"]), assignments.parse_time(args["until"])),
        reason=args["reason"],
        in_file=args.get("in_file", False),
        confirmed=True,
        versions=args.get("versions", {}),
    )


def _revoke(tx: WriteTransaction, args: Arguments) -> Result:
    return assignments.revoke_roles(
        tx, args["roles"], args["scope"], Identity.parse(args["from"]), reason=args["reason"]
    )


CHANGE_HANDLERS: Mapping[str, pending_changes.ChangeHandler] = {
    "grant": _grant,
    "revoke": _revoke,
    "add-users": lambda tx, args: users_file.add_users(tx, args["config"]),
    "alter-users": lambda tx, args: users_file.alter_users(tx, args["config"]),
    "delete-users": lambda tx, args: registration.delete_users(tx, args["users"]),
    "group-mapping": management.create_confirmed_group,
    "map-group": mapping_rules.create_confirmed_rule,
    "unmap-group": lambda tx, args: mapping_rules.delete_rule(tx, args["number"]),
    "link-login": linked_logins.link_confirmed_login,
    "add-member": lambda tx, args: membership.add_member(tx, args["name"], Identity.parse(args["member"])),
    "remove-member": lambda tx, args: membership.remove_member(tx, args["name"], Identity.parse(args["member"])),
    "default-group": lambda tx, args: management.set_default_group(tx, args["name"], True),
    "alter-role": lambda tx, args: custom_roles.update_role(tx, **args),
    "unlock": locks.unlock_confirmed,
    "activation-link": activation.reissue_confirmed_link,
    "delete-group": lambda tx, args: management.delete_group(tx, args["name"]),
    "credential": credentials.issue_confirmed_credential,
    "switch-on": accounts.activate_confirmed_account,
    "delete-account": lambda tx, args: accounts.delete_service_account(tx, args["name"]),
    "revoke-tokens": lambda tx, args: token_revocation.revoke_tokens(
        tx, token_revocation.RevocationTarget.ALL, reason=args["reason"]
    ),
    "alter-project": members.change_confirmed_members,
}
"""Functions that make a pending change, by the kind under which it is stored."""

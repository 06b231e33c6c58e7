"""A page for each catalog: roles, permissions and all commands with who may run them."""

from __future__ import annotations

from collections import defaultdict

from aizen_hub.catalogs.catalog import Catalog, CommandEntry, CommandScope, Executor
from aizen_hub.catalogs.loader import load_catalog
from aizen_hub.rbac.role import Role
from docs.generator.markdown import NOTICE, escape_cell, format_code, format_table

CATALOGS = ("aizen", "aihub", "xat", "zenml")
_SCOPES = {
    CommandScope.SYSTEM: "the system",
    CommandScope.PROJECT: "the project",
    CommandScope.EITHER: "the current project, else the system",
    CommandScope.SELF: "-",
}


def build_catalog_page(name: str) -> str:
    """Return the page of a packaged catalog."""
    catalog = load_catalog(name)
    commands = sorted(catalog.commands.values(), key=lambda entry: entry.name)
    groups: dict[str, list[CommandEntry]] = defaultdict(list)
    for entry in commands:
        groups[entry.task or "Other"].append(entry)
    parts = [
        NOTICE,
        f"# The catalog `{name}`\n",
        f"{catalog.description}. It has {len(catalog.roles)} built-in roles and {len(commands)} commands.\n"
        f"`catalog: {name}` in `aizen.yaml` selects it; the file is `aizen_hub/catalogs/{name}.yaml`.\n",
        "## Roles\n",
        format_table(
            ("role", "assigned in", "meaning", "permissions", "limits"),
            [_role_row(role) for role in catalog.roles.values()],
        ),
        "## Permissions\n",
        "What roles are made of, in plain words.\n",
        format_table(
            ("name", "permission or limit", "meaning"),
            [
                (format_code(named.name), format_code(named.content), escape_cell(named.description))
                for named in catalog.named_permissions
            ],
        ),
        "## Commands\n",
        "A role is listed where it allows the command in the scope in which the role is assigned.\n"
        "A custom role with the permission allows it too.\n",
    ]
    for task, entries in sorted(groups.items()):
        rows = [_command_row(catalog, entry) for entry in entries]
        parts += [
            f"### {task}\n",
            format_table(("command", "meaning", "permission", "decided in", "who may", "executed by"), rows),
        ]
    return "\n".join(parts)


def roles_that_allow(catalog: Catalog, entry: CommandEntry) -> list[str]:
    """Return the built-in roles whose permissions cover the command."""
    permission = entry.permission
    if permission is None:
        return []
    return [role.name for role in catalog.roles.values() if any(held.covers(permission) for held in role.permissions)]


def _role_row(role: Role) -> tuple[str, ...]:
    permissions = ", ".join(format_code(permission) for permission in sorted(map(str, role.permissions)))
    limits = ", ".join(f"{kind.value}: {value}" for kind, value in role.limits.items())
    scopes = ", ".join(sorted(kind.value for kind in role.scopes))
    return format_code(role.name), scopes, escape_cell(role.description), permissions, limits


def _command_row(catalog: Catalog, entry: CommandEntry) -> tuple[str, ...]:
    who = ", ".join(map(format_code, roles_that_allow(catalog, entry)))
    if entry.scope is CommandScope.SELF:
        who = "every registered user"
    elif entry.open_for_self:
        who += ", and every user about themselves"
    return (
        format_code(entry.usage),
        escape_cell(entry.description),
        format_code(entry.permission or ""),
        _SCOPES[entry.scope],
        who or "custom roles only",
        "aizen-hub" if entry.executor is Executor.ACCOUNTS else "the core",
    )

"""The form of a catalog file: which keys it may hold, and of which type."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from aizen_hub.catalogs.catalog import CommandScope, Job
from aizen_hub.catalogs.grammar import DEFAULT_TEMPLATE, parse_grammar
from aizen_hub.rbac.identity import Kind
from aizen_hub.rbac.permission import Permission
from aizen_hub.rbac.role import LimitKind, ScopeKind


def _permission(value: object) -> object:
    if isinstance(value, Permission):
        return value
    if not isinstance(value, str):
        raise ValueError("write a permission as `verb:noun`, or a bare verb")
    return Permission.parse(value)


def _template(value: object) -> object:
    if isinstance(value, str):
        parse_grammar(value)
    return value


PermissionText = Annotated[
    Permission,
    BeforeValidator(_permission, json_schema_input_type=str),
]
# pydantic matches with an engine whose `$` is the end of the text only (R28).
RoleName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_:.-]{0,127}$")]
CommandWords = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,63}( [a-z][a-z0-9-]{0,63})?$")]
Label = Annotated[str, Field(max_length=1024)]


class Form(BaseModel):
    """Base of every part of a file: an unknown key is a fault, not a wish."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


class RoleForm(Form):
    """One role; see `rbac.role.Role` for the meaning of the keys.

    ``command_verbs`` gives the permission of every project command of the catalog with one of these verbs, and no other
    noun: a bare verb in ``permissions`` would reach administrative nouns such as ``access`` and ``audit`` too.
    """

    description: Label = ""
    category: Label = ""
    scopes: tuple[ScopeKind, ...] = tuple(ScopeKind)
    permissions: tuple[PermissionText, ...] = ()
    command_verbs: tuple[str, ...] = ()
    limits: dict[LimitKind, Annotated[float, Field(ge=0)]] = {}
    gives: tuple[str, ...] = ()
    takes: tuple[str, ...] = ()
    gives_self: tuple[str, ...] = ()
    gives_in_file: tuple[str, ...] = ()
    takes_in_file: tuple[str, ...] = ()
    holders: tuple[Kind, ...] = tuple(Kind)
    hands_on: bool = False
    table_only: bool = False
    protected: bool = False
    confirmed: bool = False


class CommandForm(Form):
    """One command; see `catalogs.catalog.CommandEntry`. ``also`` lists further spellings."""

    command: CommandWords
    group: Label = ""
    permission: PermissionText | None = None
    scope: CommandScope = CommandScope.PROJECT
    least_role: str | None = None
    grammar: Annotated[str, BeforeValidator(_template)] = DEFAULT_TEMPLATE
    handler: Annotated[str, Field(pattern=r"^[a-z_]+$")] | None = None
    job: Job | None = None
    secret: tuple[str, ...] = ()
    description: Label = ""
    open_for_self: bool = False
    project_argument: str | None = None
    decided_by_roles: bool = False
    also: tuple[CommandWords, ...] = ()


class GroupForm(Form):
    roles: tuple[str, ...] = ()
    joins_new_users: bool = False
    description: Label = ""


class AccountForm(Form):
    roles: tuple[str, ...] = ()
    description: Label = ""


class CatalogKeys(Form):
    """What stands in a catalog beside its commands."""

    catalog: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,31}$")] = "local"
    version: str = "1"
    description: Label = ""
    admin_role: str | None = None
    creator_role: str | None = None
    creator_role_removers: tuple[str, ...] = ()
    member_permissions: tuple[PermissionText, ...] = ()
    alert_services: tuple[str, ...] = ()
    default_groups: dict[str, GroupForm] = {}
    service_accounts: dict[str, AccountForm] = {}
    endpoints: dict[str, PermissionText] = {}
    groups_claim_required: bool = False
    roles: dict[RoleName, RoleForm] = {}


class CatalogFile(CatalogKeys):
    """The whole of a catalog file, as it is written."""

    commands: tuple[CommandForm, ...] = ()


class CatalogForm(CatalogKeys):
    """The same with its commands by name, as overlays change them."""

    commands: dict[str, CommandForm] = {}

"""Schema of a catalog file."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from aizen_hub.catalogs.catalog import CommandScope, JobEffect
from aizen_hub.catalogs.grammar import DEFAULT_TEMPLATE, parse_grammar
from aizen_hub.rbac.identity import IdentityKind
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
# In pydantic's regular expressions `$` matches only at the end of the text (R28).
RoleName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_:.-]{0,127}$")]
PermissionName = Annotated[str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9 ._-]{0,62}[A-Za-z0-9])?$")]
"""For people, so with blanks; without a colon, which marks a permission ``verb:noun``."""
CommandWords = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,63}( [a-z][a-z0-9-]{0,63})?$")]
Label = Annotated[str, Field(max_length=1024)]


class StrictModel(BaseModel):
    """Base of every part of a file: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


class RoleModel(StrictModel):
    """One role; see `rbac.role.Role` for the meaning of the keys.

    ``command_verbs`` adds the permission of every project command in the catalog with one of these verbs, and no other
    noun: a bare verb in ``permissions`` would include administrative nouns such as ``access`` and ``audit`` too.
    """

    description: Label = ""
    category: Label = ""
    scopes: tuple[ScopeKind, ...] = tuple(ScopeKind)
    permissions: tuple[PermissionText, ...] = ()
    command_verbs: tuple[str, ...] = ()
    limits: dict[LimitKind, Annotated[float, Field(ge=0)]] = {}
    can_grant: tuple[str, ...] = ()
    can_revoke: tuple[str, ...] = ()
    can_grant_to_self: tuple[str, ...] = ()
    can_grant_in_file: tuple[str, ...] = ()
    can_revoke_in_file: tuple[str, ...] = ()
    assignable_to: tuple[IdentityKind, ...] = tuple(IdentityKind)
    can_grant_held_roles: bool = False
    grant_table_only: bool = False
    protected: bool = False
    requires_confirmation: bool = False


class CommandModel(StrictModel):
    """One command; see `catalogs.catalog.CommandEntry`. ``aliases`` lists further spellings."""

    command: CommandWords
    group: Label = ""
    permission: PermissionText | None = None
    scope: CommandScope = CommandScope.PROJECT
    least_role: str | None = None
    grammar: Annotated[str, BeforeValidator(_template)] = DEFAULT_TEMPLATE
    handler: Annotated[str, Field(pattern=r"^[a-z_]+$")] | None = None
    job: JobEffect | None = None
    secret: tuple[str, ...] = ()
    description: Label = ""
    open_for_self: bool = False
    project_argument: str | None = None
    grants_roles: bool = False
    aliases: tuple[CommandWords, ...] = ()


class PermissionModel(StrictModel):
    """One named permission: a right, or a limit with its value; see `rbac.named_permission`."""

    description: Label = ""
    permission: PermissionText | None = None
    limit: LimitKind | None = None
    value: Annotated[float, Field(ge=0, lt=1e18)] | None = None

    @model_validator(mode="after")
    def _exactly_one_content(self) -> PermissionModel:
        if (self.permission is None) == (self.limit is None) or (self.limit is None) != (self.value is None):
            raise ValueError("write either `permission: verb:noun`, or `limit: kind` with its `value`")
        return self


class GroupModel(StrictModel):
    """One default group; see `catalogs.catalog.BuiltInGroup` for the meaning of the keys."""

    roles: tuple[str, ...] = ()
    includes_new_users: bool = False
    replaced_by_roles: bool = False
    description: Label = ""


class ServiceAccountModel(StrictModel):
    """A built-in service account; holders of ``credential_issuers`` issue its credentials without having its roles."""

    roles: tuple[str, ...] = ()
    credential_issuers: tuple[str, ...] = ()
    description: Label = ""


class CatalogBase(StrictModel):
    """Everything in a catalog except its commands."""

    catalog: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,31}$")] = "local"
    version: str = "1"
    description: Label = ""
    admin_role: str | None = None
    creator_role: str | None = None
    creator_role_removers: tuple[str, ...] = ()
    member_permissions: tuple[PermissionText, ...] = ()
    alert_services: tuple[str, ...] = ()
    reading_verbs: tuple[str, ...] = ()
    reading_permissions: tuple[PermissionText, ...] = ()
    default_groups: dict[str, GroupModel] = {}
    service_accounts: dict[str, ServiceAccountModel] = {}
    endpoints: dict[str, PermissionText] = {}
    groups_claim_required: bool = False
    permissions: dict[PermissionName, PermissionModel] = {}
    # For people: the groups of commands that belong to one task, and the words for the verbs and nouns of permissions.
    tasks: dict[Label, tuple[Label, ...]] = {}
    verb_words: dict[str, Label] = {}
    noun_words: dict[str, Label] = {}
    roles: dict[RoleName, RoleModel] = {}


class CatalogFile(CatalogBase):
    """A catalog file as it is written."""

    commands: tuple[CommandModel, ...] = ()


class CatalogModel(CatalogBase):
    """A catalog file with its commands keyed by name, after overlays are applied."""

    commands: dict[str, CommandModel] = {}

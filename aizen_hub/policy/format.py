"""The policy file: roles, groups, projects, assignments and assertions in one YAML."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PlainValidator, model_validator

from aizen_hub.catalogs.schema import CatalogFile, Form, Label, PermissionText, RoleName
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import SYSTEM, LimitKind, ScopeKind

SCHEMA_ID = "urn:aizen:schema:policy"


def _identity(value: object) -> object:
    return Identity.parse(value) if isinstance(value, str) else value


def _moment(value: object) -> object:
    """Take a YAML timestamp, a date or ISO text; without a zone it is UTC, as YAML has it."""
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if isinstance(value, datetime):
        return value if value.tzinfo else value.replace(tzinfo=UTC)
    if isinstance(value, date):
        return datetime.combine(value, time(), UTC)
    raise ValueError("write a time as 2027-01-01T00:00:00Z")


def _name_or_catalog(value: object) -> str | dict[str, Any]:
    # A catalog in the file is checked by the loader of catalogs, which knows more than types and names the line.
    if isinstance(value, str | dict):
        return value
    raise ValueError("write the name of a catalog, or `{roles: …, commands: […]}`")


NameOrCatalog = Annotated[
    str | dict[str, Any], PlainValidator(_name_or_catalog, json_schema_input_type=str | CatalogFile)
]
IdentityText = Annotated[Identity, BeforeValidator(_identity, json_schema_input_type=str)]
Moment = Annotated[datetime, BeforeValidator(_moment, json_schema_input_type=datetime | date)]
ScopeName = Annotated[str, Field(min_length=1, max_length=255, description="`system`, or the name of a project")]


class CustomRoleForm(Form):
    """A role beside those of the catalog."""

    description: Label = ""
    category: Label = ""
    scopes: tuple[ScopeKind, ...] = tuple(ScopeKind)
    permissions: tuple[PermissionText, ...] = ()
    limits: dict[LimitKind, Annotated[float, Field(ge=0)]] = Field(default_factory=dict)


class AssignmentForm(Form):
    """Role x scope x identity, from ``from`` (inclusive) until ``until`` (exclusive)."""

    role: str
    scope: ScopeName = SYSTEM
    identity: IdentityText
    starts: Annotated[Moment | None, Field(alias="from")] = None
    ends: Annotated[Moment | None, Field(alias="until")] = None
    reason: Label = ""


class AssertionForm(Form):
    """What must be allowed or denied: a permission, or a command typed while ``scope`` is the current project."""

    identity: IdentityText
    scope: ScopeName = SYSTEM
    permission: PermissionText | None = None
    command: str | None = None
    at: Moment | None = None
    expect: Literal["allow", "deny"]

    @model_validator(mode="after")
    def _one_question(self) -> AssertionForm:
        if (self.permission is None) == (self.command is None):
            raise ValueError("an assertion asks for a `permission` or a `command`: give exactly one of them")
        return self


class PolicyForm(Form):
    """The whole file.

    ``catalog`` is the name of a catalog or a small one of its own, in which any ``verb:noun`` may be asked and held.
    Without ``projects`` those exist that an assignment names.
    """

    catalog: NameOrCatalog = "aizen"
    roles: dict[RoleName, CustomRoleForm] = Field(default_factory=dict)
    groups: dict[str, tuple[IdentityText, ...]] = Field(default_factory=dict)
    projects: tuple[str, ...] | None = None
    assignments: tuple[AssignmentForm, ...] = ()
    assertions: tuple[AssertionForm, ...] = ()


def schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of the file."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": SCHEMA_ID,
        **PolicyForm.model_json_schema(by_alias=True),
    }

"""Format of the policy file: roles, groups, projects, assignments and assertions in one YAML document."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PlainValidator, model_validator

from aizen_hub.catalogs.schema import CatalogFile, Label, PermissionText, RoleName, StrictModel
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import SYSTEM, LimitKind, ScopeKind
from aizen_hub.validation.prose import MAX_PROSE

SCHEMA_ID = "urn:aizen:schema:policy"


def _parse_identity(value: object) -> object:
    return Identity.parse(value) if isinstance(value, str) else value


def _parse_timestamp(value: object) -> object:
    """Parse a YAML timestamp, a date or ISO 8601 text; UTC if it has no zone, as in YAML."""
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if isinstance(value, datetime):
        moment = value if value.tzinfo else value.replace(tzinfo=UTC)
        try:
            moment.astimezone(UTC)  # what UTC cannot hold could be stored, but not be read again
        except OverflowError:
            raise ValueError("is out of range in UTC") from None
        return moment
    if isinstance(value, date):
        return datetime.combine(value, time(), UTC)
    raise ValueError("write a time as 2027-01-01T00:00:00Z")


def _name_or_catalog(value: object) -> str | dict[str, Any]:
    # The catalog loader checks an inline catalog: it checks more than types and reports lines.
    if isinstance(value, str | dict):
        return value
    raise ValueError("write the name of a catalog, or `{roles: …, commands: […]}`")


Prose = Annotated[str, Field(max_length=MAX_PROSE)]
NameOrCatalog = Annotated[
    str | dict[str, Any], PlainValidator(_name_or_catalog, json_schema_input_type=str | CatalogFile)
]
IdentityText = Annotated[Identity, BeforeValidator(_parse_identity, json_schema_input_type=str)]
Timestamp = Annotated[datetime, BeforeValidator(_parse_timestamp, json_schema_input_type=datetime | date)]
ScopeName = Annotated[str, Field(min_length=1, max_length=255, description="`system`, or the name of a project")]


class CustomRoleForm(StrictModel):
    """A custom role."""

    description: Prose = ""
    category: Label = ""
    scopes: tuple[ScopeKind, ...] = tuple(ScopeKind)
    permissions: tuple[PermissionText, ...] = ()
    limits: dict[LimitKind, Annotated[float, Field(ge=0)]] = Field(default_factory=dict)


class AssignmentForm(StrictModel):
    """An assignment: role, scope and identity, from ``from`` (inclusive) until ``until`` (exclusive)."""

    role: str
    scope: ScopeName = SYSTEM
    identity: IdentityText
    starts: Annotated[Timestamp | None, Field(alias="from")] = None
    ends: Annotated[Timestamp | None, Field(alias="until")] = None
    reason: Prose = ""


class AssertionForm(StrictModel):
    """An expected decision for a permission, or for a command that is run with ``scope`` as the current project."""

    identity: IdentityText
    scope: ScopeName = SYSTEM
    permission: PermissionText | None = None
    command: str | None = None
    at: Timestamp | None = None
    expect: Literal["allow", "deny"]

    @model_validator(mode="after")
    def _exactly_one_subject(self) -> AssertionForm:
        if (self.permission is None) == (self.command is None):
            raise ValueError("an assertion has either a `permission` or a `command`: give exactly one of them")
        return self


class PolicyForm(StrictModel):
    """The whole file.

    ``catalog`` is the name of a catalog, or an inline one, whose permissions may be any ``verb:noun``. Without
    ``projects`` the projects are those that the assignments name.
    """

    catalog: NameOrCatalog = "aizen"
    roles: dict[RoleName, CustomRoleForm] = Field(default_factory=dict)
    groups: dict[str, tuple[IdentityText, ...]] = Field(default_factory=dict)
    projects: tuple[str, ...] | None = None
    assignments: tuple[AssignmentForm, ...] = ()
    assertions: tuple[AssertionForm, ...] = ()


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of the file."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": SCHEMA_ID,
        **PolicyForm.model_json_schema(by_alias=True),
    }

"""Parsing and validation of the two users files; all faults are reported at once, with JSON pointers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from aizen_hub.catalogs.catalog import Catalog
from aizen_hub.commands.lexer import ascii_excerpt
from aizen_hub.problems import BadInput, Fault
from aizen_hub.rbac.role import Role, ScopeKind
from aizen_hub.validation import email_address
from aizen_hub.validation.prose import MAX_PROSE
from aizen_hub.validation.strict_json import loads

MAX_FAULTS = 1_000
GROUP_PREFIX = "group:"
"""In the project users file, before the name of a group."""

_DETAILS = {
    "extra_forbidden": "this key is unknown",
    "missing": "this key is missing",
    "string_type": "this must be text",
    "bool_type": "this must be true or false",
    "tuple_type": "this must be a list",
    "model_type": "this must be an object",
}


def _one_of(kind: str) -> AfterValidator:
    def check(value: str, info: ValidationInfo) -> str:
        # An entry that is created in code, not parsed from a file, has no context.
        allowed: Sequence[str] | None = (info.context or {}).get(kind)
        if allowed is not None and value not in allowed:
            raise PydanticCustomError(
                "not_allowed",
                "{what}",
                {"what": f"`{ascii_excerpt(value)}` is not a valid {kind} here", "allowed": allowed},
            )
        return value

    return AfterValidator(check)


def _require_distinct(values: tuple[str, ...]) -> tuple[str, ...]:
    repeated = sorted({value for value in values if values.count(value) > 1})
    if repeated:
        raise PydanticCustomError("twice", "{what}", {"what": f"`{ascii_excerpt(repeated[0])}` is listed twice"})
    return values


Text = Annotated[str, Field(min_length=1, max_length=255)]
Email = Annotated[str, Field(max_length=email_address.MAX_LENGTH, pattern=email_address.PATTERN)]
Phone = Annotated[str, Field(pattern=r"^\+?[0-9][0-9 ()./-]{2,38}$")]
RoleNames = Annotated[
    tuple[Annotated[str, _one_of("role")], ...], Field(max_length=100), AfterValidator(_require_distinct)
]
AlertServiceNames = Annotated[
    tuple[Annotated[str, _one_of("alert service")], ...], Field(max_length=100), AfterValidator(_require_distinct)
]


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class AlertPreferences(_Entry):
    """The channels on which a user wants to be alerted; a list of their names is accepted too, ``[]`` means none."""

    email: StrictBool = False
    phone: StrictBool = False

    @model_validator(mode="before")
    @classmethod
    def _read_list(cls, value: Any) -> Any:
        return alert_channels(value) if isinstance(value, list) else value


def alert_channels(value: object) -> dict[str, Any]:
    """Return the alert preferences of a file, which need not be valid, as the object of its channels."""
    if isinstance(value, list):
        return {str(channel): True for channel in value}
    return value if isinstance(value, dict) else {}


class UserEntry(_Entry):
    """One user of the system users file (``add users``, ``alter users``).

    Attributes
    ----------
    id : str
        The login id as written; `accounts` makes names canonical.
    roles : tuple of str or None
        System roles; None if the key is absent: ``alter users`` then leaves the roles unchanged.
    provider : str or None
        The identity provider; None: the default one.
    """

    id: Text
    username: Annotated[str, Field(max_length=MAX_PROSE)] | None = None
    email: Email | None = None
    phone: Phone | None = None
    alerts: AlertPreferences | None = None
    roles: RoleNames | None = None
    provider: Text | None = None


class MemberEntry(_Entry):
    """One member of the project users file (``create project``, ``alter project``).

    Attributes
    ----------
    id : str
        The login id of a user, or ``group:NAME``. A group receives no alerts.
    """

    id: Text
    roles: RoleNames = ()
    alerts: AlertServiceNames = ()

    @field_validator("alerts")
    @classmethod
    def _of_users_only(cls, alerts: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if alerts and str(info.data.get("id", "")).startswith(GROUP_PREFIX):
            what = "a group receives no alerts: list them at its members"
            raise PydanticCustomError("group_alerts", "{what}", {"what": what})
        return alerts


EntryT = TypeVar("EntryT", UserEntry, MemberEntry)
Rows = Sequence[tuple[int, str, str | None]]
ExtraCheck = Callable[[Rows], list[Fault]]
"""Further checks, such as those against the store; receives index, id and provider of every row that has a text id."""
RowCheck = Callable[[int, Mapping[str, Any]], list[Fault]]
"""A further check of the contents of one row that has a text id; its values may still be invalid."""

_USERS: TypeAdapter[tuple[UserEntry, ...]] = TypeAdapter(tuple[UserEntry, ...])
_MEMBERS: TypeAdapter[tuple[MemberEntry, ...]] = TypeAdapter(tuple[MemberEntry, ...])


def read_users_file(
    data: bytes | str,
    catalog: Catalog,
    roles: Mapping[str, Role] | None = None,
    extra_check: ExtraCheck | None = None,
    row_check: RowCheck | None = None,
) -> tuple[UserEntry, ...]:
    """Parse a system users file.

    Parameters
    ----------
    roles : mapping of str to Role, optional
        All roles that exist; by default those of the catalog. Only system roles are accepted.
    extra_check : callable, optional
        Returns further faults, which are reported together with those of the format.
    row_check : callable, optional
        The same for one row and its contents.

    Raises
    ------
    BadInput, TooLarge
        Not JSON; or, with ``faults``, every fault of the file with its JSON pointer and the allowed values.
    """

    def check_rows(rows: list[Any]) -> list[Fault]:
        faults = [] if extra_check is None else extra_check(_rows_with_id(rows))
        if row_check is not None:
            for index, _, _ in _rows_with_id(rows):
                faults += row_check(index, rows[index])
        return faults

    return _read(_USERS, data, ScopeKind.SYSTEM, catalog, roles, check_rows)


def read_project_file(
    data: bytes | str, catalog: Catalog, roles: Mapping[str, Role] | None = None, extra_check: ExtraCheck | None = None
) -> tuple[MemberEntry, ...]:
    """Parse a project users file; only project roles are accepted. Raises like `read_users_file`."""

    def check_rows(rows: list[Any]) -> list[Fault]:
        return [] if extra_check is None else extra_check(_rows_with_id(rows))

    return _read(_MEMBERS, data, ScopeKind.PROJECT, catalog, roles, check_rows)


def _read(
    adapter: TypeAdapter[tuple[EntryT, ...]],
    data: bytes | str,
    kind: ScopeKind,
    catalog: Catalog,
    roles: Mapping[str, Role] | None,
    check_rows: Callable[[list[Any]], list[Fault]],
) -> tuple[EntryT, ...]:
    rows = loads(data)
    if not isinstance(rows, list):
        raise BadInput("the file must hold a list of users", faults=[Fault("", "expected a list", ("[{…}, …]",))])
    known_roles = catalog.roles if roles is None else roles
    context = {
        "role": tuple(name for name, role in known_roles.items() if kind in role.scopes),
        "alert service": catalog.alert_services,
    }
    faults = _repeated_ids(rows)
    try:
        entries = adapter.validate_python(tuple(rows), context=context)
    except ValidationError as error:
        faults += [_to_fault(detail) for detail in error.errors(include_url=False, include_input=False)]
    if len(faults) < MAX_FAULTS:
        reported = {fault.pointer for fault in faults}
        faults += [fault for fault in check_rows(rows) if fault.pointer not in reported]
    if not faults:
        return entries
    count = f"{len(faults)} faults" if len(faults) > 1 else "a fault"
    raise BadInput(f"the file has {count}; nothing was changed", faults=faults[:MAX_FAULTS])


def _rows_with_id(rows: list[Any]) -> list[tuple[int, str, str | None]]:
    identified = []
    for index, row in enumerate(rows):
        name, provider = (row.get("id"), row.get("provider")) if isinstance(row, dict) else (None, None)
        if isinstance(name, str):
            identified.append((index, name, provider if isinstance(provider, str) else None))
    return identified


def _repeated_ids(rows: list[Any]) -> list[Fault]:
    first_index: dict[str, int] = {}
    faults = []
    for index, row in enumerate(rows):
        name = row.get("id") if isinstance(row, dict) else None
        if isinstance(name, str) and first_index.setdefault(name, index) != index:
            faults.append(Fault(f"/{index}/id", f"`{ascii_excerpt(name)}` is already at index {first_index[name]}"))
    return faults


def _to_fault(error: ErrorDetails) -> Fault:
    pointer = "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in error["loc"])[:512]
    detail = _DETAILS.get(error["type"]) or error["msg"][:1].lower() + error["msg"][1:]
    if error["type"] == "string_pattern_mismatch":
        detail = f"this is not a well-formed {error['loc'][-1]}"
    return Fault(pointer, detail, tuple(error.get("ctx", {}).get("allowed", ())))

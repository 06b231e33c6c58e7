"""The two users files, read whole: every fault in them is reported at once, with its place and what is allowed."""

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
)
from pydantic_core import ErrorDetails, PydanticCustomError

from aizen_hub.catalogs.catalog import Catalog
from aizen_hub.commands.lexer import show
from aizen_hub.problems import BadInput, Fault
from aizen_hub.rbac.role import Role, ScopeKind
from aizen_hub.validation import email_address as mail_address
from aizen_hub.validation.strict_json import loads

MAX_FAULTS = 1_000

_WRONG = {
    "extra_forbidden": "this key is not known",
    "missing": "this key is missing",
    "string_type": "this must be text",
    "bool_type": "this must be true or false",
    "tuple_type": "this must be a list",
    "model_type": "this must be an object",
}


def _one_of(kind: str) -> AfterValidator:
    def check(value: str, info: ValidationInfo) -> str:
        # An entry that is made in code, not read from a file, has nothing to be compared with.
        allowed: Sequence[str] | None = (info.context or {}).get(kind)
        if allowed is not None and value not in allowed:
            raise PydanticCustomError(
                "not_allowed", "{what}", {"what": f"`{show(value)}` is no {kind} that fits here", "allowed": allowed}
            )
        return value

    return AfterValidator(check)


def _no_twice(values: tuple[str, ...]) -> tuple[str, ...]:
    twice = sorted({one for one in values if values.count(one) > 1})
    if twice:
        raise PydanticCustomError("twice", "{what}", {"what": f"`{show(twice[0])}` stands here twice"})
    return values


Text = Annotated[str, Field(min_length=1, max_length=255)]
Email = Annotated[str, Field(max_length=mail_address.MAX_LENGTH, pattern=mail_address.PATTERN)]
Phone = Annotated[str, Field(pattern=r"^\+?[0-9][0-9 ()./-]{2,38}$")]
RoleNames = Annotated[tuple[Annotated[str, _one_of("role")], ...], Field(max_length=100), AfterValidator(_no_twice)]
Services = Annotated[
    tuple[Annotated[str, _one_of("alert service")], ...], Field(max_length=100), AfterValidator(_no_twice)
]


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Alerts(_Entry):
    """By which ways a user wants to be alerted."""

    email: StrictBool = False
    phone: StrictBool = False


class UserEntry(_Entry):
    """One user of the system users file (``add users``, ``alter users``).

    Attributes
    ----------
    id : str
        The login id as written; names are made canonical by the accounts.
    roles : tuple of str or None
        System roles; None: the key is absent, and ``alter users`` leaves the roles as they are.
    provider : str or None
        Who proves the identity; None: the deployment's default.
    """

    id: Text
    username: Annotated[str, Field(max_length=255)] | None = None
    email: Email | None = None
    phone: Phone | None = None
    alerts: Alerts | None = None
    roles: RoleNames | None = None
    provider: Text | None = None


class MemberEntry(_Entry):
    """One member of the project users file (``create project``, ``alter project``)."""

    id: Text
    roles: RoleNames = ()
    alerts: Services = ()


EntryT = TypeVar("EntryT", UserEntry, MemberEntry)
Rows = Sequence[tuple[int, str, str | None]]
Also = Callable[[Rows], list[Fault]]
"""Finds what only the store knows to be wrong: gets index, id and provider of every row that has a text for its id."""

_USERS: TypeAdapter[tuple[UserEntry, ...]] = TypeAdapter(tuple[UserEntry, ...])
_MEMBERS: TypeAdapter[tuple[MemberEntry, ...]] = TypeAdapter(tuple[MemberEntry, ...])


def read_users_file(
    data: bytes | str, catalog: Catalog, roles: Mapping[str, Role] | None = None, also: Also | None = None
) -> tuple[UserEntry, ...]:
    """Read a system users file.

    Parameters
    ----------
    roles : mapping of str to Role, optional
        All roles that exist; by default the catalog's. Only those that fit the system are accepted.
    also : callable, optional
        Looks for further faults, which are told together with those of the form.

    Raises
    ------
    BadInput, TooLarge
        Not JSON, or with ``faults``: every fault of the file, by JSON pointer, with what is allowed there.
    """
    return _read(_USERS, data, ScopeKind.SYSTEM, catalog, roles, also)


def read_project_file(
    data: bytes | str, catalog: Catalog, roles: Mapping[str, Role] | None = None, also: Also | None = None
) -> tuple[MemberEntry, ...]:
    """Read a project users file; only roles that fit a project are accepted. Raises as `read_users_file` does."""
    return _read(_MEMBERS, data, ScopeKind.PROJECT, catalog, roles, also)


def _read(
    adapter: TypeAdapter[tuple[EntryT, ...]],
    data: bytes | str,
    kind: ScopeKind,
    catalog: Catalog,
    roles: Mapping[str, Role] | None,
    also: Also | None,
) -> tuple[EntryT, ...]:
    rows = loads(data)
    if not isinstance(rows, list):
        raise BadInput("the file must hold a list of users", faults=[Fault("", "expected a list", ("[{…}, …]",))])
    known = catalog.roles if roles is None else roles
    context = {
        "role": tuple(name for name, role in known.items() if kind in role.scopes),
        "alert service": catalog.alert_services,
    }
    faults = _twice(rows)
    try:
        entries = adapter.validate_python(tuple(rows), context=context)
    except ValidationError as error:
        faults += [_fault(one) for one in error.errors(include_url=False, include_input=False)]
    if also is not None and len(faults) < MAX_FAULTS:
        told = {fault.pointer for fault in faults}
        faults += [one for one in also(_identified(rows)) if one.pointer not in told]
    if not faults:
        return entries
    count = f"{len(faults)} faults" if len(faults) > 1 else "a fault"
    raise BadInput(f"the file has {count}; nothing was changed", faults=faults[:MAX_FAULTS])


def _identified(rows: list[Any]) -> list[tuple[int, str, str | None]]:
    found = []
    for index, row in enumerate(rows):
        name, provider = (row.get("id"), row.get("provider")) if isinstance(row, dict) else (None, None)
        if isinstance(name, str):
            found.append((index, name, provider if isinstance(provider, str) else None))
    return found


def _twice(rows: list[Any]) -> list[Fault]:
    first: dict[str, int] = {}
    faults = []
    for index, row in enumerate(rows):
        name = row.get("id") if isinstance(row, dict) else None
        if isinstance(name, str) and first.setdefault(name, index) != index:
            faults.append(Fault(f"/{index}/id", f"`{show(name)}` stands already at index {first[name]}"))
    return faults


def _fault(error: ErrorDetails) -> Fault:
    pointer = "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in error["loc"])[:512]
    detail = _WRONG.get(error["type"]) or error["msg"][:1].lower() + error["msg"][1:]
    if error["type"] == "string_pattern_mismatch":
        detail = f"this is not a well-formed {error['loc'][-1]}"
    return Fault(pointer, detail, tuple(error.get("ctx", {}).get("allowed", ())))

"""Named permissions: one right, or one limit with its value, under a name for people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from aizen_hub.rbac.permission import Permission
from aizen_hub.rbac.role import LimitKind, Role


@dataclass(frozen=True, slots=True)
class NamedPermission:
    """A permission with a name, such as ``Read`` or ``5 Project Limit``.

    Exactly one of ``permission`` (an *existential* permission: rights add up) and ``limit`` (the strictest value wins)
    is set. A role contains the right or the limit itself, so that a named permission cannot change what a role means.

    Attributes
    ----------
    built_in : bool
        From the catalog; cannot be deleted.
    """

    name: str
    permission: Permission | None = None
    limit: LimitKind | None = None
    value: float | None = None
    description: str = ""
    built_in: bool = False

    @property
    def kind(self) -> str:
        return "existential" if self.limit is None else "limit"

    @property
    def content(self) -> str:
        """The right or the limit as text, ``read:model`` or ``projects=5``: equal for equal permissions."""
        return str(self.permission) if self.limit is None else f"{self.limit}={format_value(self.value or 0)}"

    @classmethod
    def of_content(cls, name: str, content: str, description: str = "") -> Self:
        """Return the named permission with this content; ValueError for text that is none."""
        kind, equals, value = content.partition("=")
        if not equals:
            return cls(name, Permission.parse(content), description=description)
        return cls(name, None, LimitKind(kind), float(value), description)

    def is_part_of(self, role: Role) -> bool:
        """Return whether the role contains exactly this right or limit."""
        if self.limit is not None:
            return role.limits.get(self.limit) == self.value
        return self.permission in role.permissions


def format_value(value: float) -> str:
    """Return a limit without a needless fraction: ``5``, ``0.5``, ``8000000000``."""
    return str(int(value)) if value == int(value) else repr(float(value))

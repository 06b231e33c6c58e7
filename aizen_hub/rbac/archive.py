"""What an archived project still allows: the permissions that only read, by the catalog."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from aizen_hub.rbac.permission import Permission


@dataclass(frozen=True, slots=True)
class ArchiveRule:
    """The rule for archived projects.

    Attributes
    ----------
    reading : frozenset of Permission
        The permissions that change nothing; empty: an archived project allows nothing.
    restorers : tuple of str
        The built-in system roles whose holders can restore a project.
    """

    reading: frozenset[Permission] = frozenset()
    restorers: tuple[str, ...] = ()

    def allows(self, permission: Permission | None) -> bool:
        """Return whether a permission only reads; None stands for what every registered user may do."""
        return permission is None or any(reading.covers(permission) for reading in self.reading)

    def restrict(self, permissions: Iterable[Permission]) -> frozenset[Permission]:
        """Return what is left of permissions that are held: exactly what they and the rule both cover."""
        common = (held.common_part(reading) for held in permissions for reading in self.reading)
        return frozenset(permission for permission in common if permission is not None)


NOTHING_ALLOWED = ArchiveRule()
"""The rule of a state without a catalog: an archived project allows nothing."""

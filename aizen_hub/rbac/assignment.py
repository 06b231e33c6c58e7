"""Assignments and locks: what the store holds about who has which role where, and who is stopped."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from aizen_hub.rbac.identity import Identity


@dataclass(frozen=True, slots=True)
class Interval:
    """A time span, ``starts`` inclusive and ``ends`` exclusive, both in UTC; None is open (R64)."""

    starts: datetime | None = None
    ends: datetime | None = None

    def holds(self, now: datetime) -> bool:
        return (self.starts is None or self.starts <= now) and (self.ends is None or now < self.ends)

    def meet(self, other: Interval) -> Interval | None:
        """Return the span in which both hold; None where there is none."""
        starts = max((one for one in (self.starts, other.starts) if one is not None), default=None)
        ends = min((one for one in (self.ends, other.ends) if one is not None), default=None)
        return None if starts is not None and ends is not None and ends <= starts else Interval(starts, ends)

    def contains(self, other: Interval) -> bool:
        """Tell whether this holds whenever ``other`` does."""
        return (self.starts is None or (other.starts is not None and self.starts <= other.starts)) and (
            self.ends is None or (other.ends is not None and other.ends <= self.ends)
        )


ALWAYS = Interval()


@dataclass(frozen=True, slots=True)
class Assignment:
    """Role x scope x identity.

    Attributes
    ----------
    id : str
        Stable, never used again.
    scope : str
        ``system`` or a project's name.
    creator : bool
        The automatic role of a project's creator, which only the catalog's ``creator_role_removers`` take away.
    """

    id: str
    role: str
    scope: str
    identity: Identity
    interval: Interval = ALWAYS
    creator: bool = False


class LockTarget(StrEnum):
    IDENTITY = "identity"
    PROJECT = "project"
    SESSION = "session"


@dataclass(frozen=True, slots=True)
class Lock:
    """Stops one identity, project or session, whatever roles say (R78).

    ``name`` is the identity as ``kind:name``, the project's name, or the session's id.
    """

    id: str
    target: LockTarget
    name: str
    interval: Interval = ALWAYS
    reason: str = ""

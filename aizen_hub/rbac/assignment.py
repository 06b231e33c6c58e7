"""Assignments and locks, with the time intervals in which they are in force."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from aizen_hub.rbac.identity import Identity


@dataclass(frozen=True, slots=True)
class Interval:
    """A time interval in UTC, ``starts`` inclusive and ``ends`` exclusive; None is unbounded (R64)."""

    starts: datetime | None = None
    ends: datetime | None = None

    def to_utc(self) -> Interval:
        """Return the same interval with both times in UTC, for times that came in another zone."""
        return Interval(*(None if time is None else time.astimezone(UTC) for time in (self.starts, self.ends)))

    def includes(self, now: datetime) -> bool:
        return (self.starts is None or self.starts <= now) and (self.ends is None or now < self.ends)

    def intersect(self, other: Interval) -> Interval | None:
        """Return the common part of both intervals, or None if they do not overlap."""
        starts = max((time for time in (self.starts, other.starts) if time is not None), default=None)
        ends = min((time for time in (self.ends, other.ends) if time is not None), default=None)
        return None if starts is not None and ends is not None and ends <= starts else Interval(starts, ends)

    def contains(self, other: Interval) -> bool:
        """Return whether ``other`` lies within this interval."""
        return (self.starts is None or (other.starts is not None and self.starts <= other.starts)) and (
            self.ends is None or (other.ends is not None and other.ends <= self.ends)
        )


ALWAYS = Interval()


@dataclass(frozen=True, slots=True)
class Assignment:
    """A role, granted to an identity in a scope.

    Attributes
    ----------
    id : str
        Stable, never reused.
    scope : str
        ``system`` or a project's name.
    creator : bool
        Whether this is the automatic role of a project's creator, which only the catalog's
        ``creator_role_removers`` can revoke.
    """

    id: str
    role: str
    scope: str
    identity: Identity
    interval: Interval = ALWAYS
    creator: bool = False


class LockTarget(StrEnum):
    __hash__ = str.__hash__  # that of `Enum` is not compiled, and every decision looks up locks

    IDENTITY = "identity"
    PROJECT = "project"
    ARCHIVE = "archive"
    SESSION = "session"


@dataclass(frozen=True, slots=True)
class Lock:
    """Stops one identity, project or session, whatever its roles allow (R78).

    ``name`` is the identity as ``kind:name``, the project's name, or the session's id. The target ``archive`` is a
    project too: it stops everything there except what only reads.
    """

    id: str
    target: LockTarget
    name: str
    interval: Interval = ALWAYS
    reason: str = ""

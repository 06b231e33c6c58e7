"""Every refusal and failure that a person may see, as one family of typed errors (RFC 9457)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

TYPE_PREFIX = "urn:aizen:problem:"


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault in an input, with the place where it stands.

    Attributes
    ----------
    pointer : str
        JSON pointer into the input (RFC 6901), e.g. ``/2/roles/0``; empty for the input as a whole.
    detail : str
        What is wrong there, lower case, without a final period.
    allowed : tuple of str
        What would be accepted instead; empty where that cannot be listed.
    """

    pointer: str
    detail: str
    allowed: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        out: dict[str, Any] = {"pointer": self.pointer, "detail": self.detail}
        if self.allowed:
            out["allowed"] = list(self.allowed)
        return out


class Problem(Exception):
    """Base of the errors that become problem documents.

    A subclass fixes the ``slug`` (stable, part of the API), the ``title`` and the HTTP ``status``; an instance adds the
    sentence for this occurrence and, where one exists, the remedy.

    Parameters
    ----------
    detail : str
        One sentence for a person; never holds a secret, text from users is quoted and bounded by the caller.
    remedy : str, optional
        What would help: a command, a role and who can give it, a setting.
    faults : sequence of Fault
        All faults of an input at once.
    more : mapping
        Extension members of the problem document (RFC 9457, 3.2).
    """

    slug: ClassVar[str] = "internal"
    title: ClassVar[str] = "Something went wrong inside the service"
    status: ClassVar[int] = 500

    def __init__(
        self,
        detail: str,
        *,
        remedy: str | None = None,
        faults: Sequence[Fault] = (),
        more: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.remedy = remedy
        self.faults = tuple(faults)
        self.more = dict(more or {})

    def to_json(self) -> dict[str, Any]:
        """Return the problem document as a JSON object (RFC 9457, 3.1)."""
        out: dict[str, Any] = {
            **self.more,
            "type": TYPE_PREFIX + self.slug,
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
        }
        if self.remedy:
            out["remedy"] = self.remedy
        if self.faults:
            out["errors"] = [fault.to_json() for fault in self.faults]
        return out


class BadInput(Problem):
    """The request is malformed: wrong JSON, wrong type, unknown or missing field."""

    slug, title, status = "bad-input", "The request is not well formed", 400


class TooLarge(Problem):
    """A limit on size, depth or count was passed."""

    slug, title, status = "too-large", "The request is too large", 413


class SyntaxRefused(Problem):
    """A command line that cannot be read."""

    slug, title, status = "command-syntax", "The command cannot be read", 400


class UnknownCommand(Problem):
    """A command that the catalog does not hold."""

    slug, title, status = "unknown-command", "There is no such command", 400


class NotAuthenticated(Problem):
    """No credential, or one that is wrong, expired, ended, or made for another road.

    Attributes
    ----------
    challenge : str or None
        What ``WWW-Authenticate`` must say, where the road alone does not tell (RFC 9110, 11.6.1).
    """

    slug, title, status = "not-authenticated", "The credential was not accepted", 401
    challenge: str | None = None


class Denied(Problem):
    """The decision engine said no."""

    slug, title, status = "denied", "Not allowed", 403


class ProjectRequired(Problem):
    """A project command without a project."""

    slug, title, status = "project-required", "A project is needed for this", 403


class Escalation(Problem):
    """Somebody would give or control more than they may; the missing rights are listed."""

    slug, title, status = "escalation", "This would give more than you may give", 403


class NotFound(Problem):
    """There is no such thing, or the asker may not know of it (R72)."""

    slug, title, status = "not-found", "Not found", 404


class Conflict(Problem):
    """The change contradicts the present state: it exists already, it is the last holder, it is in use."""

    slug, title, status = "conflict", "This contradicts the present state", 409


class LastHolder(Conflict):
    """The last AIZEN_ADMIN, or the last admin of a project, would go (R69)."""

    slug, title, status = "last-holder", "The last holder of this role cannot go", 409


class LimitReached(Conflict):
    """A limit on projects, jobs, memory or processors is used up."""

    slug, title, status = "limit-reached", "A limit is reached", 409


class Stale(Problem):
    """``If-Match`` names another version than the present one (RFC 9110, 13.1.1)."""

    slug, title, status = "stale", "Somebody changed this in between", 412


class TooMany(Problem):
    """A rate or concurrency limit (R123, R125)."""

    slug, title, status = "too-many", "Too many requests", 429


class CoreFailed(Problem):
    """The core is not configured, does not answer, or answers what cannot be understood."""

    slug, title, status = "core-failed", "The core did not carry this out", 502


class Unavailable(Problem):
    """The store, a key or the audit is missing: sealed, stalled or starting (R7, R79)."""

    slug, title, status = "unavailable", "The service cannot decide now", 503

"""Errors that become problem documents (RFC 9457)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from aizen_hub.wording import CommandNames, Interface, Wording

SERVICE_PREFIX = "/services/aizen/"
"""Path of the service below a hub that has no `base_url` of its own."""
TYPE_PATH = "docs/problems/"
"""Below the prefix of the service: where the documentation of a problem type is; its name follows."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault in an input, with its location.

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
    """Base class of the errors that become problem documents.

    A subclass fixes the ``slug`` (stable, part of the API), the ``title`` and the HTTP ``status``; an instance adds the
    detail of this occurrence and, where there is one, the remedy.

    Parameters
    ----------
    detail : str
        One sentence for people; never contains a secret. Text from users is quoted and bounded by the caller.
    remedy : str, optional
        What the user can do: a command, a role and who can grant it, a setting. One that names an action is a
        `Wording`, since a web page, the command line and a notebook have actions of their own.
    faults : sequence of Fault
        All faults of an input at once.
    extensions : mapping
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
        extensions: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.remedy = remedy
        self.faults = tuple(faults)
        self.extensions = dict(extensions or {})

    def word_for(self, interface: Interface, command_names: CommandNames) -> None:
        """Put the remedy into the words of what shows it."""
        if isinstance(self.remedy, Wording):
            self.remedy = self.remedy.for_interface(interface, command_names)

    def to_json(self, prefix: str = SERVICE_PREFIX) -> dict[str, Any]:
        """Return the problem document as a JSON object (RFC 9457, 3.1).

        Parameters
        ----------
        prefix : str
            Path of the service below the hub: ``type`` resolves to the documentation there.
        """
        out: dict[str, Any] = {
            **self.extensions,
            "type": f"{prefix}{TYPE_PATH}{self.slug}",
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


class TextTooLong(BadInput):
    """A text that people read, such as a reason, has more characters than are stored."""

    slug, title, status = "text-too-long", "The text is too long", 422


class TooLarge(Problem):
    """A limit on size, depth or count is exceeded."""

    slug, title, status = "too-large", "The request is too large", 413


class CommandSyntaxError(Problem):
    """A command line that cannot be parsed."""

    slug, title, status = "command-syntax", "The command is not valid", 400


class UnknownCommand(Problem):
    """A command that is not in the catalog."""

    slug, title, status = "unknown-command", "Unknown command", 400


class NotAuthenticated(Problem):
    """No credential, or one that is invalid, expired, revoked, or of a type that the endpoint does not accept.

    Attributes
    ----------
    challenge : str or None
        Value of ``WWW-Authenticate``, where it does not follow from the endpoint (RFC 9110, 11.6.1).
    """

    slug, title, status = "not-authenticated", "The credential was not accepted", 401
    challenge: str | None = None


class Denied(Problem):
    """The decision engine denied the request."""

    slug, title, status = "denied", "Not allowed", 403


class ProjectRequired(Problem):
    """A project command without a project."""

    slug, title, status = "project-required", "A project is needed for this", 403


class Escalation(Problem):
    """A grant or change of more rights than the actor has; the missing rights are listed."""

    slug, title, status = "escalation", "You cannot give more than you have", 403


class NotFound(Problem):
    """The object does not exist, or the actor may not see it (R72)."""

    slug, title, status = "not-found", "Not found", 404


class Conflict(Problem):
    """The change conflicts with the current state: the object exists already, is in use, is the last holder."""

    slug, title, status = "conflict", "This conflicts with the current state", 409


class LastHolder(Conflict):
    """The change would remove the last holder of a protected role, such as AIZEN_ADMIN (R69)."""

    slug, title, status = "last-holder", "The last holder of this role cannot be removed", 409


class LimitReached(Conflict):
    """A limit on projects, jobs, memory or CPU is reached."""

    slug, title, status = "limit-reached", "A limit is reached", 409


class Stale(Problem):
    """``If-Match`` does not name the current version (RFC 9110, 13.1.1)."""

    slug, title, status = "stale", "This was changed in the meantime", 412


class TooManyRequests(Problem):
    """A rate or concurrency limit is exceeded (R123, R125)."""

    slug, title, status = "too-many", "Too many requests", 429


class CoreFailed(Problem):
    """The core is not configured, does not respond, or sends an invalid response."""

    slug, title, status = "core-failed", "The core did not execute this", 502


class Unavailable(Problem):
    """The store, a key or the audit is unavailable: the service is sealed, stalled or starting (R7, R79)."""

    slug, title, status = "unavailable", "The service cannot decide at the moment", 503

"""One allowed command for the core, exactly as it was decided (R82, R83)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

MAX_KEY_LENGTH = 255
"""Maximum length of a job key in the database; truncated here, so that a ``stop`` finds the stored key."""


@dataclass(frozen=True, slots=True)
class CoreCommand:
    """One allowed command on its way to the core.

    Attributes
    ----------
    id : str
        Id of the decision; the core uses it as idempotency key (R103).
    command : str
        Canonical text of the command.
    arguments : mapping of str to str or tuple of str
        The parsed arguments; the core never has to parse the text (R91).
    project : str or None
        The project for which it was decided.
    files : mapping of str to str
        Contents of the files named by ``config=`` arguments, by name.
    job : str or None
        Whether the command starts or stops a job, from its catalog entry.
    """

    id: str
    command: str
    verb: str
    noun: str
    arguments: Mapping[str, str | tuple[str, ...]]
    user: str
    project: str | None
    session: str | None = None
    job: Literal["starts", "stops"] | None = None
    files: Mapping[str, str] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Noun and name, e.g. ``training churn``, by which a ``stop`` finds the job of a ``start``."""
        name = self.arguments.get("name", "")
        return f"{self.noun} {name}".rstrip()[:MAX_KEY_LENGTH] if isinstance(name, str) else self.noun

    def body(self) -> bytes:
        """Return the request body; the decision token contains its SHA-256, so exactly these bytes must be sent."""
        arguments = {key: list(value) if isinstance(value, tuple) else value for key, value in self.arguments.items()}
        content: dict[str, object] = {
            "id": self.id,
            "command": self.command,
            "verb": self.verb,
            "noun": self.noun,
            "arguments": arguments,
            "user": self.user,
            "project": self.project,
        }
        if self.files:
            content["files"] = dict(self.files)
        return json.dumps(content, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()

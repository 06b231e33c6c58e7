"""What the core is asked to carry out: one allowed command, exactly as it was decided (R82, R83)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

MAX_KEY = 255
"""What the table of jobs keeps of a key; cut here, so that a ``stop`` looks for what was kept."""


@dataclass(frozen=True, slots=True)
class Order:
    """One allowed command on its way to the core.

    Attributes
    ----------
    id : str
        The decision's id; the core uses it as its idempotency key (R103).
    command : str
        Canonical text of the command.
    arguments : mapping of str to str or tuple of str
        As parsed; the core gets these and never has to read the text (R91).
    project : str or None
        The project it was decided in.
    files : mapping of str to str
        Content of the files that ``config=`` arguments name.
    job : str or None
        Whether the command ``starts`` or ``stops`` a job, from its catalog entry.
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
        """Noun and name, e.g. ``training churn``: by this a ``stop`` finds the job that a ``start`` began."""
        name = self.arguments.get("name", "")
        return f"{self.noun} {name}".rstrip()[:MAX_KEY] if isinstance(name, str) else self.noun

    def body(self) -> bytes:
        """Return the request body; its SHA-256 stands in the decision token, so these bytes are sent and no others."""
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

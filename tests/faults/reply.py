"""An answer of a service, as a client saw it."""

from __future__ import annotations

import http.client
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Reply:
    """An answer, or why there is none: ``down`` (nobody listens: nothing was sent), ``lost`` or ``hung``."""

    status: int | None
    body: Any = None
    why: str | None = None
    replayed: bool = False
    cut: bool = False
    """Whether a connection ended before the answer, at the first attempt or at a later one."""
    longest_ns: int = 0
    turned_away: tuple[tuple[int, int], ...] = ()
    """From when to when it was waited for each 503."""
    nobody: tuple[int, ...] = ()
    """When nobody listened."""

    @property
    def seen(self) -> dict[str, Any]:
        return {
            "status": self.status,
            "replayed": self.replayed,
            "cut": self.cut,
            "longest_ns": self.longest_ns,
            **self.troubles,
        }

    @property
    def troubles(self) -> dict[str, Any]:
        return {
            name: [list(one) if isinstance(one, tuple) else one for one in some]
            for name, some in (("turned_away", self.turned_away), ("nobody", self.nobody))
            if some
        }

    @property
    def silent(self) -> bool:
        return self.status is None or self.status >= http.client.INTERNAL_SERVER_ERROR

    def result(self, done: str = "done") -> str:
        if self.status is None:
            return self.why or "lost"
        if self.status < http.client.MULTIPLE_CHOICES:
            return done
        if self.status == http.client.SERVICE_UNAVAILABLE:
            return "unavailable"
        return "refused" if self.status < http.client.INTERNAL_SERVER_ERROR else "broken"

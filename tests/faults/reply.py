"""An answer of a service, as a client saw it."""

from __future__ import annotations

import http.client
from dataclasses import dataclass
from typing import Any

TOO_SLOW = frozenset(
    {
        "the store is too slow to decide on its current state",
        "the service is too slow to decide on the current state",
    }
)
"""What a service says that gets no processor for a quarter of a second, several times in a row (R48)."""


@dataclass(frozen=True)
class Reply:
    """An answer, or why there is none: ``down`` (not listening: nothing was sent), ``lost`` or ``hung``."""

    status: int | None
    body: Any = None
    failure: str | None = None
    replayed: bool = False
    cut: bool = False
    """Whether a connection ended before the answer, at the first attempt or at a later one."""
    longest_ns: int = 0
    unavailable: tuple[tuple[int, int, str], ...] = ()
    """Start and end of the wait for each 503, and its detail."""
    not_listening: tuple[int, ...] = ()
    """The times at which the service was not listening."""

    @property
    def observed(self) -> dict[str, Any]:
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
            for name, some in (("unavailable", self.unavailable), ("not_listening", self.not_listening))
            if some
        }

    @property
    def is_inconclusive(self) -> bool:
        return self.status is None or self.status >= http.client.INTERNAL_SERVER_ERROR

    def result(self, done: str = "done") -> str:
        if self.status is None:
            return self.failure or "lost"
        if self.status < http.client.MULTIPLE_CHOICES:
            return done
        if self.status == http.client.SERVICE_UNAVAILABLE:
            return "unavailable"
        return "refused" if self.status < http.client.INTERNAL_SERVER_ERROR else "broken"

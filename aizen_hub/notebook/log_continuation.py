"""The log of a job that is followed in several pieces."""

from __future__ import annotations

_MAX_REPEATED = 40
"""Lines that the service repeats to those who attach."""
_MAX_KEPT = 1_000


class LogContinuation:
    """Leaves out the lines that are repeated where the last piece ended.

    A line that may be a repeated one is held back until it is clear that it is not.
    """

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._held: list[str] | None = None

    def attach(self) -> None:
        """Begin a piece, with lines that are repeated unless it is the first."""
        self._held = [] if self._lines else None

    def add(self, line: str) -> list[str]:
        """Return the lines that are new, now that this one has come."""
        if self._held is None:
            return self._keep([line])
        self._held.append(line)
        length = len(self._held)
        starts = range(max(0, len(self._lines) - _MAX_REPEATED), len(self._lines) - length + 1)
        if any(self._lines[start : start + length] == self._held for start in starts):
            return []
        return self.release()

    def release(self) -> list[str]:
        """Return the lines that were held back and are new, since no repeated ones follow."""
        held, self._held = self._held or [], None
        longest = min(len(held), len(self._lines))
        repeated = next(
            count for count in range(longest, -1, -1) if self._lines[len(self._lines) - count :] == held[:count]
        )
        return self._keep(held[repeated:])

    def _keep(self, lines: list[str]) -> list[str]:
        self._lines = [*self._lines, *lines][-_MAX_KEPT:]
        return lines

"""QR codes as the path of an inline SVG: no image file, and no style that the content security policy refuses."""

from __future__ import annotations

from dataclasses import dataclass

import segno

_QUIET_ZONE = 4
"""Modules around the code that stay light (ISO/IEC 18004)."""


@dataclass(frozen=True, slots=True)
class QrCode:
    """A code to draw.

    Attributes
    ----------
    size : int
        Modules of one side, with the quiet zone: the ``viewBox``.
    path : str
        The dark modules, each a square of one unit; runs in a row are one rectangle.
    """

    size: int
    path: str

    @classmethod
    def of_text(cls, text: str) -> QrCode:
        """Return the code of a text, which may lose 15 % of its area."""
        rows = list(segno.make(text, error="m", micro=False).matrix_iter(border=_QUIET_ZONE))
        parts = [
            f"M{start} {y}h{length}v1h-{length}z" for y, row in enumerate(rows) for start, length in _runs(bytes(row))
        ]
        return cls(len(rows), "".join(parts))


def _runs(row: bytes) -> list[tuple[int, int]]:
    """Return start and length of the runs of dark modules."""
    runs: list[tuple[int, int]] = []
    for x, is_dark in enumerate(row):
        if is_dark and runs and sum(runs[-1]) == x:
            runs[-1] = (runs[-1][0], runs[-1][1] + 1)
        elif is_dark:
            runs.append((x, 1))
    return runs

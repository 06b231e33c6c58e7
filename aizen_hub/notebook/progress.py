"""Progress display of a running command, updated in place."""

from __future__ import annotations

import html
import sys
import time
from collections import deque
from typing import Any

from IPython.display import display

from aizen_hub.notebook.display import MIME, escape_unprintable

_MIN_REDRAW_SECONDS = 0.2
_MAX_LOG = 1_000
_MAX_SHOWN_LOG = 3
_WIDTH = 30


class ProgressDisplay:
    """Shows fraction, message and the latest log lines of a running command.

    Parameters
    ----------
    command : str
        Canonical text of the command.
    rich : bool
        Whether the front end can update a display in place; a terminal gets one line that is overwritten.
    """

    def __init__(self, command: str, *, rich: bool = True) -> None:
        self.command, self._rich = command, rich
        self.fraction: float | None = None
        self.message = ""
        self.state = "running"
        self.log: deque[str] = deque(maxlen=_MAX_LOG)
        self._handle: Any = None
        self._drawn_at = 0.0

    def update(self, event: dict[str, Any]) -> None:
        """Apply one event of the stream and redraw, at most a few times per second."""
        if event.get("event") == "progress":
            fraction = event.get("fraction")
            is_number = isinstance(fraction, int | float) and not isinstance(fraction, bool)
            self.fraction = min(1.0, max(0.0, float(fraction))) if is_number else None  # type: ignore[arg-type]
            self.message = str(event.get("message") or "")
        elif event.get("event") == "log":
            self.log.append(str(event.get("line") or ""))
        else:
            return
        if time.monotonic() - self._drawn_at >= _MIN_REDRAW_SECONDS:
            self._draw()

    def finish(self, state: str) -> None:
        """Draw the final state; nothing is drawn if there was no progress."""
        self.state = state
        if state == "done" and self.fraction is not None:
            self.fraction = 1.0
        if self._drawn_at:
            self._draw()
            if not self._rich:
                sys.stdout.write("\n")

    def _draw(self) -> None:
        self._drawn_at = time.monotonic()
        if not self._rich:
            sys.stdout.write("\r" + self.text()[:120].ljust(120))
            sys.stdout.flush()
        elif self._handle is None:
            self._handle = display(self, display_id=True)
        else:
            self._handle.update(self)

    def text(self) -> str:
        filled = int(_WIDTH * (self.fraction or 0))
        percentage = "" if self.fraction is None else f" {self.fraction:4.0%}"
        bar = f"[{'#' * filled}{'.' * (_WIDTH - filled)}]{percentage}"
        state = "" if self.state == "running" else f" {self.state}"
        return escape_unprintable(f"{self.command} {bar}{state} {self.message}".rstrip())

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        return {"text/plain": self.text(), "text/html": self._html(), MIME: self._json()}

    def _html(self) -> str:
        colour = {"running": "brand", "done": "success"}.get(self.state, "error")
        width = 100 if self.fraction is None and self.state != "running" else 100 * (self.fraction or 0)
        lines = "".join(
            f"<div>{html.escape(escape_unprintable(line))}</div>" for line in list(self.log)[-_MAX_SHOWN_LOG:]
        )
        state = "" if self.state == "running" else f" · {html.escape(escape_unprintable(self.state))}"
        return (
            '<div style="font-family:var(--jp-ui-font-family);font-size:var(--jp-ui-font-size1);'
            'color:var(--jp-ui-font-color1);max-width:40em">'
            f"<div>{html.escape(escape_unprintable(self.command))}{state}</div>"
            '<div style="background:var(--jp-border-color2);height:8px;border-radius:4px;overflow:hidden">'
            f'<div style="background:var(--jp-{colour}-color1);height:8px;width:{width:.1f}%"></div></div>'
            f'<div style="color:var(--jp-ui-font-color2)">{html.escape(escape_unprintable(self.message))}</div>'
            f'<div style="color:var(--jp-ui-font-color2);font-family:var(--jp-code-font-family)">{lines}</div></div>'
        )

    def _json(self) -> dict[str, Any]:
        return {
            "type": "progress",
            "command": self.command,
            "state": self.state,
            "fraction": self.fraction,
            "message": self.message,
        }

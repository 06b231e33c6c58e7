"""Progress display of a running command, updated in place; it says when it stands still."""

from __future__ import annotations

import contextvars
import sys
import threading
import time
from collections import deque
from typing import Any

from IPython.display import display

from aizen_hub.notebook.display.renderable import MIME
from aizen_hub.notebook.display.text import FAINT, FONT, escape_html, escape_unprintable, prose_html

JOB_MIME = "application/vnd.aizen.job+json"
SHORT_ID = 8
"""So many characters of the end of an id are shown."""
WAITING_SECONDS = 3.0
"""After this time without news a line says what is being waited for."""
HEARTBEAT_SECONDS = 8.0
"""A display of a running command is drawn at least so often, so that one that is older is known to stand still."""
_STALE_SECONDS = 20
LOST, LEFT_RUNNING = "lost", "left running"
_GOES_ON = frozenset({"running", LOST, LEFT_RUNNING})
_MIN_REDRAW_SECONDS = 0.2
_MAX_LOG = 1_000
_MAX_SHOWN_LOG = 3
_WIDTH = 30
# The animation begins with each update and after a reload of the page, whose outputs no kernel updates any more.
_STALE_STYLE = "<style>@keyframes aizen-stale{from{visibility:hidden}to{visibility:visible}}</style>"


class ProgressDisplay:
    """Shows fraction, message and the latest log lines of a running command; a context manager.

    While the context is open, a thread draws it if nothing else does: what is being waited for after `WAITING_SECONDS`,
    and the same state again after `HEARTBEAT_SECONDS`.

    Parameters
    ----------
    command : str
        Canonical text of the command.
    rich : bool
        Whether the front end can update a display in place; a terminal gets one line that is overwritten.

    Attributes
    ----------
    job_id : str or None
        Once it is known: with it the display says how to attach.
    waiting_for : str
        What a line says after `WAITING_SECONDS` without news.
    """

    def __init__(self, command: str, *, rich: bool = True) -> None:
        self.command, self.rich = command, rich
        self.job_id: str | None = None
        self.waiting_for = ""
        self.fraction: float | None = None
        self.message = ""
        self.state = "running"
        self.log: deque[str] = deque(maxlen=_MAX_LOG)
        self._handle: Any = None
        self._drawn_at = 0.0
        self._news_at = time.monotonic()
        self._lock, self._closed = threading.RLock(), threading.Event()

    def __enter__(self) -> ProgressDisplay:
        self._news_at = time.monotonic()
        # In the context of the cell: the front end must know to which cell the output belongs.
        run = contextvars.copy_context().run
        threading.Thread(target=run, args=(self._draw_in_time,), name="aizen progress", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        # With the lock: a drawing that has begun comes before the output of the cell, not after it.
        with self._lock:
            self._closed.set()

    def update(self, event: dict[str, Any]) -> None:
        """Apply one event of the stream and redraw, at most a few times per second."""
        with self._lock:
            self._news_at = time.monotonic()
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
        self._closed.set()
        with self._lock:
            self.state = state
            if state == "done" and self.fraction is not None:
                self.fraction = 1.0
            if self._drawn_at:
                self._draw()
                if not self.rich:
                    sys.stdout.write("\n")

    def _draw_in_time(self) -> None:
        while not self._closed.wait(0.5):
            with self._lock:
                now = time.monotonic()
                is_waiting = now - self._news_at >= WAITING_SECONDS
                if self._closed.is_set():
                    return
                if (not self._drawn_at and is_waiting) or (self._drawn_at and now - self._drawn_at > HEARTBEAT_SECONDS):
                    self._draw()

    def _draw(self) -> None:
        self._drawn_at = time.monotonic()
        if not self.rich:
            sys.stdout.write("\r" + self.text()[:120].ljust(120))
            sys.stdout.flush()
        elif self._handle is None:
            self._handle = display(self, display_id=True)
        else:
            self._handle.update(self)

    @property
    def _shown_message(self) -> str:
        seconds = time.monotonic() - self._news_at
        if self.state != "running" or seconds < WAITING_SECONDS or not self.waiting_for:
            return self.message
        return f"{self.message} — {self.waiting_for}".removeprefix(" — ")

    def text(self) -> str:
        filled = int(_WIDTH * (self.fraction or 0))
        percentage = "" if self.fraction is None else f" {self.fraction:4.0%}"
        bar = f"[{'#' * filled}{'.' * (_WIDTH - filled)}]{percentage}"
        state = "" if self.state == "running" else f" {self.state}"
        id = f" {self.job_id[-SHORT_ID:]}" if self.job_id else ""
        return escape_unprintable(f"{self.command}{id} {bar}{state} {self._shown_message}".rstrip())

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        bundle = {"text/plain": self.text(), "text/html": self._html(), MIME: self._json()}
        return bundle if self.job_id is None else bundle | {JOB_MIME: self._job_json()}

    def _html(self) -> str:
        colour = {"running": "brand", "done": "success"}.get(self.state, "error")
        width = 100 if self.fraction is None and self.state != "running" else 100 * (self.fraction or 0)
        lines = "".join(f"<div>{escape_html(line)}</div>" for line in list(self.log)[-_MAX_SHOWN_LOG:])
        state = "" if self.state == "running" else f" · {escape_html(self.state)}"
        id = "" if self.job_id is None else f' <span style="{FAINT}">{escape_html(self.job_id[-SHORT_ID:])}</span>'
        return (
            f'<div style="{FONT};max-width:40em"><div>{escape_html(self.command)}{id}{state}</div>'
            '<div style="background:var(--jp-border-color2);height:8px;border-radius:4px;overflow:hidden">'
            f'<div style="background:var(--jp-{colour}-color1);height:8px;width:{width:.1f}%"></div></div>'
            f'<div style="{FAINT}">{prose_html(self._shown_message)}</div>'
            f'<div style="{FAINT};font-family:var(--jp-code-font-family)">{lines}</div>{self._stale_html()}</div>'
        )

    def _stale_html(self) -> str:
        if self.state not in _GOES_ON or self.job_id is None:
            return ""
        hint = prose_html(f"Not moving? The job goes on; `%aizen attach {self.job_id[-SHORT_ID:]}` shows it again.")
        if self.state != "running":
            return f'<div style="{FAINT}">{hint}</div>'
        return f'{_STALE_STYLE}<div style="{FAINT};animation:aizen-stale 0s {_STALE_SECONDS}s both">{hint}</div>'

    def _json(self) -> dict[str, Any]:
        return {
            "type": "progress",
            "id": self.job_id,
            "command": self.command,
            "state": self.state,
            "fraction": self.fraction,
            "message": self.message,
        }

    def _job_json(self) -> dict[str, Any]:
        return {
            "job_id": self.job_id,
            "line": self.command,
            # A command that the cell does not follow any more goes on.
            "state": "running" if self.state in _GOES_ON else self.state,
            "percent": None if self.fraction is None else round(100 * self.fraction, 1),
            "message": self._shown_message,
            "log": list(self.log)[-_MAX_SHOWN_LOG:],
        }

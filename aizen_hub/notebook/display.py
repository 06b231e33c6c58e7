"""Output of commands: results, refusals and notices, rendered as text, as HTML without scripts, and as JSON."""

from __future__ import annotations

import html
import importlib
import json
import os
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

MIME = "application/vnd.aizen.result+json"
MAX_ROWS = 200
_MAX_CELL = 300
_TIMESTAMP = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.\d+)?(?:Z|\+00:00)", re.ASCII)
_FONT = "font-family:var(--jp-ui-font-family);font-size:var(--jp-ui-font-size1);color:var(--jp-ui-font-color1)"
_CELL = "border-bottom:1px solid var(--jp-border-color2);padding:2px 10px 2px 0;text-align:left;vertical-align:top"
_FAINT = "color:var(--jp-ui-font-color2);font-size:var(--jp-ui-font-size0)"
_ROLE_WOULD_ALLOW = frozenset({"no-assignment", "not-yet", "expired"})


class Renderable:
    """Base of all output; IPython displays the richest representation that the front end supports."""

    def text(self) -> str:
        raise NotImplementedError

    def html(self) -> str:
        raise NotImplementedError

    def to_json(self) -> dict[str, Any]:
        raise NotImplementedError

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        return {"text/plain": self.text(), "text/html": self.html(), MIME: self.to_json()}

    def __repr__(self) -> str:
        return self.text()


class CommandResult(Renderable):
    """The result of a command that was executed.

    Attributes
    ----------
    id : str or None
        The id of the decision in the audit.
    command : str
        Canonical text of the command.
    state : str
        ``done``, ``failed``, ``stopped`` or ``unknown``.
    message : str
    columns, rows : tuple
        The table, if there is one.
    data : dict
        The result for programs.
    log : tuple of str
        Log lines of the running command.
    """

    def __init__(
        self,
        content: Mapping[str, Any] | None,
        *,
        id: str | None = None,
        command: str = "",
        state: str = "done",
        message: str = "",
        log: Sequence[str] = (),
    ) -> None:
        content = content if isinstance(content, Mapping) else {}
        self.id, self.command, self.state, self.log = id, command, state, tuple(log)
        self.message = str(content.get("message") or message or "")
        self.columns = tuple(map(str, _list(content.get("columns"))))
        self.rows = tuple(tuple(_list(row)) for row in _list(content.get("rows")))
        data = content.get("data")
        self.data: dict[str, Any] = dict(data) if isinstance(data, Mapping) else {}
        self._is_object = content.get("kind") == "object"

    @property
    def ok(self) -> bool:
        return self.state == "done"

    @property
    def records(self) -> list[dict[str, Any]]:
        """The table as one dictionary per row."""
        return [dict(zip(self.columns, row, strict=False)) for row in self.rows]

    @property
    def df(self) -> Any:
        """The table as a pandas data frame; raises ImportError if pandas, which is optional, is not installed."""
        frame = importlib.import_module("pandas").DataFrame
        return frame(list(self.rows), columns=list(self.columns))

    def _heading(self) -> str:
        if self.ok:
            return self.message
        return f"{self.state}: {self.message}" if self.message else self.state

    def text(self) -> str:
        parts = [escape_unprintable(self._heading())] if self._heading() else []
        if self.columns and (self.rows or not parts):
            parts.append(text_table(self.columns, self.rows))
        elif self._is_object:
            parts.append(json.dumps(self.data, indent=2, default=str))
        return "\n".join(parts) or "done"

    def html(self) -> str:
        colour = "" if self.ok else ";color:var(--jp-error-color1)"
        parts = [f'<div style="{_FONT}{colour}">{_escape(self._heading())}</div>'] if self._heading() else []
        if self.columns and (self.rows or not parts):
            parts.append(html_table(self.columns, self.rows))
        elif self._is_object:
            parts.append(f"<pre>{html.escape(json.dumps(self.data, indent=2, default=str))}</pre>")
        return "".join(parts) or f'<div style="{_FONT}">done</div>'

    def to_json(self) -> dict[str, Any]:
        return {
            "type": "result",
            "id": self.id,
            "command": self.command,
            "state": self.state,
            "message": self.message,
            "columns": list(self.columns),
            "rows": [list(row) for row in self.rows],
            "data": self.data,
        }


class Notice(Renderable):
    """A message of the notebook extension itself, without a decision of the service."""

    def __init__(self, sentence: str, hint: str = "") -> None:
        self.sentence, self.hint = sentence, hint

    def text(self) -> str:
        return escape_unprintable(f"{self.sentence}\n{self.hint}".rstrip(), keep_lines=True)

    def html(self) -> str:
        hint = f'<div style="{_FAINT}">{_escape(self.hint, keep_lines=True)}</div>' if self.hint else ""
        return (
            f'<div style="{_FONT};border-left:4px solid var(--jp-warn-color1);padding:4px 10px">'
            f"{_escape(self.sentence)}{hint}</div>"
        )

    def to_json(self) -> dict[str, Any]:
        return {"type": "notice", "message": self.sentence, "hint": self.hint}


class Refusal(Renderable):
    """A command that was refused, with the reason and what the user can do.

    Attributes
    ----------
    document : dict
        The problem document of the service (RFC 9457).
    id, reason, role : str or None
        The id of the decision, the kind of its reason, and the role that would allow the command, if there is one.
    sentence : str
    who_can_grant : tuple of str
    """

    def __init__(self, document: Mapping[str, Any], command: str = "") -> None:
        self.document, self.command = dict(document), command
        decision = document.get("decision")
        self.decision: dict[str, Any] = dict(decision) if isinstance(decision, Mapping) else {}
        self.id = self.decision.get("id")
        # The decision of a command that was allowed but failed is not the reason of the refusal.
        denial = self.decision if self.is_denial else {}
        self.reason = denial.get("reason")
        self.role = denial.get("role") if self.reason in _ROLE_WOULD_ALLOW else None
        self.title = str(document.get("title") or "Not executed")
        self.sentence = str(denial.get("sentence") or document.get("detail") or "")
        self.who_can_grant = tuple(map(str, _list(document.get("who_can_grant"))))

    @property
    def is_denial(self) -> bool:
        return self.decision.get("allowed") is False

    def help_lines(self) -> Iterable[tuple[str, str]]:
        """Yield details and what the user can do, as label and text."""
        if self.command:
            yield "command", self.command
        if self.role:
            yield "allowed with role", str(self.role)
        if self.who_can_grant:
            yield "who can grant it", ", ".join(self.who_can_grant)
        if self.role and self.who_can_grant:
            scope = self.document.get("scope")
            in_scope = f" in {scope}" if isinstance(scope, str) and scope != "system" else ""
            user_name = os.environ.get("JUPYTERHUB_USER") or "<your name>"
            yield "request it", f"%aizen ask {self.role}{in_scope}"
            yield "or", f"one of them runs{in_scope}: grant role {self.role} to {user_name}"
        elif remedy := self.document.get("remedy"):
            yield "what you can do", str(remedy)
        if suggestion := self.document.get("suggestion"):
            yield "did you mean", str(suggestion)
        for fault in _list(self.document.get("errors")):
            if isinstance(fault, Mapping) and (fault.get("detail") != self.sentence or fault.get("allowed")):
                allowed = f" (allowed: {', '.join(map(str, fault['allowed']))})" if fault.get("allowed") else ""
                yield str(fault.get("pointer") or "input"), f"{fault.get('detail', '')}{allowed}"
        if why := self.document.get("why"):
            yield "why", str(why)
        if self.id:
            yield "decision", str(self.id)

    def text(self) -> str:
        heading = f"{self.title}: {self.sentence}" if self.sentence else self.title
        return "\n".join(
            [
                escape_unprintable(heading),
                *(f"  {escape_unprintable(label)}: {escape_unprintable(value)}" for label, value in self.help_lines()),
            ]
        )

    def html(self) -> str:
        rows = "".join(
            f'<tr><td style="{_FAINT};{_CELL}">{_escape(label)}</td><td style="{_CELL}">'
            f"{_link(value) if label == 'why' else _escape(value)}</td></tr>"
            for label, value in self.help_lines()
        )
        return (
            f'<div style="{_FONT};border-left:4px solid var(--jp-error-color1);padding:4px 10px">'
            f"<b>{_escape(self.title)}</b><div>{_escape(self.sentence)}</div><table>{rows}</table></div>"
        )

    def to_json(self) -> dict[str, Any]:
        # The problem document has its own `type`.
        problem = {"problem" if key == "type" else key: value for key, value in self.document.items()}
        return {**problem, "type": "refusal", "command": self.command}


def _link(address: str) -> str:
    """Return a link to a page of the panel; any other text stays text."""
    if not address.startswith(("/", "https://", "http://")):
        return _escape(address)
    return f'<a href="{_escape(address)}" target="_blank" rel="noopener">{_escape(address)}</a>'


def text_table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Return a table as text, at most as wide as the terminal."""
    cells = [[format_cell(value) for value in row] for row in rows[:MAX_ROWS]]
    header = [escape_unprintable(column) for column in columns]
    widths = [max([len(header[at]), *(len(row[at]) for row in cells if at < len(row))]) for at in range(len(header))]
    available = max(40, shutil.get_terminal_size((160, 24)).columns) - 2 * len(header)
    while sum(widths) > available and max(widths) > 8:
        widths[widths.index(max(widths))] -= 1

    def line(values: Sequence[str]) -> str:
        clipped = (
            value if len(value) <= width else value[: width - 1] + "…"
            for value, width in zip(values, widths, strict=False)
        )
        return "  ".join(value.ljust(width) for value, width in zip(clipped, widths, strict=False)).rstrip()

    out = [line(header), line(["-" * width for width in widths]), *map(line, cells)]
    return "\n".join(out + _overflow_lines(rows))


def html_table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Return a table as HTML in the colours of the front end; every value is escaped."""
    header = "".join(f'<th style="{_CELL}">{_escape(column)}</th>' for column in columns)
    body = "".join(
        "<tr>" + "".join(f'<td style="{_CELL}">{html.escape(format_cell(value))}</td>' for value in row) + "</tr>"
        for row in rows[:MAX_ROWS]
    )
    overflow = "".join(f'<div style="{_FAINT}">{html.escape(line)}</div>' for line in _overflow_lines(rows))
    style = f"{_FONT};border-collapse:collapse"
    return f'<table style="{style}"><thead><tr>{header}</tr></thead><tbody>{body}</tbody></table>{overflow}'


def format_cell(value: Any) -> str:
    """Return one value of a table as one printable line; `CommandResult.rows` has the original value."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return escape_unprintable(", ".join(format_cell(item) for item in value))[:_MAX_CELL]
    if isinstance(value, Mapping):
        return escape_unprintable(", ".join(f"{name}: {format_cell(item)}" for name, item in value.items()))[:_MAX_CELL]
    text = str(value)[:_MAX_CELL]
    timestamp = _TIMESTAMP.fullmatch(text)
    return f"{timestamp[1]} {timestamp[2]} UTC" if timestamp else escape_unprintable(text)[:_MAX_CELL]


def escape_unprintable(text: str, *, keep_lines: bool = False) -> str:
    """Escape unprintable characters, such as terminal control codes and bidirectional overrides."""
    return "".join(
        char
        if char.isprintable() or (keep_lines and char == "\n")
        else char.encode("unicode_escape", "backslashreplace").decode()
        for char in text
    )


def _escape(text: str, *, keep_lines: bool = False) -> str:
    return html.escape(escape_unprintable(text, keep_lines=keep_lines)).replace("\n", "<br>")


def _list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else []


def _overflow_lines(rows: Sequence[Any]) -> list[str]:
    if not rows:
        return ["(no rows)"]
    return [f"… and {len(rows) - MAX_ROWS} more rows (all are in `.rows`)"] if len(rows) > MAX_ROWS else []

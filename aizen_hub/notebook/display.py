"""What a command shows: results, refusals and notices, as text, as HTML without any script, and as JSON."""

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
_MOMENT = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.\d+)?(?:Z|\+00:00)", re.ASCII)
_FONT = "font-family:var(--jp-ui-font-family);font-size:var(--jp-ui-font-size1);color:var(--jp-ui-font-color1)"
_EDGE = "border-bottom:1px solid var(--jp-border-color2);padding:2px 10px 2px 0;text-align:left;vertical-align:top"
_FAINT = "color:var(--jp-ui-font-color2);font-size:var(--jp-ui-font-size0)"
_A_ROLE_HELPS = frozenset({"no-assignment", "not-yet", "expired"})


class Shown:
    """Base: something that IPython displays in the richest way that its front end knows."""

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


class Result(Shown):
    """The answer of a command that was carried out.

    Attributes
    ----------
    id : str or None
        The decision's id, as it stands in the audit.
    command : str
        Canonical text of the command.
    state : str
        ``done``, ``failed``, ``stopped`` or ``unknown``.
    message : str
    columns, rows : tuple
        The table, if there is one.
    data : dict
        The same for programs.
    log : tuple of str
        Log lines that came while it ran.
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
        """The table as a pandas data frame; ImportError where pandas is not installed, which we do not ask for."""
        frame = importlib.import_module("pandas").DataFrame
        return frame(list(self.rows), columns=list(self.columns))

    def _heading(self) -> str:
        if self.ok:
            return self.message
        return f"{self.state}: {self.message}" if self.message else self.state

    def text(self) -> str:
        parts = [clean(self._heading())] if self._heading() else []
        if self.columns and (self.rows or not parts):
            parts.append(text_table(self.columns, self.rows))
        elif self._is_object:
            parts.append(json.dumps(self.data, indent=2, default=str))
        return "\n".join(parts) or "done"

    def html(self) -> str:
        colour = "" if self.ok else ";color:var(--jp-error-color1)"
        parts = [f'<div style="{_FONT}{colour}">{_escaped(self._heading())}</div>'] if self._heading() else []
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


class Notice(Shown):
    """A sentence from the notebook side itself: nothing was decided."""

    def __init__(self, sentence: str, hint: str = "") -> None:
        self.sentence, self.hint = sentence, hint

    def text(self) -> str:
        return clean(f"{self.sentence}\n{self.hint}".rstrip(), keep_lines=True)

    def html(self) -> str:
        hint = f'<div style="{_FAINT}">{_escaped(self.hint, keep_lines=True)}</div>' if self.hint else ""
        return (
            f'<div style="{_FONT};border-left:4px solid var(--jp-warn-color1);padding:4px 10px">'
            f"{_escaped(self.sentence)}{hint}</div>"
        )

    def to_json(self) -> dict[str, Any]:
        return {"type": "notice", "message": self.sentence, "hint": self.hint}


class Refusal(Shown):
    """A command that was not carried out, and what would help.

    Attributes
    ----------
    document : dict
        The problem document of the service (RFC 9457).
    id, reason, role : str or None
        The decision's id, the class of its reason, and the role that would allow it, where a role would.
    sentence : str
    who_can_grant : tuple of str
    """

    def __init__(self, document: Mapping[str, Any], command: str = "") -> None:
        self.document, self.command = dict(document), command
        decision = document.get("decision")
        self.decision: dict[str, Any] = dict(decision) if isinstance(decision, Mapping) else {}
        self.id = self.decision.get("id")
        # What was allowed and failed all the same carries its decision too, but that is not why.
        why = self.decision if self.is_denial else {}
        self.reason = why.get("reason")
        self.role = why.get("role") if self.reason in _A_ROLE_HELPS else None
        self.title = str(document.get("title") or "Not carried out")
        self.sentence = str(why.get("sentence") or document.get("detail") or "")
        self.who_can_grant = tuple(map(str, _list(document.get("who_can_grant"))))

    @property
    def is_denial(self) -> bool:
        return self.decision.get("allowed") is False

    def lines(self) -> Iterable[tuple[str, str]]:
        """Yield what would help, as label and text."""
        if self.command:
            yield "command", self.command
        if self.role:
            yield "would be allowed with", str(self.role)
        if self.who_can_grant:
            yield "who can grant it", ", ".join(self.who_can_grant)
        if self.role and self.who_can_grant:
            scope = self.document.get("scope")
            where = f" in {scope}" if isinstance(scope, str) and scope != "system" else ""
            me = os.environ.get("JUPYTERHUB_USER") or "<your name>"
            yield "how to ask", f"%aizen ask {self.role}{where}"
            yield "or", f"one of them types{where}: grant role {self.role} to {me}"
        elif remedy := self.document.get("remedy"):
            yield "what helps", str(remedy)
        if suggestion := self.document.get("suggestion"):
            yield "did you mean", str(suggestion)
        for fault in _list(self.document.get("errors")):
            if isinstance(fault, Mapping) and (fault.get("detail") != self.sentence or fault.get("allowed")):
                allowed = f" (allowed: {', '.join(map(str, fault['allowed']))})" if fault.get("allowed") else ""
                yield str(fault.get("pointer") or "input"), f"{fault.get('detail', '')}{allowed}"
        if self.id:
            yield "decision", str(self.id)

    def text(self) -> str:
        head = f"{self.title}: {self.sentence}" if self.sentence else self.title
        return "\n".join([clean(head), *(f"  {clean(label)}: {clean(value)}" for label, value in self.lines())])

    def html(self) -> str:
        rows = "".join(
            f'<tr><td style="{_FAINT};{_EDGE}">{_escaped(label)}</td><td style="{_EDGE}">{_escaped(value)}</td></tr>'
            for label, value in self.lines()
        )
        return (
            f'<div style="{_FONT};border-left:4px solid var(--jp-error-color1);padding:4px 10px">'
            f"<b>{_escaped(self.title)}</b><div>{_escaped(self.sentence)}</div><table>{rows}</table></div>"
        )

    def to_json(self) -> dict[str, Any]:
        # The problem document has a `type` of its own.
        problem = {"problem" if key == "type" else key: value for key, value in self.document.items()}
        return {**problem, "type": "refusal", "command": self.command}


def text_table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Return a table for a terminal, as wide as it is at most."""
    shown = [[cell(value) for value in row] for row in rows[:MAX_ROWS]]
    head = [clean(column) for column in columns]
    widths = [max([len(head[at]), *(len(row[at]) for row in shown if at < len(row))]) for at in range(len(head))]
    room = max(40, shutil.get_terminal_size((160, 24)).columns) - 2 * len(head)
    while sum(widths) > room and max(widths) > 8:
        widths[widths.index(max(widths))] -= 1

    def line(values: Sequence[str]) -> str:
        cut = (
            value if len(value) <= width else value[: width - 1] + "…"
            for value, width in zip(values, widths, strict=False)
        )
        return "  ".join(value.ljust(width) for value, width in zip(cut, widths, strict=False)).rstrip()

    out = [line(head), line(["-" * width for width in widths]), *map(line, shown)]
    return "\n".join(out + _more(rows))


def html_table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Return a table in the colours of the front end; every value escaped."""
    head = "".join(f'<th style="{_EDGE}">{_escaped(column)}</th>' for column in columns)
    body = "".join(
        "<tr>" + "".join(f'<td style="{_EDGE}">{html.escape(cell(value))}</td>' for value in row) + "</tr>"
        for row in rows[:MAX_ROWS]
    )
    more = "".join(f'<div style="{_FAINT}">{html.escape(line)}</div>' for line in _more(rows))
    rules = f"{_FONT};border-collapse:collapse"
    return f'<table style="{rules}"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}'


def cell(value: Any) -> str:
    """Return one value of a table as one printable line; the value itself stays in `Result.rows`."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return clean(", ".join(cell(one) for one in value))[:_MAX_CELL]
    if isinstance(value, Mapping):
        return clean(", ".join(f"{name}: {cell(one)}" for name, one in value.items()))[:_MAX_CELL]
    text = str(value)[:_MAX_CELL]
    moment = _MOMENT.fullmatch(text)
    return f"{moment[1]} {moment[2]} UTC" if moment else clean(text)[:_MAX_CELL]


def clean(text: str, *, keep_lines: bool = False) -> str:
    """Return text that can neither move the cursor nor turn the direction of writing: such characters are spelt out."""
    return "".join(
        char
        if char.isprintable() or (keep_lines and char == "\n")
        else char.encode("unicode_escape", "backslashreplace").decode()
        for char in text
    )


def _escaped(text: str, *, keep_lines: bool = False) -> str:
    return html.escape(clean(text, keep_lines=keep_lines)).replace("\n", "<br>")


def _list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else []


def _more(rows: Sequence[Any]) -> list[str]:
    if not rows:
        return ["(nothing)"]
    return [f"… and {len(rows) - MAX_ROWS} more rows (all are in `.rows`)"] if len(rows) > MAX_ROWS else []

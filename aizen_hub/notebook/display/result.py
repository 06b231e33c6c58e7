"""The result of a command that was executed."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import Any

from aizen_hub.notebook.display.renderable import Renderable
from aizen_hub.notebook.display.tables import html_table, object_tables, text_table
from aizen_hub.notebook.display.text import FONT, escape_html, escape_unprintable, prose_html
from aizen_hub.notebook.errors import NoDataFrameError


class CommandResult(Renderable):
    """A message, a table or an object.

    Attributes
    ----------
    id : str or None
        The id of the decision in the audit; of a job that it started, too.
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
        self.id, self.command, self.state, self.log = id, command, state, tuple(log)
        self._set_content(content, message)

    def _set_content(self, content: Mapping[str, Any] | None, message: str) -> None:
        content = content if isinstance(content, Mapping) else {}
        self.message = str(content.get("message") or message or "")
        self.columns = tuple(map(str, as_list(content.get("columns"))))
        self.rows = tuple(tuple(as_list(row)) for row in as_list(content.get("rows")))
        data = content.get("data")
        self.data: dict[str, Any] = dict(data) if isinstance(data, Mapping) else {}
        self._is_object = content.get("kind") == "object"

    @property
    def ok(self) -> bool:
        return self.state == "done"

    @property
    def failed(self) -> bool:
        """Whether the lines after it, in a cell of commands, are not run."""
        return not self.ok

    @property
    def records(self) -> list[dict[str, Any]]:
        """The table as one dictionary per row; an object is one row."""
        if self._is_object:
            return [dict(self.data)]
        return [dict(zip(self.columns, row, strict=False)) for row in self.rows]

    @property
    def df(self) -> Any:
        """The table as a pandas data frame.

        Raises
        ------
        NoDataFrameError
            Pandas, which is optional, is not installed.
        """
        try:
            frame = importlib.import_module("pandas").DataFrame
        except ImportError:
            raise NoDataFrameError("`.df` needs pandas, which is not installed here; `.records` has the rows") from None
        return frame(self.records) if self._is_object else frame(list(self.rows), columns=list(self.columns))

    def _heading(self) -> str:
        if self.ok:
            return self.message
        return f"{self.state}: {self.message}" if self.message else self.state

    def text(self) -> str:
        parts = [escape_unprintable(self._heading())] if self._heading() else []
        if self.columns and (self.rows or not parts):
            parts.append(text_table(self.columns, self.rows))
        elif self._is_object:
            for heading, columns, rows in object_tables(self.data):
                parts += [f"\n{escape_unprintable(heading)}"] if heading else []
                parts.append(text_table(columns, rows))
        return "\n".join(parts) or "done"

    def html(self) -> str:
        colour = "" if self.ok else ";color:var(--jp-error-color1)"
        parts = [f'<div style="{FONT}{colour}">{prose_html(self._heading())}</div>'] if self._heading() else []
        if self.columns and (self.rows or not parts):
            parts.append(html_table(self.columns, self.rows))
        elif self._is_object:
            for heading, columns, rows in object_tables(self.data):
                parts += [f'<div style="{FONT};margin-top:8px"><b>{escape_html(heading)}</b></div>'] if heading else []
                parts.append(html_table(columns, rows))
        return "".join(parts) or f'<div style="{FONT}">done</div>'

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


def as_list(value: Any) -> list[Any]:
    """Return a list or tuple of a document as a list; an empty one for anything else."""
    return list(value) if isinstance(value, list | tuple) else []

"""What every change and list answers: a table, a sentence or an object."""

from __future__ import annotations

from typing import Any, Literal

from aizen_hub.service.http.schema import Open


class ResultView(Open):
    """As `aizen_hub.commands.result.Result`."""

    kind: Literal["table", "message", "object"]
    message: str
    revision: int | None
    data: dict[str, Any]
    columns: list[str] | None = None
    rows: list[list[Any]] | None = None

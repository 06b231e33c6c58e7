"""Schema of the result of every change and list: a table, a sentence or an object."""

from __future__ import annotations

from typing import Any, Literal

from aizen_hub.api_models.schema import ResponseModel


class ResultView(ResponseModel):
    """As `aizen_hub.commands.result.Result`."""

    kind: Literal["table", "message", "object"]
    message: str
    revision: int | None
    data: dict[str, Any]
    columns: list[str] | None = None
    rows: list[list[Any]] | None = None

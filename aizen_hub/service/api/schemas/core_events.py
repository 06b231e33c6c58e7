"""What the core reports."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from aizen_hub.service.http.schema import Open, Schema


class JobEvent(Schema):
    """The end of a job."""

    event: Literal["end"]
    state: Literal["done", "failed", "stopped"]
    message: Annotated[str, Field(max_length=2000)] = ""


class JobHeard(Open):
    recorded: bool

"""Schemas of the events that the core reports."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from aizen_hub.api_models.schema import ResponseModel, Schema


class JobEnd(Schema):
    """The end of a job."""

    event: Literal["end"]
    state: Literal["done", "failed", "stopped"]
    message: Annotated[str, Field(max_length=2000)] = ""


class JobEndRecorded(ResponseModel):
    recorded: bool

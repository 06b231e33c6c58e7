"""Reading people of a directory again: the service's request to ``/hub/api/aizen/read-people``, and the response."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from aizen_hub.api_models.schema import CompleteResponse, Name, ProviderName, Schema

MAX_PEOPLE = 10


class DirectoryPerson(Schema):
    """A person of a directory; ``name`` is a label for its log."""

    subject: Name
    name: Name


class DirectoryReadingRequest(Schema):
    """Whom to read; the hub reports each of them to the service as after a refresh."""

    provider: ProviderName
    people: Annotated[list[DirectoryPerson], Field(min_length=1, max_length=MAX_PEOPLE)]


class DirectoryReadingResponse(CompleteResponse):
    """What became of them.

    Attributes
    ----------
    read, gone : int
        Found; not known there any more.
    refused, unreported : list of str
        The names of those who were found and may not sign in, and of those whose report the service refused.
    stopped : str or None
        Why the others were not read: the directory does not answer, its settings have no account to search it, or the
        service did not answer or does not accept the hub.
    """

    read: int = Field(default=0, ge=0)
    gone: int = Field(default=0, ge=0)
    refused: list[Name] = Field(default_factory=list)
    unreported: list[Name] = Field(default_factory=list)
    stopped: Literal["unreachable", "no-lookup-account", "service-unavailable", "service-refused"] | None = None

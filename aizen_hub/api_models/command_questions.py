"""Questions of the requesting user about commands: may I, and what may I do."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from aizen_hub.api_models.schema import Name, ResponseModel, Schema

MAX_LINE = 8 << 10


class CommandQuestion(Schema):
    """A command line, or its words only; ``project`` instead of the session's."""

    line: Annotated[str, Field(min_length=1, max_length=MAX_LINE)]
    project: Name | None = None


class CommandAnswer(ResponseModel):
    """Whether a command would be allowed, as it would be decided now; nothing is carried out or recorded as a decision.

    Attributes
    ----------
    command, usage, description : str
        Of the catalog.
    complete : bool
        The whole line could be parsed; else only its words were asked about.
    sentence : str
        The reason, as of a refusal or permission.
    permission : str or None
        None where every registered user may.
    scope : str or None
        ``system`` or the project; None where one is needed and missing.
    role : str or None
        By which it is allowed, or the least that would allow it.
    remedy : str or None
        What the user can do, in the words of the channel.
    why, ask : str or None
        Pages of the panel: the explanation, and a request that is filled in.
    """

    command: str
    usage: str
    description: str
    complete: bool
    allowed: bool
    sentence: str
    permission: str | None
    scope: str | None
    role: str | None
    who_can_grant: list[str]
    remedy: str | None
    why: str
    ask: str | None


class AllowedCommandsQuery(Schema):
    """``project`` instead of the session's."""

    project: Name | None = None


class AllowedCommand(ResponseModel):
    """A command that would be allowed now; ``role``: by which role, None where every registered user may."""

    command: str
    verb: str
    noun: str
    task: str
    usage: str
    description: str
    scope: str | None
    role: str | None


class AllowedCommands(ResponseModel):
    """The commands that would be allowed now, in the order of the catalog, and the number of all."""

    project: str | None
    commands: list[AllowedCommand]
    total: int

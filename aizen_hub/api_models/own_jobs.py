"""The commands at the core that one user has started: jobs, with their progress."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from aizen_hub.api_models.schema import ResponseModel, Schema


class OwnJobsQuery(Schema):
    """``running`` only, or ``all``: those that ended within a week too."""

    which: Literal["running", "all"] = "all"
    limit: Annotated[int, Field(ge=1, le=200)] = 50


class OwnJobView(ResponseModel):
    """One job.

    Attributes
    ----------
    id : str
        The id of the decision that started it. Wherever a job is named, its last four or more characters are enough
        if no other own job ends with them.
    line : str
        The canonical command, secrets excluded.
    state : str
        ``running``, ``done``, ``failed``, ``stopped`` or ``unknown``: it may still be running, but cannot be followed.
    fraction : float or None
        Progress from 0 to 1; None if the core has reported none.
    message : str
        Of the progress, or of the end.
    session : str or None
        The session that started it.
    in_this_session : bool
        It was started in the session of the request.
    acting : str or None
        The service account that started it in the name of the user.
    started : str or None
        None for a command that the core does not count as a job.
    """

    id: str
    line: str
    state: Literal["running", "done", "failed", "stopped", "unknown"]
    fraction: float | None
    message: str
    project: str | None
    session: str | None
    in_this_session: bool
    acting: str | None
    started: str | None
    ended: str | None


class OwnJobsView(ResponseModel):
    """The running jobs first, each part with the newest first; ``more``: there are more than are listed."""

    jobs: list[OwnJobView]
    more: bool

"""What a session, or any other principal, is told about itself: identity, project, roles, limits and own requests."""

from __future__ import annotations

from typing import Literal

from aizen_hub.api_models.schema import ResponseModel


class ServerSessionView(ResponseModel):
    """The session of a user server.

    Attributes
    ----------
    server : str
        The hub's name of the server; empty for the default one.
    """

    id: str
    server: str
    started: str


class OwnRoleView(ResponseModel):
    """One role of the session.

    Attributes
    ----------
    state : str
        ``later`` before its start, ``stopped`` by a lock or a directory membership that is no longer confirmed.
    source : str
        Where it comes from, in words: a person, a group, a directory rule, the creation of the project.
    via : list of str
        The groups it comes through, outermost last.
    seconds_left : float or None
        Until its end, by the clock of the service; None: it has none.
    """

    role: str
    description: str
    scope: str
    state: Literal["effective", "later", "stopped"]
    source: str
    via: list[str]
    reason: str
    starts: str | None
    ends: str | None
    seconds_left: float | None


class OwnLimitView(ResponseModel):
    """One limit; ``used`` is None for what is not counted here, such as memory. Memory in bytes, cpu in cores."""

    limit: str
    value: float
    source: str
    used: int | None


class OwnRequestView(ResponseModel):
    """One of the newest own requests for a role.

    Attributes
    ----------
    state : str
        ``waiting``, ``approved``, ``denied``, ``withdrawn`` or ``expired``.
    comment : str
        Of the user who decided it.
    """

    id: str
    role: str
    scope: str
    state: Literal["waiting", "approved", "denied", "withdrawn", "expired"]
    asked: str
    until: str | None
    expires: str
    comment: str


class OwnSessionView(ResponseModel):
    """Response of ``GET /api/v1/session``.

    Attributes
    ----------
    session : ServerSessionView or None
        None for a principal without a server, such as the command line.
    project, project_description : str or None
        None for a session without a project; the description also after the last role there has ended.
    roles : list of OwnRoleView
        Those of the project and the system; without a session those of all scopes.
    more_roles : bool
        There are more than are listed.
    ends_at : str or None
        When the session stops as things are, since the hub or the identity provider has sent no news of it for too
        long; None while nothing ends it.
    ends_because : str or None
        Why, in words.
    token_expires : str or None
        When the role token of the request ends; it is renewed before.
    panel : str
        Address of the panel for browsers, with a slash at the end.
    at : str
        The time of the service.
    """

    user: str
    kind: str
    display_name: str
    acting: str | None
    session: ServerSessionView | None
    project: str | None
    project_description: str | None
    roles: list[OwnRoleView]
    more_roles: bool
    limits: list[OwnLimitView]
    requests: list[OwnRequestView]
    ends_at: str | None
    ends_because: str | None
    token_expires: str | None
    panel: str
    at: str
    revision: int

"""What the browser may ask the service through the user server: this table, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass

_ID = "[A-Za-z0-9_-]{1,64}"


@dataclass(frozen=True, slots=True)
class AllowedCall:
    """One request of the browser, and the request to the service that it becomes.

    Attributes
    ----------
    method : str
    pattern : str
        Address below ``aizen/`` of the user server: a regular expression with at most the named group ``id``.
    path : str
        Address at the service; ``{id}`` is replaced by the group.
    fields : frozenset of str
        The keys that the body may have; each value is a string.
    shared_seconds : float
        How long one response serves all tabs of the browser.
    """

    method: str
    pattern: str
    path: str
    fields: frozenset[str] = frozenset()
    shared_seconds: float = 0.0


SWITCH_PROJECT = AllowedCall("POST", "project", "/oauth/token", frozenset({"project"}))
"""Not sent as it is: the role token is exchanged for one of another project, and stays in this process."""

ALLOWED_CALLS = (
    AllowedCall("GET", "session", "/api/v1/session", shared_seconds=1.0),
    AllowedCall("GET", "jobs", "/api/v1/jobs", shared_seconds=1.0),
    AllowedCall("GET", "catalog", "/api/v1/catalog", shared_seconds=60.0),
    AllowedCall("GET", "projects", "/api/v1/projects", shared_seconds=5.0),
    AllowedCall("POST", f"jobs/(?P<id>{_ID})/stop", "/api/v1/jobs/{id}/stop"),
    AllowedCall("POST", "requests", "/api/v1/requests", frozenset({"role", "scope", "reason", "until"})),
    SWITCH_PROJECT,
)

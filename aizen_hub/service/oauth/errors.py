"""From our problems to the error documents of OAuth (RFC 6749, 5.2)."""

from __future__ import annotations

import re
from typing import Any

from aizen_hub.problems import (
    BadInput,
    Conflict,
    Denied,
    Escalation,
    NotAuthenticated,
    NotFound,
    Problem,
    ProjectRequired,
    TooMany,
    Unavailable,
)
from aizen_hub.service.http.route import Answer

_NAMES: tuple[tuple[type[Problem], str, int], ...] = (
    (NotAuthenticated, "invalid_grant", 400),
    (NotFound, "invalid_target", 400),
    (Denied, "invalid_target", 400),
    (Escalation, "invalid_target", 400),
    (ProjectRequired, "invalid_target", 400),
    (Conflict, "invalid_target", 400),
    (TooMany, "temporarily_unavailable", 429),
    (Unavailable, "temporarily_unavailable", 503),
    (BadInput, "invalid_request", 400),
)
# The characters that RFC 6749 allows in `error_description`.
_NOT_ALLOWED = re.compile(r"[^\x20-\x21\x23-\x5b\x5d-\x7e]")


def oauth_error(error: Exception) -> Answer:
    """Return the error document of a problem; what is no problem of ours says nothing but that it failed."""
    if not isinstance(error, Problem):
        return Answer({"error": "temporarily_unavailable", "error_description": "this cannot be done now"}, 503)
    name, status = next(
        ((name, status) for kind, name, status in _NAMES if isinstance(error, kind)), ("invalid_request", error.status)
    )
    document: dict[str, Any] = {
        "error": error.more.get("oauth", name),
        "error_description": _NOT_ALLOWED.sub("?", error.detail),
    }
    if "code" in error.more:
        document["code"] = error.more["code"]
    if error.remedy:
        document["remedy"] = error.remedy
    headers = {"Pragma": "no-cache"}
    if status in (429, 503):
        headers["Retry-After"] = str(int(error.more.get("retry_after", 1)) or 1)
    return Answer(document, status if 400 <= status < 600 and status != 500 else 503, headers)

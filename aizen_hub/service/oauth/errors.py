"""Error documents of OAuth (RFC 6749, 5.2), made from problems."""

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
    TooManyRequests,
    Unavailable,
)
from aizen_hub.service.http.route import JsonResponse

_NAMES: tuple[tuple[type[Problem], str, int], ...] = (
    (NotAuthenticated, "invalid_grant", 400),
    (NotFound, "invalid_target", 400),
    (Denied, "invalid_target", 400),
    (Escalation, "invalid_target", 400),
    (ProjectRequired, "invalid_target", 400),
    (Conflict, "invalid_target", 400),
    (TooManyRequests, "temporarily_unavailable", 429),
    (Unavailable, "temporarily_unavailable", 503),
    (BadInput, "invalid_request", 400),
)
_MEMBERS = ("code", "server_stops_at")
"""Members of a problem that its error document keeps."""
# The characters that RFC 6749 allows in `error_description`.
_NOT_ALLOWED = re.compile(r"[^\x20-\x21\x23-\x5b\x5d-\x7e]")


def format_oauth_error(error: Exception) -> JsonResponse:
    """Return the error document of a problem; any other exception becomes a generic error."""
    if not isinstance(error, Problem):
        return JsonResponse({"error": "temporarily_unavailable", "error_description": "this cannot be done now"}, 503)
    name, status = next(
        ((name, status) for kind, name, status in _NAMES if isinstance(error, kind)), ("invalid_request", error.status)
    )
    document: dict[str, Any] = {
        "error": error.extensions.get("oauth", name),
        "error_description": _NOT_ALLOWED.sub("?", error.detail),
    }
    if document["error_description"] != error.detail:
        document["detail"] = error.detail  # in full: a reason may be in any language
    document |= {name: error.extensions[name] for name in _MEMBERS if name in error.extensions}
    if error.remedy:
        document["remedy"] = error.remedy
    headers = {"Pragma": "no-cache"}
    if status in (429, 503):
        headers["Retry-After"] = str(int(error.extensions.get("retry_after", 1)) or 1)
    return JsonResponse(document, status if 400 <= status < 600 and status != 500 else 503, headers)

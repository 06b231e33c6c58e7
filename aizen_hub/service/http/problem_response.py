"""Responses that tell an error: problem documents (RFC 9457) with the headers that belong to their status."""

from __future__ import annotations

import json
from typing import Any

from aiohttp.web import Response

from aizen_hub.problems import SERVICE_PREFIX, NotAuthenticated, Problem, TooManyRequests, Unavailable
from aizen_hub.service.http.headers import PROBLEM_JSON
from aizen_hub.service.http.route import AuthMethod, Route

SECURITY_HEADERS = (
    ("Cache-Control", "no-store"),
    ("X-Content-Type-Options", "nosniff"),
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
)
"""On every response that does not set its own."""
SERVER_NAME = "aizen-hub"  # otherwise aiohttp sends its own name and version

_JSON = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)


class MethodNotAllowed(Problem):
    """The path exists and has no such method."""

    slug, title, status = "method-not-allowed", "The address does not have this method", 405


def encode_json(value: Any) -> bytes:
    """Return a value as compact JSON in UTF-8; raises where it is not JSON, so that no client receives half of it."""
    return _JSON.encode(value).encode()


def problem_response(problem: Problem, route: Route | None = None, prefix: str = SERVICE_PREFIX) -> Response:
    """Return the document of a problem; one without a status of its own is sent as 503.

    Parameters
    ----------
    route : Route, optional
        Names the authentication scheme of a 401.
    prefix : str
        Path of the service below the hub, where the types of problems are explained.
    """
    status = 503 if problem.status == 500 else int(problem.status)
    headers = {"Content-Type": PROBLEM_JSON}
    if isinstance(problem, NotAuthenticated):
        headers["WWW-Authenticate"] = problem.challenge or _challenge(route)
    elif isinstance(problem, (TooManyRequests, Unavailable)):
        headers["Retry-After"] = str(int(problem.extensions.get("retry_after", 1)) or 1)
    if isinstance(problem, MethodNotAllowed):
        headers["Allow"] = ", ".join(problem.extensions["allow"])
    return Response(status=status, body=encode_json({**problem.to_json(prefix), "status": status}), headers=headers)


def bad_request_response(problem: Problem) -> Response:
    """Return the response to bytes that are not a request; its connection ends."""
    response = problem_response(problem)
    response.headers.update((*SECURITY_HEADERS, ("Server", SERVER_NAME)))
    response.force_close()
    return response


def _challenge(route: Route | None) -> str:
    scheme = "Bearer"
    if route is not None and AuthMethod.HUB_TOKEN in route.auth:
        scheme = "Bearer" if route.auth - {AuthMethod.HUB_TOKEN, AuthMethod.BROWSER} else "token"
    return f'{scheme} realm="aizen"'

"""Problem documents of the service, parsed into the typed errors that they came from."""

from __future__ import annotations

from collections.abc import Iterator

from aizen_hub.problems import Fault, Problem, Unavailable
from aizen_hub.validation import strict_json

MAX_RESPONSE = 4 << 20
REPEAT_PAUSES = (0.2, 1.0)
"""Seconds before a request is sent again whose connection was lost: a replica has ended, and another one answers."""
_GATEWAY_STATUSES = frozenset({502, 503, 504})
_STANDARD_FIELDS = frozenset({"type", "title", "status", "detail", "remedy", "errors"})


class Unreachable(Unavailable):
    """No response from the service's address within the deadline."""

    slug, title = "unreachable", "The access service does not respond"


class ConnectionLost(Unreachable):
    """The connection failed or ended before the response, or a load balancer reports that; sending again may help."""


class ForeignService(Unavailable):
    """The process at the service's address is not the service that the hub started."""

    slug, title = "foreign-service", "Another service responds at this address"


class InvalidResponse(Unavailable):
    """The response cannot be parsed, so it grants nothing."""

    slug, title = "invalid-response", "The access service sent an invalid response"


def parse_problem(status: int, body: bytes) -> Problem:
    """Return the typed error of a failed response.

    Parameters
    ----------
    status : int
        The HTTP status, 400 or more.
    body : bytes
        A problem document (RFC 9457); anything else gives an `InvalidResponse`, or a `ConnectionLost` where a load
        balancer answers in place of the service.
    """
    try:
        document = strict_json.loads(body, max_bytes=MAX_RESPONSE)
    except Problem:
        document = None
    if not isinstance(document, dict) and status in _GATEWAY_STATUSES:
        return ConnectionLost(f"the access service does not respond: what is before it answered with {status}")
    if not isinstance(document, dict):
        return InvalidResponse(f"the access service responded with {status} and no reason")
    slug = str(document.get("type", "")).rpartition("/")[2]
    problem_class = {subclass.slug: subclass for subclass in _known_problems(Problem)}.get(slug)
    if problem_class is None:
        # A newer service may have more problem types; the status still classifies the failure.
        problem_class = _unknown_problem(status, slug, str(document.get("title") or "Refused"))
    remedy = document.get("remedy")
    return problem_class(
        str(document.get("detail") or problem_class.title),
        remedy=remedy if isinstance(remedy, str) else None,
        faults=tuple(_parse_faults(document.get("errors"))),
        extensions={key: value for key, value in document.items() if key not in _STANDARD_FIELDS},
    )


def _unknown_problem(status: int, slug: str, title: str) -> type[Problem]:
    return type("UnknownProblem", (Problem,), {"slug": slug or "unknown", "title": title, "status": status})


def _known_problems(base: type[Problem]) -> Iterator[type[Problem]]:
    for subclass in base.__subclasses__():
        # Subclasses in other packages have constructors of their own.
        if subclass.__module__ in (Problem.__module__, __name__) and subclass.__name__ != "UnknownProblem":
            yield subclass
            yield from _known_problems(subclass)


def _parse_faults(errors: object) -> Iterator[Fault]:
    for error in errors if isinstance(errors, list) else ():
        if isinstance(error, dict) and isinstance(error.get("pointer"), str) and isinstance(error.get("detail"), str):
            allowed = error.get("allowed")
            yield Fault(
                error["pointer"], error["detail"], tuple(map(str, allowed)) if isinstance(allowed, list) else ()
            )

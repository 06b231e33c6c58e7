"""From the problem documents of the service back to the typed errors that they came from."""

from __future__ import annotations

from collections.abc import Iterator

from aizen_hub.problems import TYPE_PREFIX, Fault, Problem, Unavailable
from aizen_hub.validation import strict_json

MAX_ANSWER = 4 << 20
_OWN = frozenset({"type", "title", "status", "detail", "remedy", "errors"})


class Unreachable(Unavailable):
    """Nothing answers at the service's address, or not within the deadline."""

    slug, title = "unreachable", "The access service does not answer"


class ForeignService(Unavailable):
    """Something answers at the service's address, but it is not the service that the hub started."""

    slug, title = "foreign-service", "Another service answers at this address"


class Garbled(Unavailable):
    """The answer cannot be understood, so nothing follows from it."""

    slug, title = "garbled", "The access service answered what cannot be understood"


def problem_from(status: int, body: bytes) -> Problem:
    """Return the typed error of a failed answer.

    Parameters
    ----------
    status : int
        The HTTP status, 400 or more.
    body : bytes
        A problem document (RFC 9457); anything else still gives an error, never a success.
    """
    try:
        document = strict_json.loads(body, max_bytes=MAX_ANSWER)
    except Problem:
        document = None
    if not isinstance(document, dict):
        return Garbled(f"the access service answered {status} without saying why")
    slug = str(document.get("type", "")).removeprefix(TYPE_PREFIX)
    kind = {one.slug: one for one in _family(Problem)}.get(slug)
    if kind is None:
        # A newer service may know problems that we do not; its status still says what kind of failure it is.
        kind = _of_status(status, slug, str(document.get("title") or "Refused"))
    remedy = document.get("remedy")
    return kind(
        str(document.get("detail") or kind.title),
        remedy=remedy if isinstance(remedy, str) else None,
        faults=tuple(_faults(document.get("errors"))),
        more={key: value for key, value in document.items() if key not in _OWN},
    )


def _of_status(status: int, slug: str, title: str) -> type[Problem]:
    return type("UnknownProblem", (Problem,), {"slug": slug or "unknown", "title": title, "status": status})


def _family(kind: type[Problem]) -> Iterator[type[Problem]]:
    for one in kind.__subclasses__():
        # Problems of other rooms refine these for their own use, and are made in other ways.
        if one.__module__ in (Problem.__module__, __name__) and one.__name__ != "UnknownProblem":
            yield one
            yield from _family(one)


def _faults(errors: object) -> Iterator[Fault]:
    for one in errors if isinstance(errors, list) else ():
        if isinstance(one, dict) and isinstance(one.get("pointer"), str) and isinstance(one.get("detail"), str):
            allowed = one.get("allowed")
            yield Fault(one["pointer"], one["detail"], tuple(map(str, allowed)) if isinstance(allowed, list) else ())

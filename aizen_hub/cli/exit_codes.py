"""Exit codes: a script must never mistake a failure for an allow."""

from __future__ import annotations

import sys
from enum import IntEnum

from aizen_hub.problems import Problem


class Outcome(IntEnum):
    DONE = 0
    ERROR = 1
    USAGE = 2
    DENIED = 3
    NOT_SIGNED_IN = 4
    NOT_FOUND = 5
    CONFLICT = 6
    UNAVAILABLE = 7

    @classmethod
    def of_status(cls, status: int) -> Outcome:
        """The exit code for an HTTP status."""
        return _BY_STATUS.get(status, cls.ERROR if status < 500 else cls.UNAVAILABLE)


_BY_STATUS = {
    401: Outcome.NOT_SIGNED_IN,
    403: Outcome.DENIED,
    404: Outcome.NOT_FOUND,
    409: Outcome.CONFLICT,
    412: Outcome.CONFLICT,
    500: Outcome.ERROR,
}


def report(problem: Problem) -> Outcome:
    """Print a problem with its faults and remedy to stderr, and return the exit code."""
    print(f"aizen-hub: {problem.detail}", file=sys.stderr)
    for fault in problem.faults:
        allowed = f" (allowed: {', '.join(fault.allowed)})" if fault.allowed else ""
        print(f"  {fault.pointer or '/'}: {fault.detail}{allowed}", file=sys.stderr)
    missing = problem.more.get("missing")
    if isinstance(missing, list | tuple):
        for one in missing:
            print(f"  missing: {one}", file=sys.stderr)
    if problem.remedy:
        print(f"  {problem.remedy}", file=sys.stderr)
    return Outcome.of_status(problem.status)

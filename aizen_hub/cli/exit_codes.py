"""Exit codes, chosen so that a script cannot mistake a failure for \"allowed\"."""

from __future__ import annotations

import sys
from enum import IntEnum

from aizen_hub.problems import Problem
from aizen_hub.validation.printable import escape_nonprintable
from aizen_hub.wording import Interface


class ExitCode(IntEnum):
    DONE = 0
    ERROR = 1
    USAGE = 2
    DENIED = 3
    NOT_SIGNED_IN = 4
    NOT_FOUND = 5
    CONFLICT = 6
    UNAVAILABLE = 7

    @classmethod
    def from_status(cls, status: int) -> ExitCode:
        """Return the exit code for an HTTP status."""
        return _BY_STATUS.get(status, cls.ERROR if status < 500 else cls.UNAVAILABLE)


MEANINGS = {
    ExitCode.DONE: "done, or allowed",
    ExitCode.ERROR: "an error",
    ExitCode.USAGE: "wrong usage",
    ExitCode.DENIED: "denied",
    ExitCode.NOT_SIGNED_IN: "not signed in",
    ExitCode.NOT_FOUND: "not found, or not visible to you",
    ExitCode.CONFLICT: "a conflict with the current state",
    ExitCode.UNAVAILABLE: "the service is unavailable",
}

_BY_STATUS = {
    401: ExitCode.NOT_SIGNED_IN,
    403: ExitCode.DENIED,
    404: ExitCode.NOT_FOUND,
    409: ExitCode.CONFLICT,
    412: ExitCode.CONFLICT,
    500: ExitCode.ERROR,
}


def report_problem(problem: Problem) -> ExitCode:
    """Print a problem with its faults and remedy to stderr and return the exit code."""
    problem.word_for(Interface.COMMAND_LINE, lambda handler: None)
    print(f"aizen-hub: {problem.detail}", file=sys.stderr)
    for fault in problem.faults:
        allowed = f" (allowed: {', '.join(fault.allowed)})" if fault.allowed else ""
        print(f"  {fault.pointer or '/'}: {fault.detail}{allowed}", file=sys.stderr)
    missing = problem.extensions.get("missing")
    if isinstance(missing, list | tuple):
        for right in missing:
            print(f"  missing: {right}", file=sys.stderr)
    if problem.remedy:
        print(f"  {problem.remedy}", file=sys.stderr)
    if isinstance(why := problem.extensions.get("why"), str):
        print(f"  why: {escape_nonprintable(why)}", file=sys.stderr)
    return ExitCode.from_status(problem.status)

"""Unexpected errors in the log of a hub."""

from __future__ import annotations

import re


def unexpected(log: str) -> list[str]:
    """Return every response 500 and every traceback, except those by which the hub logs a denied start."""
    errors = re.findall(r"^.*\b500 (?:GET|POST|PUT|PATCH|DELETE) .*$", log, re.MULTILINE)
    for match in re.finditer(r"^( *)Traceback \(most recent call last\):\n(?:\1 .*\n)+\1(\S.*)$", log, re.MULTILINE):
        error = match[2]
        if "SpawnException" not in error and "auth has expired" not in error:
            errors.append(error)
    return errors

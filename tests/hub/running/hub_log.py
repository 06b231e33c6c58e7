"""What a hub wrote into its log."""

from __future__ import annotations

import re


def unexpected(log: str) -> list[str]:
    """Every answer 500 and every traceback, but for those with which the hub itself logs a refused start."""
    found = re.findall(r"^.*\b500 (?:GET|POST|PUT|PATCH|DELETE) .*$", log, re.MULTILINE)
    for match in re.finditer(r"^( *)Traceback \(most recent call last\):\n(?:\1 .*\n)+\1(\S.*)$", log, re.MULTILINE):
        error = match[2]
        if "SpawnException" not in error and "auth has expired" not in error:
            found.append(error)
    return found

"""The page of all problem types, from the classes of the errors."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import sys

import aizen_hub
from aizen_hub.problems import SERVICE_PREFIX, TYPE_PATH, Problem
from docs.generator.markdown import NOTICE

_INTRODUCTION = f"""\
# Problem types

Every error of the service is a problem document (RFC 9457): `type` is an address that leads to the entry on this
page, `{SERVICE_PREFIX}{TYPE_PATH}` and the name (below the hub's `base_url`, if it has one), `title` is the same for
all problems of a type, `detail` says what happened this time, and `remedy`, where there is one, what helps, in the
words of the notebook, the command line or the page that shows it. The faults of an input are listed under `errors`,
each with a JSON pointer.
"""
_NOT_IMPORTED = ("aizen_hub.hub.spawn", "aizen_hub.lab", "aizen_hub.notebook", "aizen_hub.store.migrations")
"""Packages with dependencies of their own; they define no type of problem."""


def problem_classes() -> list[type[Problem]]:
    """Return one class for each type of problem, sorted by its name in ``type``."""
    for module in pkgutil.walk_packages(aizen_hub.__path__, "aizen_hub."):
        if not module.name.startswith(_NOT_IMPORTED) and not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    found: dict[str, type[Problem]] = {}
    waiting = [Problem]
    while waiting:
        cls = waiting.pop()
        waiting += cls.__subclasses__()
        # The client makes classes for types that it does not know, which are none of ours.
        if getattr(sys.modules[cls.__module__], cls.__name__, None) is not cls:
            continue
        # Subclasses that share the type of their base class are the same problem to a client.
        if cls.slug not in found or issubclass(found[cls.slug], cls):
            found[cls.slug] = cls
    return [found[slug] for slug in sorted(found)]


def build_problems_page() -> str:
    """Return the page."""
    parts = [NOTICE, _INTRODUCTION]
    for cls in problem_classes():
        text = inspect.cleandoc(cls.__dict__.get("__doc__") or "").partition("\n\n")[0]
        meaning = f"Status {cls.status}. *{cls.title}.* {' '.join(text.split())}"
        parts.append(f"(problem-{cls.slug})=\n## `{cls.slug}`\n\n{meaning}\n")
    return "\n".join(parts)

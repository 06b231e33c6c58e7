"""Questions in a cell: can i, who can, why, what can i do, request; and the ones that show help or the user."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from aizen_hub.notebook.command_catalog import MAX_LINE, CommandCatalog

_PERMISSION = re.compile(r"[a-z][a-z0-9-]*(?::(?:[a-z][a-z0-9-]*|\*))?")
_IN_PROJECT = re.compile(r"(?P<rest>.+) in (?P<project>[^ ,=]+)")


class QuestionKind(StrEnum):
    CAN = "can"
    WHO = "who"
    WHY = "why"
    WHAT = "what"
    REQUEST = "request"
    HELP = "help"


@dataclass(frozen=True, slots=True)
class Question:
    """One question.

    Attributes
    ----------
    command : str
        What it is about: a command or a permission; empty for the last refusal (*why*), and for *what can i do*.
    project : str or None
        As written after ``in``.
    role, reason, lasts, until : str
        Of a request; ``lasts`` is a duration, ``until`` a day.
    """

    kind: QuestionKind
    command: str = ""
    project: str | None = None
    role: str = ""
    reason: str = ""
    lasts: str = ""
    until: str = ""

    @property
    def is_permission(self) -> bool:
        """Whether it is about a permission, such as ``execute:training``, which no command is written like."""
        return ":" in self.command and _PERMISSION.fullmatch(self.command) is not None


_ROLE = r"request (?P<role>[^ ,=\"]+)"
_PROJECT = r" in (?P<project>[^ ,=\"]+)"
_END = r" for (?P<lasts>[0-9]+ ?[a-z]+)| until (?P<until>[^ ]+)"
_REASON = r"(?: because (?P<reason>.+))?"
_PATTERNS: tuple[tuple[QuestionKind, re.Pattern[str]], ...] = (
    (QuestionKind.WHAT, re.compile(r"what can i do(?: in (?P<project>[^ ?]+))? ?\??")),
    (QuestionKind.CAN, re.compile(r"can i (?P<command>[^?]+?) ?\??")),
    (QuestionKind.WHO, re.compile(r"who can (?P<command>[^?]+?) ?\??")),
    (QuestionKind.WHY, re.compile(r"why(?: not)? ?\??")),
    (QuestionKind.WHY, re.compile(r"why (?:not )?(?:(?:can|may) i (?:not )?)?(?P<command>[^?]+?) ?\??")),
    (QuestionKind.REQUEST, re.compile(rf"{_ROLE}(?:{_PROJECT})?(?:{_END})?{_REASON}")),
    (QuestionKind.REQUEST, re.compile(rf"{_ROLE}(?:{_END}){_PROJECT}{_REASON}")),
    (QuestionKind.HELP, re.compile(r"\?{1,2} ?(?P<command>[^ ?]+ [^?]+)")),
    (QuestionKind.HELP, re.compile(r"(?P<command>[^ ?]+ [^?]+?) ?\?{1,2}")),
)
"""Of lines whose blanks are single ones, so that each is matched in a time proportional to its length."""
_FIRST_WORDS = frozenset({"what", "can", "who", "why", "request"})


def may_be_question(line: str) -> bool:
    """Return whether a line has the form of a question, for use without a catalog."""
    if len(line) > MAX_LINE or not (line.partition(" ")[0] in _FIRST_WORDS or line[:1] == "?" or line[-1:] == "?"):
        return False
    text = " ".join(line.split())
    return any(pattern.fullmatch(text) for _, pattern in _PATTERNS)


def read_question(line: str, catalog: CommandCatalog) -> Question | None:
    """Return the question that a whole line asks about a command, permission or role of the catalog; else None."""
    if not may_be_question(line):
        return None
    text = " ".join(line.split())
    for kind, pattern in _PATTERNS:
        match = pattern.fullmatch(text)
        if match is None:
            continue
        fields = {name: value for name, value in match.groupdict().items() if value}
        if kind is QuestionKind.REQUEST:
            reason = fields.pop("reason", "").strip("\"'")
            return Question(kind, **fields, reason=reason)
        command, project = _split_project(fields.get("command", ""), fields.get("project"))
        if not command or _is_known(command, catalog, kind):
            return Question(kind, command, project)
    return None


def _split_project(command: str, project: str | None) -> tuple[str, str | None]:
    match = _IN_PROJECT.fullmatch(command)
    return (match["rest"], match["project"]) if match else (command, project)


def _is_known(command: str, catalog: CommandCatalog, kind: QuestionKind) -> bool:
    if catalog.find(command) is not None:
        return kind is not QuestionKind.HELP or " " in command
    return kind is not QuestionKind.HELP and ":" in command and _PERMISSION.fullmatch(command) is not None

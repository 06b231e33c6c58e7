"""What can come next in a command line: which words, and which kinds of names, by the grammar of the catalog."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from aizen_hub.catalogs.catalog import Catalog, CommandEntry
from aizen_hub.catalogs.grammar import (
    ArgumentKind,
    FixedWord,
    KeyValueArguments,
    NamedArgument,
    Part,
    PartGroup,
    PositionalArgument,
)

# Without backtracking, so that each is matched in a time proportional to the length: a quote need not be closed.
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*(?P<closed>"?)|[,=]|[^\s,="]+')
_BOUNDARY = re.compile(r'[\s,="]')


class CompletionKind(StrEnum):
    """Kinds of names that exist in the store."""

    PROJECT = "project"
    USER = "user"
    IDENTITY = "identity"  # a user, or another kind of identity with its prefix
    GROUP = "group"
    SERVICE_ACCOUNT = "service-account"
    ROLE = "role"
    OBJECT = "object"  # of the core, such as a training
    KEY = "key"


_KINDS: Mapping[str, CompletionKind] = {
    "roles": CompletionKind.ROLE,
    "role": CompletionKind.ROLE,
    "user": CompletionKind.IDENTITY,
    "users": CompletionKind.USER,
    "group": CompletionKind.GROUP,
    "project": CompletionKind.PROJECT,
    "name": CompletionKind.OBJECT,
}
"""What an argument names, by its name in the grammar."""


@dataclass(frozen=True, slots=True)
class NextWord:
    """What can come at the end of a line.

    Attributes
    ----------
    start : int
        Where the incomplete word begins; everything from there is replaced.
    stem : str
        That word as far as it is typed.
    words : tuple of (str, str)
        Fixed words that can come here, each with a description; all begin with the stem.
    kinds : tuple of CompletionKind
        Names that can come here.
    entry : CommandEntry or None
        The command that the line begins with.
    """

    start: int
    stem: str
    words: tuple[tuple[str, str], ...] = ()
    kinds: tuple[CompletionKind, ...] = ()
    entry: CommandEntry | None = None


def next_word(text: str, catalog: Catalog) -> NextWord:
    """Return what can come at the end of a text; nothing inside a quoted word.

    Parameters
    ----------
    text : str
        The line up to the cursor.
    """
    stem = _BOUNDARY.split(text)[-1]
    start = len(text) - len(stem)
    before = text[:start]
    matches = list(_TOKEN.finditer(before))
    if any(match["closed"] == "" for match in matches):
        return NextWord(start, stem)
    tokens = [match[0] for match in matches]
    entry, count = _entry_of(tokens, catalog)
    words = list(_command_words(tokens, stem, catalog))
    kinds: list[CompletionKind] = []
    if entry is not None and (not before or before[-1] in " \t,="):
        for part, position in _expected(entry.syntax.groups, tokens[count:]):
            word, kind = _describe(entry, part, position)
            if kind is not None:
                kinds.append(kind)
            elif word and word.startswith(stem):
                words.append((word, ""))
    return NextWord(start, stem, tuple(words), tuple(dict.fromkeys(kinds)), entry)


def _entry_of(tokens: Sequence[str], catalog: Catalog) -> tuple[CommandEntry | None, int]:
    for count in (2, 1):
        if len(tokens) >= count and (entry := catalog.find_command(" ".join(tokens[:count]))):
            return entry, count
    return None, 0


def _command_words(tokens: Sequence[str], stem: str, catalog: Catalog) -> Iterator[tuple[str, str]]:
    found: dict[str, str] = {}
    for name in (*catalog.commands, *catalog.aliases):
        words = name.split(" ")
        if len(words) > len(tokens) and words[: len(tokens)] == list(tokens) and words[len(tokens)].startswith(stem):
            entry = catalog.find_command(name)
            is_last = len(words) == len(tokens) + 1
            found.setdefault(words[len(tokens)], entry.description if entry is not None and is_last else "")
    yield from sorted(found.items())


def _describe(entry: CommandEntry, part: Part, position: str) -> tuple[str, CompletionKind | None]:
    """Return the fixed word, or else the kind of names, at one slot of a grammar."""
    match part:
        case FixedWord(word):
            return word, None
        case NamedArgument(name, _) if position != "value":
            return f"{name}=", None
        case PositionalArgument(name, kind) | NamedArgument(name, kind):
            if kind is ArgumentKind.FILE:
                return "", None
            if name == entry.project_argument:
                return "", CompletionKind.PROJECT
            found = _KINDS.get(name)
            # Roles are granted to every kind of identity; other commands are about users.
            return "", CompletionKind.USER if found is CompletionKind.IDENTITY and not entry.grants_roles else found
        case KeyValueArguments() if position == "key":
            return "", CompletionKind.KEY
    return "", None


def _expected(groups: Sequence[PartGroup], tokens: Sequence[str]) -> list[tuple[Part, str]]:
    """Return the parts that can follow the tokens, each with the slot in it: ``word``, ``value`` or ``key``."""
    expected: list[tuple[Part, str]] = []
    position = 0
    for group in groups:
        if position == len(tokens):
            expected.append((group.parts[0], _first_slot(group.parts[0])))
            if not group.optional:
                return expected
            continue
        if group.optional and not _is_present(group.parts[0], tokens, position):
            continue
        for part in group.parts:
            if position == len(tokens):
                return [(part, _first_slot(part))]
            taken, slot = _take(part, tokens, position)
            if slot is not None:
                return [(part, slot)]
            if taken == position:
                return []
            position = taken
    return expected if position == len(tokens) else []


def _first_slot(part: Part) -> str:
    return "key" if isinstance(part, KeyValueArguments) else "word"


def _is_present(part: Part, tokens: Sequence[str], position: int) -> bool:
    match part:
        case FixedWord(word):
            return tokens[position] == word
        case NamedArgument():
            return tokens[position] == ","
        case PositionalArgument():
            return tokens[position] not in ",=" and tokens[position + 1 : position + 2] != ["="]
    return True


def _take(part: Part, tokens: Sequence[str], position: int) -> tuple[int, str | None]:
    """Return the position after a part, and the slot inside it where the tokens end; None if the part is complete.

    The position is unchanged if the tokens do not match.
    """
    match part:
        case FixedWord(word):
            return (position + 1 if tokens[position] == word else position), None
        case NamedArgument(name, _):
            written = [",", name, "="]
            rest = list(tokens[position : position + 3])
            if rest != written[: len(rest)]:
                return position, None
            if len(rest) < len(written):
                return position, "word"
            return (position + 4, None) if len(tokens) > position + 3 else (position, "value")
        case PositionalArgument(_, kind):
            if tokens[position] in ",=":
                return position, None
            position += 1
            while kind is ArgumentKind.LIST and position < len(tokens) and tokens[position] == ",":
                if position + 1 == len(tokens):
                    return position, "word"
                position += 2
            return position, None
    return len(tokens), "value" if tokens[-1] in ",=" else "key"

"""The commands there are, as the service's catalog lists them."""

from __future__ import annotations

import difflib
import keyword
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

MAX_LINE = 8 * 1024
_CLOSE = 0.75
# Blank and tab only: the service refuses every other blank (R85).
_PIECE = re.compile(r"[^ \t]+")
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
# What no argument of a command begins with, but the rest of a Python line does: `run pipeline = 1` stays Python's.
_PYTHON = frozenset("=+-*/%<>!&|^~@:.,;()[]{}")


@dataclass(frozen=True, slots=True)
class Entry:
    """One command of the catalog: its words, what may follow them, and what it does."""

    words: tuple[str, ...]
    grammar: str = ""
    description: str = ""

    @property
    def text(self) -> str:
        return " ".join(self.words)


class Vocabulary:
    """Immutable; asking it never reaches for the network."""

    def __init__(self, entries: Iterable[Entry], roles: Iterable[str] = (), system_roles: Iterable[str] = ()) -> None:
        self.entries = {entry.words: entry for entry in entries}
        self.roles, self.system_roles = tuple(roles), frozenset(system_roles)
        self.firsts = tuple(sorted({words[0] for words in self.entries}))
        self._longest = max(map(len, self.entries), default=0)
        self._seconds: dict[str, list[str]] = {first: [] for first in self.firsts}
        for words in sorted(self.entries):
            if len(words) == 2:
                self._seconds[words[0]].append(words[1])

    @classmethod
    def from_catalog(cls, catalog: Mapping[str, Any]) -> Self:
        """Read the answer of ``GET /api/v1/catalog``; entries that cannot be read are left out."""
        entries = []
        for one in catalog.get("commands") or ():
            command = one.get("command") if isinstance(one, dict) else None
            if isinstance(command, str) and (words := tuple(command.split())):
                entries.append(Entry(words, str(one.get("grammar") or ""), str(one.get("description") or "")))
        scopes = {
            role["name"]: role.get("scopes")
            for role in catalog.get("roles") or ()
            if isinstance(role, dict) and isinstance(role.get("name"), str)
        }
        return cls(entries, scopes, (name for name, where in scopes.items() if where == ["system"]))

    def find(self, line: str) -> tuple[Entry, str] | None:
        """Return the command that a line begins with, word by word, and what follows it; None if there is none."""
        if len(line) > MAX_LINE:
            return None
        pieces = [piece for _, piece in zip(range(self._longest), _PIECE.finditer(line), strict=False)]
        for count in range(len(pieces), 0, -1):
            entry = self.entries.get(tuple(piece[0] for piece in pieces[:count]))
            if entry is not None:
                rest = line[pieces[count - 1].end() :].strip(" \t")
                return None if rest and rest[0] in _PYTHON else (entry, rest)
        return None

    def suggest(self, line: str) -> str | None:
        """Return what a line was probably meant to be.

        Returns
        -------
        str or None
            The line with its first two words put right; the empty string where the first word begins commands but no
            second word of them is near; None where the line does not look like a command.
        """
        split = plain_words(line)
        if split is None or len(split[0]) < 2:
            return None
        (first, second), rest = split
        best, how_near = "", 0.0
        for verb in difflib.get_close_matches(first.lower(), self.firsts, 3, _CLOSE):
            likeness = difflib.SequenceMatcher(None, first.lower(), verb).ratio()
            for noun in difflib.get_close_matches(second.lower(), self._seconds[verb], 1, _CLOSE):
                near = likeness + difflib.SequenceMatcher(None, second.lower(), noun).ratio()
                if near > how_near:
                    best, how_near = f"{verb} {noun} {rest}".rstrip(), near
        if not best and (first not in self._seconds or keyword.iskeyword(first)):
            return None
        return best

    def second_words(self, line: str) -> tuple[str, ...]:
        """Return the words that may follow the first word of a line."""
        pieces = _PIECE.findall(line[:MAX_LINE])
        return tuple(self._seconds.get(pieces[0], ())) if pieces else ()

    def completions(self, text: str) -> tuple[str, ...]:
        """Return the words that may stand where ``text`` ends; the last, perhaps empty word of it is being typed."""
        *before, typed = re.split(r"[ \t]+", text.lstrip(" \t"))
        place = len(before)
        found = {
            words[place]
            for words in self.entries
            if len(words) > place and list(words[:place]) == before and words[place].startswith(typed)
        }
        entry = self.entries.get(tuple(before))
        if entry is not None and entry.grammar.startswith("<roles:list>"):
            done, comma, last = typed.rpartition(",")
            found |= {f"{done}{comma}{role}" for role in self.roles if role.startswith(last)}
        return tuple(sorted(found))


def plain_words(line: str) -> tuple[list[str], str] | None:
    """Return the first two words of a line and the rest, or None where it does not look like a typed command."""
    if len(line) > MAX_LINE:
        return None
    pieces = [piece for _, piece in zip(range(2), _PIECE.finditer(line), strict=False)]
    if not pieces or not all(_WORD.fullmatch(piece[0]) for piece in pieces):
        return None
    rest = line[pieces[-1].end() :].strip(" \t")
    if rest and rest[0] in _PYTHON:
        return None
    return [piece[0] for piece in pieces], rest

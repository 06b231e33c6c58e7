"""The commands of the service's catalog: lookup, suggestions and completion."""

from __future__ import annotations

import difflib
import keyword
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

MAX_LINE = 8 * 1024
_MIN_SIMILARITY = 0.75
# Space and tab only: the service rejects all other white space (R85).
_TOKEN = re.compile(r"[^ \t]+")
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
# Arguments of a command never start with these characters, but Python code does: `run pipeline = 1` is Python.
_PYTHON_ONLY = frozenset("=+-*/%<>!&|^~@:.,;()[]{}")
# The exception is a path after two words: `alter users ./users.json` is not Python.
_PATH = re.compile(r"(?:(?:~[\w.-]*|\.{0,2})/[^ \t]|\.[\w-]).*")


@dataclass(frozen=True, slots=True)
class CatalogEntry:
    """One command of the catalog: its words, the grammar of its arguments, and whether it changes nothing."""

    words: tuple[str, ...]
    grammar: str = ""
    description: str = ""
    only_reads: bool = False

    @property
    def text(self) -> str:
        return " ".join(self.words)

    @property
    def takes_file(self) -> bool:
        """Whether the first argument is the name of a file, e.g. ``<config:file>``."""
        return takes_file(self.grammar)

    def accepts(self, arguments: str) -> bool:
        """Return whether the command can have these arguments, judged by how they begin."""
        is_path = self.takes_file and len(self.words) > 1 and _PATH.fullmatch(arguments) is not None
        return not arguments or is_path or arguments[0] not in _PYTHON_ONLY


class CommandCatalog:
    """The commands and roles of a catalog; immutable, and without network access."""

    def __init__(
        self, entries: Iterable[CatalogEntry], roles: Iterable[str] = (), system_roles: Iterable[str] = ()
    ) -> None:
        self.entries = {entry.words: entry for entry in entries}
        self.roles, self.system_roles = tuple(roles), frozenset(system_roles)
        self.first_words = tuple(sorted({words[0] for words in self.entries}))
        self._longest = max(map(len, self.entries), default=0)
        self._second_words: dict[str, list[str]] = {first: [] for first in self.first_words}
        for words in sorted(self.entries):
            if len(words) == 2:
                self._second_words[words[0]].append(words[1])

    @classmethod
    def from_catalog(cls, catalog: Mapping[str, Any]) -> Self:
        """Return the catalog in a response of ``GET /api/v1/catalog``; invalid entries are ignored."""
        entries = []
        for item in catalog.get("commands") or ():
            command = item.get("command") if isinstance(item, dict) else None
            if isinstance(command, str) and (words := tuple(command.split())):
                grammar, description = str(item.get("grammar") or ""), str(item.get("description") or "")
                entries.append(CatalogEntry(words, grammar, description, item.get("only_reads") is True))
        scopes = {
            role["name"]: role.get("scopes")
            for role in catalog.get("roles") or ()
            if isinstance(role, dict) and isinstance(role.get("name"), str)
        }
        return cls(entries, scopes, (name for name, role_scopes in scopes.items() if role_scopes == ["system"]))

    def find(self, line: str) -> tuple[CatalogEntry, str] | None:
        """Return the command at the start of a line and its arguments; None if the line is not a command."""
        if len(line) > MAX_LINE:
            return None
        tokens = [piece for _, piece in zip(range(self._longest), _TOKEN.finditer(line), strict=False)]
        for count in range(len(tokens), 0, -1):
            entry = self.entries.get(tuple(piece[0] for piece in tokens[:count]))
            if entry is not None:
                arguments = line[tokens[count - 1].end() :].strip(" \t")
                return (entry, arguments) if entry.accepts(arguments) else None
        return None

    def suggest(self, line: str) -> str | None:
        """Return the most similar command.

        Returns
        -------
        str or None
            The line with its first two words corrected; the empty string if the first word is valid but the second
            is not similar to any; None if the line does not look like a command.
        """
        split = split_words(line)
        if split is None or len(split[0]) < 2:
            return None
        (first, second), arguments = split
        is_path = bool(arguments) and arguments[0] in _PYTHON_ONLY
        best, best_ratio = "", 0.0
        for verb in difflib.get_close_matches(first.lower(), self.first_words, 3, _MIN_SIMILARITY):
            verb_ratio = difflib.SequenceMatcher(None, first.lower(), verb).ratio()
            for noun in difflib.get_close_matches(second.lower(), self._second_words[verb], 1, _MIN_SIMILARITY):
                ratio = verb_ratio + difflib.SequenceMatcher(None, second.lower(), noun).ratio()
                if ratio > best_ratio and self.entries[verb, noun].accepts(arguments):
                    best, best_ratio = f"{verb} {noun} {arguments}".rstrip(), ratio
        if not best and (is_path or first not in self._second_words or keyword.iskeyword(first)):
            return None
        return best

    def second_words(self, line: str) -> tuple[str, ...]:
        """Return the valid second words after the first word of a line."""
        tokens = _TOKEN.findall(line[:MAX_LINE])
        return tuple(self._second_words.get(tokens[0], ())) if tokens else ()

    def completions(self, text: str) -> tuple[str, ...]:
        """Return the words that complete ``text``, whose last word, possibly empty, is incomplete."""
        *previous, typed = re.split(r"[ \t]+", text.lstrip(" \t"))
        position = len(previous)
        matches = {
            words[position]
            for words in self.entries
            if len(words) > position and list(words[:position]) == previous and words[position].startswith(typed)
        }
        entry = self.entries.get(tuple(previous))
        if entry is not None and entry.grammar.startswith("<roles:list>"):
            finished, comma, last = typed.rpartition(",")
            matches |= {f"{finished}{comma}{role}" for role in self.roles if role.startswith(last)}
        return tuple(sorted(matches))


def takes_file(grammar: str) -> bool:
    """Return whether the first argument of a grammar is the name of a file, e.g. ``<config:file>``."""
    return grammar.startswith("<") and grammar.partition(">")[0].endswith(":file")


def split_words(line: str) -> tuple[list[str], str] | None:
    """Return the first two words of a line and the rest, or None if it does not look like a command."""
    if len(line) > MAX_LINE:
        return None
    tokens = [piece for _, piece in zip(range(2), _TOKEN.finditer(line), strict=False)]
    if not tokens or not all(_WORD.fullmatch(piece[0]) for piece in tokens):
        return None
    arguments = line[tokens[-1].end() :].strip(" \t")
    if arguments and arguments[0] in _PYTHON_ONLY and (len(tokens) < 2 or not _PATH.fullmatch(arguments)):
        return None
    return [piece[0] for piece in tokens], arguments

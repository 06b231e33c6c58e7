"""The one parser of command lines (R83): text and catalog in, a command out, or a refusal that says what would do."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from types import MappingProxyType

from aizen_hub.catalogs.catalog import Catalog, CommandEntry
from aizen_hub.catalogs.grammar import Form, Group, Literal, Option, Pairs, Part, Slot
from aizen_hub.commands.command import Command, Value
from aizen_hub.commands.lexer import Mark, Token, show, tokens
from aizen_hub.problems import SyntaxRefused, UnknownCommand
from aizen_hub.rbac.role import SYSTEM

_LONGEST_NAME = 130


def read(text: str, catalog: Catalog) -> Command:
    """Read one command line.

    Raises
    ------
    TooLarge
        The line is longer than the limits of R88.
    SyntaxRefused
        It cannot be read, or its arguments do not fit the command's grammar; the remedy shows the grammar.
    UnknownCommand
        The catalog does not hold it; ``more["suggestion"]`` is the nearest command, or None.
    """
    stream = tokens(text)
    entry, used = _entry(stream, catalog)
    arguments = _Arguments(entry, stream[used:]).read()
    named = arguments.get(entry.project_argument) if entry.project_argument else None
    if named == SYSTEM:
        raise SyntaxRefused(f"`{SYSTEM}` is the scope above all projects and never the name of one")
    return Command(entry, MappingProxyType(arguments), named if isinstance(named, str) else None)


def _entry(stream: Sequence[Token], catalog: Catalog) -> tuple[CommandEntry, int]:
    # Exact keys only: no abbreviation, no prefix, no other case, singular is not plural (R86, R90).
    words: list[str] = []
    for token in stream[:2]:
        if token.mark is not Mark.WORD or token.quoted:
            break
        words.append(token.text)
    if not words:
        raise SyntaxRefused(
            "there is no command here", remedy="begin with the words of a command, e.g. `list projects`"
        )
    for count in range(len(words), 0, -1):
        if entry := catalog.command(" ".join(words[:count])):
            return entry, count
    typed = " ".join(words)
    nearest = _nearest(typed, catalog)
    raise UnknownCommand(
        f"there is no command `{show(typed)}`",
        remedy=f"did you mean `{nearest}`?" if nearest else "`%aizen help` lists the commands",
        more={"suggestion": nearest},
    )


def _nearest(typed: str, catalog: Catalog) -> str | None:
    if len(typed) > _LONGEST_NAME:  # the comparison is quadratic in the length
        return None
    known = [*catalog.commands, *catalog.aliases]
    found = difflib.get_close_matches(typed, known, n=1) or difflib.get_close_matches(
        typed.partition(" ")[0], known, n=1
    )
    return catalog.aliases.get(found[0], found[0]) if found else None


class _Arguments:
    """Match tokens against a grammar, left to right, one token of look-ahead."""

    def __init__(self, entry: CommandEntry, stream: Sequence[Token]) -> None:
        self.entry = entry
        self.stream = stream
        self.place = 0
        self.found: dict[str, Value] = {}

    def read(self) -> dict[str, Value]:
        for group in self.entry.syntax.groups:
            if not group.optional or self._begins(group):
                for part in group.parts:
                    self._part(part)
        if self.place < len(self.stream):
            raise self._refused(f"`{show(self.stream[self.place].text)}` is more than the command takes")
        return self.found

    def _begins(self, group: Group) -> bool:
        match group.parts[0]:
            case Literal(word):
                return self._is_literal(word)
            case Option():
                return self._mark(0) is Mark.COMMA
            case Slot():
                return self._mark(0) is Mark.WORD and self._mark(1) is not Mark.EQUALS
            case Pairs():
                return self._mark(0) is not None

    def _part(self, part: Part) -> None:
        match part:
            case Literal(word):
                if not self._is_literal(word):
                    raise self._refused(f"the word `{word}` is missing")
                self.place += 1
            case Slot(name, form):
                self._put(name, self._positional(name, form))
            case Option(name, form):
                self._tied(name)
                self._put(name, self._positional(name, form))
            case Pairs():
                while self.place < len(self.stream):
                    self._pair()

    def _positional(self, name: str, form: Form) -> Value:
        items = [self._word(name)]
        while form is Form.LIST and self._mark(0) is Mark.COMMA:
            self.place += 1
            items.append(self._word(name))
        for item in items:
            # It would read as an option wherever somebody later puts it on a command line (R91).
            if not item or item.startswith("-"):
                raise self._refused(f"the {name} `{show(item)}` is empty or begins with a hyphen")
        if len(set(items)) != len(items):
            raise self._refused(f"an item stands twice in the list of {name}")
        return tuple(items) if form is Form.LIST else items[0]

    def _tied(self, name: str) -> None:
        marks = (self._mark(0), self._mark(1), self._mark(2))
        if marks != (Mark.COMMA, Mark.WORD, Mark.EQUALS) or self.stream[self.place + 1].text != name:
            raise self._refused(f"`,{name}=…` is missing")
        self.place += 3

    def _pair(self) -> None:
        if self._mark(0) is not Mark.WORD or self._mark(1) is not Mark.EQUALS:
            raise self._refused(f"`{show(self.stream[self.place].text)}` is neither the name nor a `key=value`")
        key = self.stream[self.place]
        if key.quoted or not _is_key(key.text):
            raise self._refused(
                f"`{show(key.text)}` is not a key: letters, digits, `_` and `-`, beginning with a letter"
            )
        if key.text in self.entry.syntax.arguments:
            raise self._refused(f"`{show(key.text)}` stands without its key in this command")
        self.place += 2
        items = [self._word(key.text)]
        while self._mark(0) is Mark.COMMA:
            self.place += 1
            items.append(self._word(key.text))
        if self._mark(0) is Mark.EQUALS:
            raise self._refused(
                f"the value of `{show(key.text)}` holds a `=` or is followed by one: quote it, or put a blank"
            )
        self._put(key.text, items[0] if len(items) == 1 else tuple(items))

    def _word(self, name: str) -> str:
        if self._mark(0) is not Mark.WORD:
            raise self._refused(f"a value for `{show(name)}` is missing")
        word = self.stream[self.place].text
        self.place += 1
        return word

    def _put(self, name: str, value: Value) -> None:
        if name in self.found:
            raise self._refused(f"`{show(name)}` stands twice")
        self.found[name] = value

    def _is_literal(self, word: str) -> bool:
        if self._mark(0) is not Mark.WORD:
            return False
        token = self.stream[self.place]
        return token.text == word and not token.quoted

    def _mark(self, ahead: int) -> Mark | None:
        place = self.place + ahead
        return self.stream[place].mark if place < len(self.stream) else None

    def _refused(self, detail: str) -> SyntaxRefused:
        return SyntaxRefused(detail, remedy=f"write `{self.entry.usage}`", more={"usage": self.entry.usage})


def _is_key(text: str) -> bool:
    return text.isascii() and text[:1].isalpha() and len(text) <= 64 and all(c.isalnum() or c in "_-" for c in text)

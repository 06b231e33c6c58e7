"""Parser of command lines (R83): returns a command, or raises a problem whose remedy shows the right kind."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from datetime import UTC, datetime
from types import MappingProxyType

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
from aizen_hub.commands.command import Command, Value
from aizen_hub.commands.lexer import Token, TokenKind, ascii_excerpt, tokenize
from aizen_hub.problems import CommandSyntaxError, UnknownCommand
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.validation.duration import EXAMPLE, parse_duration
from aizen_hub.validation.end_time import END_EXAMPLE, parse_end
from aizen_hub.wording import ALL_COMMANDS

_MAX_NAME_LENGTH = 130
_ANY_TIME = datetime(2000, 1, 1, tzinfo=UTC)


def parse_command(text: str, catalog: Catalog) -> Command:
    """Parse one command line.

    Raises
    ------
    TooLarge
        The line is longer than the limits of R88.
    CommandSyntaxError
        It is not well formed, or its arguments do not match the command's grammar; the remedy shows the usage.
    UnknownCommand
        It is not in the catalog; ``extensions["suggestion"]`` is the most similar command, or None.
    """
    all_tokens = tokenize(text)
    entry, word_count = _find_entry(all_tokens, catalog)
    arguments = _ArgumentParser(entry, all_tokens[word_count:]).parse()
    project = arguments.get(entry.project_argument) if entry.project_argument else None
    if project == SYSTEM:
        raise CommandSyntaxError(f"`{SYSTEM}` is the scope above all projects and cannot be the name of a project")
    return Command(entry, MappingProxyType(arguments), project if isinstance(project, str) else None)


def _find_entry(all_tokens: Sequence[Token], catalog: Catalog) -> tuple[CommandEntry, int]:
    # Exact match only: no abbreviation, no prefix, no other case, singular is not plural (R86, R90).
    words: list[str] = []
    for token in all_tokens[:2]:
        if token.kind is not TokenKind.WORD or token.quoted:
            break
        words.append(token.text)
    if not words:
        raise CommandSyntaxError(
            "there is no command here", remedy="start with the words of a command, e.g. `list projects`"
        )
    for count in range(len(words), 0, -1):
        if entry := catalog.find_command(" ".join(words[:count])):
            return entry, count
    typed = " ".join(words)
    nearest = _nearest_command(typed, catalog)
    raise UnknownCommand(
        f"there is no command `{ascii_excerpt(typed)}`",
        remedy=f"did you mean `{nearest}`?" if nearest else ALL_COMMANDS,
        extensions={"suggestion": nearest},
    )


def _nearest_command(typed: str, catalog: Catalog) -> str | None:
    if len(typed) > _MAX_NAME_LENGTH:  # the comparison is quadratic in the length
        return None
    names = [*catalog.commands, *catalog.aliases]
    matches = difflib.get_close_matches(typed, names, n=1) or difflib.get_close_matches(
        typed.partition(" ")[0], names, n=1
    )
    return catalog.aliases.get(matches[0], matches[0]) if matches else None


class _ArgumentParser:
    """Matches tokens against a grammar, from left to right, with bounded look-ahead."""

    def __init__(self, entry: CommandEntry, stream: Sequence[Token]) -> None:
        self.entry = entry
        self.tokens = stream
        self.position = 0
        self.arguments: dict[str, Value] = {}

    def parse(self) -> dict[str, Value]:
        for group in self.entry.syntax.groups:
            if not group.optional or self._group_is_present(group):
                for part in group.parts:
                    self._parse_part(part)
        if self.position < len(self.tokens):
            raise self._error(f"`{self.entry.name}` does not take `{ascii_excerpt(self.tokens[self.position].text)}`")
        return self.arguments

    def _group_is_present(self, group: PartGroup) -> bool:
        match group.parts[0]:
            case FixedWord(word):
                return self._is_literal(word)
            case NamedArgument():
                return self._peek_kind(0) is TokenKind.COMMA
            case PositionalArgument():
                return self._peek_kind(0) is TokenKind.WORD and self._peek_kind(1) is not TokenKind.EQUALS
            case KeyValueArguments():
                return self._peek_kind(0) is not None

    def _parse_part(self, part: Part) -> None:
        match part:
            case FixedWord(word):
                if not self._is_literal(word):
                    raise self._error(f"the word `{word}` is missing")
                self.position += 1
            case PositionalArgument(name, kind):
                self._set(name, self._parse_value(name, kind))
            case NamedArgument(name, kind):
                self._parse_option_name(name)
                self._set(name, self._parse_value(name, kind))
            case KeyValueArguments():
                while self.position < len(self.tokens):
                    self._parse_key_value()

    def _parse_value(self, name: str, kind: ArgumentKind) -> Value:
        if kind is ArgumentKind.DURATION:
            return self._parse_duration(name)
        items = [self._next_word(name)]
        while kind is ArgumentKind.LIST and self._peek_kind(0) is TokenKind.COMMA:
            self.position += 1
            items.append(self._next_word(name))
        for item in items:
            # It would be taken for an option if it is ever put on a shell command line (R91).
            if not item or item.startswith("-"):
                raise self._error(f"the {name} `{ascii_excerpt(item)}` is empty or begins with a hyphen")
        if kind is ArgumentKind.END and parse_end(items[0], _ANY_TIME) is None:
            raise self._error(f"`{ascii_excerpt(items[0])}` is not a time: {END_EXAMPLE}")
        if len(set(items)) != len(items):
            raise self._error(f"an item is repeated in the list of {name}")
        return tuple(items) if kind is ArgumentKind.LIST else items[0]

    def _parse_duration(self, name: str) -> str:
        text = self._next_word(name)
        if text.isdecimal() and self._peek_kind(0) is TokenKind.WORD:
            text += f" {self._next_word(name)}"
        if parse_duration(text) is None:
            raise self._error(f"`{ascii_excerpt(text)}` is not a duration: {EXAMPLE}")
        return "".join(text.split())

    def _parse_option_name(self, name: str) -> None:
        kinds = (self._peek_kind(0), self._peek_kind(1), self._peek_kind(2))
        if kinds != (TokenKind.COMMA, TokenKind.WORD, TokenKind.EQUALS) or self.tokens[self.position + 1].text != name:
            raise self._error(f"`,{name}=…` is missing")
        self.position += 3

    def _parse_key_value(self) -> None:
        if self._peek_kind(0) is not TokenKind.WORD or self._peek_kind(1) is not TokenKind.EQUALS:
            raise self._error(
                f"`{ascii_excerpt(self.tokens[self.position].text)}` is neither the name nor a `key=value`"
            )
        key = self.tokens[self.position]
        if key.quoted or not _is_key(key.text):
            raise self._error(
                f"`{ascii_excerpt(key.text)}` is not a key: letters, digits, `_` and `-`, starting with a letter"
            )
        if key.text in self.entry.syntax.arguments:
            raise self._error(f"`{ascii_excerpt(key.text)}` is written without its key in this command")
        self.position += 2
        items = [self._next_word(key.text)]
        while self._peek_kind(0) is TokenKind.COMMA:
            self.position += 1
            items.append(self._next_word(key.text))
        if self._peek_kind(0) is TokenKind.EQUALS:
            raise self._error(
                f"the value of `{ascii_excerpt(key.text)}` contains or precedes a `=`: quote it, or add a blank"
            )
        self._set(key.text, items[0] if len(items) == 1 else tuple(items))

    def _next_word(self, name: str) -> str:
        if self._peek_kind(0) is not TokenKind.WORD:
            raise self._error(f"a value for `{ascii_excerpt(name)}` is missing")
        word = self.tokens[self.position].text
        self.position += 1
        return word

    def _set(self, name: str, value: Value) -> None:
        if name in self.arguments:
            raise self._error(f"`{ascii_excerpt(name)}` is given twice")
        self.arguments[name] = value

    def _is_literal(self, word: str) -> bool:
        if self._peek_kind(0) is not TokenKind.WORD:
            return False
        token = self.tokens[self.position]
        return token.text == word and not token.quoted

    def _peek_kind(self, ahead: int) -> TokenKind | None:
        position = self.position + ahead
        return self.tokens[position].kind if position < len(self.tokens) else None

    def _error(self, detail: str) -> CommandSyntaxError:
        return CommandSyntaxError(detail, remedy=f"write `{self.entry.usage}`", extensions={"usage": self.entry.usage})


def _is_key(text: str) -> bool:
    return text.isascii() and text[:1].isalpha() and len(text) <= 64 and all(c.isalnum() or c in "_-" for c in text)

"""A command: one line, parsed once; this form is what is decided on, recorded and carried out (R83)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from aizen_hub.catalogs.catalog import CommandEntry
from aizen_hub.catalogs.grammar import Literal, Option, Pairs, Part, Slot
from aizen_hub.commands.lexer import quoted

Value = str | tuple[str, ...]


@dataclass(frozen=True)
class Command:
    """One parsed line.

    Attributes
    ----------
    arguments : mapping of str to str or tuple of str
        By name; a comma list is a tuple. A ``file`` argument holds the name of the client's file, never a path to open.
    project : str or None
        The project that the line names; None where it names none.
    """

    entry: CommandEntry
    arguments: Mapping[str, Value]
    project: str | None

    @property
    def verb(self) -> str:
        return self.entry.verb

    @property
    def noun(self) -> str:
        return self.entry.noun

    @cached_property
    def canonical(self) -> str:
        """The one spelling of this command; reading it gives an equal command."""
        return self._text(lambda _, value: value)

    def redacted(self, seal: Callable[[str], str]) -> str:
        """Return the canonical text with every secret value replaced by ``seal(value)``, for the audit."""
        if not any(map(self.entry.is_secret, self.arguments)):
            return self.canonical
        return self._text(lambda name, value: seal(value) if self.entry.is_secret(name) else value)

    def _text(self, shown: Callable[[str, str], str]) -> str:
        words = self.entry.name
        for part in self.entry.syntax.parts:
            for piece in self._pieces(part, shown):
                words += piece
        return words

    def _pieces(self, part: Part, shown: Callable[[str, str], str]) -> Iterator[str]:
        match part:
            case Literal(word) if self._follows(word):
                yield f" {word}"
            case Slot(name, _) if name in self.arguments:
                yield f" {self._value(name, shown)}"
            case Option(name, _) if name in self.arguments:
                yield f",{name}={self._value(name, shown)}"
            case Pairs():
                named = self.entry.syntax.arguments
                for name in sorted(key for key in self.arguments if key not in named):
                    yield f" {name}={self._value(name, shown)}"

    def _follows(self, word: str) -> bool:
        # A fixed word belongs to the group it stands in, and appears when that group's argument does.
        for group in self.entry.syntax.groups:
            if Literal(word) in group.parts:
                slots = [part.name for part in group.parts if isinstance(part, Slot | Option)]
                return not group.optional or any(name in self.arguments for name in slots)
        return False

    def _value(self, name: str, shown: Callable[[str, str], str]) -> str:
        value = self.arguments[name]
        items = (value,) if isinstance(value, str) else value
        return ",".join(quoted(shown(name, item)) for item in items)

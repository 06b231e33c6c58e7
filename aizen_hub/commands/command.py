"""Commands: one line, parsed once; the parsed form is authorized, recorded and executed (R83)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from aizen_hub.catalogs.catalog import CommandEntry
from aizen_hub.catalogs.grammar import FixedWord, KeyValueArguments, NamedArgument, Part, PositionalArgument
from aizen_hub.commands.lexer import quote
from aizen_hub.rbac.identity import Identity, IdentityKind

Value = str | tuple[str, ...]
_PREFIXES = tuple(f"{kind}:" for kind in IdentityKind)


@dataclass(frozen=True)
class Command:
    """One parsed command line.

    Attributes
    ----------
    arguments : mapping of str to str or tuple of str
        By name; a list is a tuple. A ``file`` argument is the name of the client's file, never a path to open.
    project : str or None
        The project that the line names, if any.
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
        """The canonical text of this command; parsing it returns an equal command."""
        return self._render(lambda _, value: value)

    def redacted(self, mask: Callable[[str], str]) -> str:
        """Return the canonical text with every secret value replaced by ``mask(value)``, for the audit."""
        if not self.entry.secret or not any(map(self.entry.is_secret, self.arguments)):
            return self.canonical
        return self._render(lambda name, value: mask(value) if self.entry.is_secret(name) else value)

    def _render(self, render_value: Callable[[str, str], str]) -> str:
        words = self.entry.name
        for part in self.entry.syntax.parts:
            for piece in self._render_part(part, render_value):
                words += piece
        return words

    def _render_part(self, part: Part, render_value: Callable[[str, str], str]) -> Iterator[str]:
        match part:
            case FixedWord(word) if self._is_fixed_word_present(word):
                yield f" {word}"
            case PositionalArgument(name, _) if name in self.arguments:
                yield f" {self._render_value(name, render_value)}"
            case NamedArgument(name, _) if name in self.arguments:
                yield f",{name}={self._render_value(name, render_value)}"
            case KeyValueArguments():
                named_arguments = self.entry.syntax.arguments
                for name in sorted(key for key in self.arguments if key not in named_arguments):
                    yield f" {name}={self._render_value(name, render_value)}"

    def _is_fixed_word_present(self, word: str) -> bool:
        # A fixed word is rendered together with the argument of its group.
        for group in self.entry.syntax.groups:
            if FixedWord(word) in group.parts:
                slots = [part.name for part in group.parts if isinstance(part, PositionalArgument | NamedArgument)]
                return not group.optional or any(name in self.arguments for name in slots)
        return False

    def _render_value(self, name: str, render_item: Callable[[str, str], str]) -> str:
        value = self.arguments[name]
        items = (value,) if isinstance(value, str) else value
        return ",".join(quote(render_item(name, item)) for item in items)


def identity_of_argument(text: str) -> Identity:
    """Return the identity that an argument names: a user, or with its prefix a group or service account."""
    try:
        return Identity.parse(text) if text.startswith(_PREFIXES) else Identity.user(text)
    except ValueError:
        return Identity.user(text)

"""Argument grammars of commands: templates such as ``<roles:list> to <user>``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

DEFAULT_TEMPLATE = "[<name>] [key=value …]"

_MAX_LENGTH = 512
_TOKEN = re.compile(
    r" *(?:(?P<open>\[)|(?P<close>\])|(?P<pairs>key=value …)|,(?P<option>[a-z_]+)=<(?P<kind>[a-z]+)>"
    r"|<(?P<position>[a-z_]+)(?::(?P<position_kind>[a-z]+))?>|(?P<word>[a-z]+)) *"
)

_KIND = re.compile(r"<([a-z_]+):([a-z]+)>")
_USAGE = {"word": "{}", "list": "{},…", "file": "{} file", "duration": "{}", "end": "{}"}


class ArgumentKind(StrEnum):
    """What an argument is: one word, a comma-separated list, the name of a file sent along with the command, or a time.

    A duration is ``7d`` or ``7 days``, an end a day, which still counts, a time, or ``eod``.
    """

    WORD = "word"
    LIST = "list"
    FILE = "file"
    DURATION = "duration"
    END = "end"


@dataclass(frozen=True, slots=True)
class PositionalArgument:
    """An argument identified by its position, ``<name>``."""

    name: str
    kind: ArgumentKind


@dataclass(frozen=True, slots=True)
class FixedWord:
    """A fixed word, such as ``to``."""

    word: str


@dataclass(frozen=True, slots=True)
class NamedArgument:
    """An argument identified by its name and attached with a comma, ``,config=<file>``."""

    name: str
    kind: ArgumentKind


@dataclass(frozen=True, slots=True)
class KeyValueArguments:
    """Any number of ``key=value`` arguments."""


Part = PositionalArgument | FixedWord | NamedArgument | KeyValueArguments


@dataclass(frozen=True, slots=True)
class PartGroup:
    """Parts that are present or absent together."""

    parts: tuple[Part, ...]
    optional: bool


@dataclass(frozen=True, slots=True)
class Grammar:
    """The arguments of a command."""

    template: str
    groups: tuple[PartGroup, ...]

    @property
    def parts(self) -> tuple[Part, ...]:
        return tuple(part for group in self.groups for part in group.parts)

    @property
    def arguments(self) -> tuple[str, ...]:
        """The named arguments, in the order of the template."""
        return tuple(part.name for part in self.parts if isinstance(part, PositionalArgument | NamedArgument))

    @property
    def usage(self) -> str:
        """The template for people: ``grant role <roles,…> to <user>``."""
        return _KIND.sub(lambda match: f"<{_USAGE[match[2]].format(match[1])}>", self.template)

    @property
    def files(self) -> frozenset[str]:
        """The arguments that name a file on the client's side."""
        return frozenset(
            part.name
            for part in self.parts
            if isinstance(part, PositionalArgument | NamedArgument) and part.kind is ArgumentKind.FILE
        )

    @property
    def accepts_key_values(self) -> bool:
        return any(isinstance(part, KeyValueArguments) for part in self.parts)


@lru_cache(maxsize=1024)
def parse_grammar(template: str) -> Grammar:
    """Parse a template; ValueError with the reason if it is invalid or ambiguous."""
    if len(template) > _MAX_LENGTH:
        raise ValueError(f"the grammar `{template[:80]}` has more than {_MAX_LENGTH} characters")
    groups: list[PartGroup] = []
    group_parts: list[Part] | None = None
    position = 0
    while position < len(template):
        token = _TOKEN.match(template, position)
        if token is None:
            raise ValueError(f"the grammar `{template[:80]}` cannot be parsed at column {position + 1}")
        position = token.end()
        if token["open"]:
            if group_parts is not None:
                raise ValueError(f"the grammar `{template[:80]}` nests brackets")
            group_parts = []
        elif token["close"]:
            if not group_parts:
                raise ValueError(f"the grammar `{template[:80]}` closes an empty bracket")
            groups.append(PartGroup(tuple(group_parts), optional=True))
            group_parts = None
        elif group_parts is None:
            groups.append(PartGroup((_part(token),), optional=False))
        else:
            group_parts.append(_part(token))
    if group_parts is not None:
        raise ValueError(f"the grammar `{template[:80]}` does not close its bracket")
    return _require_unambiguous(Grammar(template, tuple(groups)))


def _part(token: re.Match[str]) -> Part:
    if token["pairs"]:
        return KeyValueArguments()
    if token["word"]:
        return FixedWord(token["word"])
    if token["option"]:
        return NamedArgument(token["option"], ArgumentKind(token["kind"]))
    return PositionalArgument(token["position"], ArgumentKind(token["position_kind"] or "word"))


def _require_unambiguous(grammar: Grammar) -> Grammar:
    names = grammar.arguments
    if len(set(names)) != len(names):
        raise ValueError(f"the grammar `{grammar.template[:80]}` names an argument twice")
    for before, after in zip(grammar.groups, grammar.groups[1:], strict=False):
        if isinstance(before.parts[-1], KeyValueArguments):
            raise ValueError(f"in the grammar `{grammar.template[:80]}` nothing may follow `key=value …`")
        if (
            before.optional
            and isinstance(before.parts[0], PositionalArgument)
            and isinstance(after.parts[0], PositionalArgument | FixedWord)
        ):
            raise ValueError(
                f"in the grammar `{grammar.template[:80]}` an optional `<…>` makes what follows it ambiguous"
            )
    return grammar

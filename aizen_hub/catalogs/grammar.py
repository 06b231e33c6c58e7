"""Grammars of commands: templates such as ``<roles:list> to <user>``, as the reference prints them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

DEFAULT_TEMPLATE = "[<name>] [key=value …]"

_LONGEST = 512
_PIECE = re.compile(
    r" *(?:(?P<open>\[)|(?P<close>\])|(?P<pairs>key=value …)|,(?P<option>[a-z_]+)=<(?P<kind>[a-z]+)>"
    r"|<(?P<slot>[a-z_]+)(?::(?P<form>[a-z]+))?>|(?P<word>[a-z]+)) *"
)

_FORM = re.compile(r"<([a-z_]+):([a-z]+)>")
_SHOWN = {"word": "{}", "list": "{},…", "file": "{} file"}


class Form(StrEnum):
    """What an argument may be: one word, a comma list, or the name of a file whose content travels beside the text."""

    WORD = "word"
    LIST = "list"
    FILE = "file"


@dataclass(frozen=True, slots=True)
class Slot:
    """An argument known by its position, ``<name>``."""

    name: str
    form: Form


@dataclass(frozen=True, slots=True)
class Literal:
    """A fixed word, such as ``to``."""

    word: str


@dataclass(frozen=True, slots=True)
class Option:
    """An argument known by its name and tied on with a comma, ``,config=<file>``."""

    name: str
    form: Form


@dataclass(frozen=True, slots=True)
class Pairs:
    """Any number of ``key=value``."""


Part = Slot | Literal | Option | Pairs


@dataclass(frozen=True, slots=True)
class Group:
    """Parts that stand or are missing together."""

    parts: tuple[Part, ...]
    optional: bool


@dataclass(frozen=True, slots=True)
class Grammar:
    """What may follow the words of a command."""

    template: str
    groups: tuple[Group, ...]

    @property
    def parts(self) -> tuple[Part, ...]:
        return tuple(part for group in self.groups for part in group.parts)

    @property
    def arguments(self) -> tuple[str, ...]:
        """The named arguments, in the order of the template."""
        return tuple(part.name for part in self.parts if isinstance(part, Slot | Option))

    @property
    def usage(self) -> str:
        """The template as people read it: ``grant role <roles,…> to <user>``."""
        return _FORM.sub(lambda found: f"<{_SHOWN[found[2]].format(found[1])}>", self.template)

    @property
    def files(self) -> frozenset[str]:
        """The arguments that name a file of the client."""
        return frozenset(part.name for part in self.parts if isinstance(part, Slot | Option) and part.form is Form.FILE)

    @property
    def takes_pairs(self) -> bool:
        return any(isinstance(part, Pairs) for part in self.parts)


@lru_cache(maxsize=1024)
def parse_grammar(template: str) -> Grammar:
    """Read a template; ValueError, saying what is wrong, for one that cannot be read or is ambiguous."""
    if len(template) > _LONGEST:
        raise ValueError(f"the grammar `{template[:80]}` has more than {_LONGEST} characters")
    groups: list[Group] = []
    inside: list[Part] | None = None
    place = 0
    while place < len(template):
        piece = _PIECE.match(template, place)
        if piece is None:
            raise ValueError(f"the grammar `{template[:80]}` cannot be read at column {place + 1}")
        place = piece.end()
        if piece["open"]:
            if inside is not None:
                raise ValueError(f"the grammar `{template[:80]}` nests brackets")
            inside = []
        elif piece["close"]:
            if not inside:
                raise ValueError(f"the grammar `{template[:80]}` closes a bracket that holds nothing")
            groups.append(Group(tuple(inside), optional=True))
            inside = None
        elif inside is None:
            groups.append(Group((_part(piece),), optional=False))
        else:
            inside.append(_part(piece))
    if inside is not None:
        raise ValueError(f"the grammar `{template[:80]}` does not close its bracket")
    return _unambiguous(Grammar(template, tuple(groups)))


def _part(piece: re.Match[str]) -> Part:
    if piece["pairs"]:
        return Pairs()
    if piece["word"]:
        return Literal(piece["word"])
    if piece["option"]:
        return Option(piece["option"], Form(piece["kind"]))
    return Slot(piece["slot"], Form(piece["form"] or "word"))


def _unambiguous(grammar: Grammar) -> Grammar:
    names = grammar.arguments
    if len(set(names)) != len(names):
        raise ValueError(f"the grammar `{grammar.template[:80]}` names an argument twice")
    for before, after in zip(grammar.groups, grammar.groups[1:], strict=False):
        if isinstance(before.parts[-1], Pairs):
            raise ValueError(f"in the grammar `{grammar.template[:80]}` nothing may follow `key=value …`")
        if before.optional and isinstance(before.parts[0], Slot) and isinstance(after.parts[0], Slot | Literal):
            raise ValueError(f"in the grammar `{grammar.template[:80]}` an optional `<…>` hides what follows it")
    return grammar

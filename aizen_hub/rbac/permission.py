"""Permissions: ``verb:noun``, and which permission covers which."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Self

ANY = "*"
_WORD = re.compile(r"[a-z][a-z0-9_-]{0,63}|\*")


@dataclass(frozen=True, slots=True, order=True)
class Permission:
    """One right, ``verb:noun``; either side may be ``*``, and a bare verb means every noun.

    As something *held* it covers what it names; as something *asked* ``write:*`` is the right to write every noun,
    which only ``write:*`` and ``*:*`` cover.
    """

    verb: str
    noun: str = ANY

    def __post_init__(self) -> None:
        for word in (self.verb, self.noun):
            if not _WORD.fullmatch(word):
                raise ValueError(
                    f"`{word[:80]}` is not a verb or noun of a permission: lower-case letters, digits, `-`, `_`, or `*`"
                )

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``verb:noun``, ``verb`` or ``*``; ValueError for anything else."""
        verb, colon, noun = text.partition(":")
        return cls(verb, noun if colon else ANY)

    def covers(self, asked: Permission) -> bool:
        """Tell whether holding this permission answers for ``asked``."""
        return self.verb in (ANY, asked.verb) and self.noun in (ANY, asked.noun)

    def coverers(self) -> tuple[Permission, ...]:
        """Return every permission that covers this one, the most exact first: four look-ups instead of a search."""
        return _coverers(self)

    def __str__(self) -> str:
        return f"{self.verb}:{self.noun}"


@lru_cache(maxsize=4096)
def _coverers(asked: Permission) -> tuple[Permission, ...]:
    exact_first = (asked, Permission(asked.verb), Permission(ANY, asked.noun), Permission(ANY))
    return tuple(dict.fromkeys(exact_first))

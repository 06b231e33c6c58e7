"""Permissions: ``verb:noun``, and which one covers which."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Self

ANY = "*"
_WORD = re.compile(r"[a-z][a-z0-9_-]{0,63}|\*")


@dataclass(frozen=True, slots=True, order=True)
class Permission:
    """A permission ``verb:noun``; either side may be ``*``, and a bare verb means every noun.

    A permission that is *held* covers what it names. A *requested* ``write:*`` is the right to write every noun, which
    only ``write:*`` and ``*:*`` cover.
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
        """Parse ``verb:noun``, ``verb`` or ``*``; ValueError for anything else."""
        verb, colon, noun = text.partition(":")
        return cls(verb, noun if colon else ANY)

    def covers(self, requested: Permission) -> bool:
        """Return whether a holder of this permission has ``requested``."""
        return self.verb in (ANY, requested.verb) and self.noun in (ANY, requested.noun)

    def common_part(self, other: Permission) -> Permission | None:
        """Return the permission that covers exactly what both cover; None if they have nothing in common."""
        verb, noun = _common_word(self.verb, other.verb), _common_word(self.noun, other.noun)
        return None if verb is None or noun is None else Permission(verb, noun)

    def covering(self) -> tuple[Permission, ...]:
        """Return every permission that covers this one, most specific first: four lookups instead of a search."""
        return _covering(self)

    def __str__(self) -> str:
        return f"{self.verb}:{self.noun}"


def _common_word(first: str, second: str) -> str | None:
    if ANY in (first, second):
        return second if first == ANY else first
    return first if first == second else None


@lru_cache(maxsize=4096)
def _covering(requested: Permission) -> tuple[Permission, ...]:
    exact_first = (requested, Permission(requested.verb), Permission(ANY, requested.noun), Permission(ANY))
    return tuple(dict.fromkeys(exact_first))

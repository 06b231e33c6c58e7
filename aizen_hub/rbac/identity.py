"""Identities: users, groups and service accounts, in three separate namespaces (R30)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Self


class IdentityKind(StrEnum):
    __hash__ = str.__hash__  # that of `Enum` is not compiled, and every decision looks up identities

    USER = "user"
    GROUP = "group"
    SERVICE_ACCOUNT = "service-account"


@dataclass(frozen=True, slots=True, order=True)
class Identity:
    """A user, group or service account that roles can be assigned to; ``name`` is canonical (R27)."""

    kind: IdentityKind
    name: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse ``user:NAME``, ``group:NAME`` or ``service-account:NAME``; ValueError for anything else."""
        kind, colon, name = text.partition(":")
        if not colon or not name or kind not in set(IdentityKind):
            raise ValueError(f"`{text[:80]}` is not an identity: write user:NAME, group:NAME or service-account:NAME")
        return cls(IdentityKind(kind), name)

    @classmethod
    def user(cls, name: str) -> Self:
        return cls(IdentityKind.USER, name)

    @classmethod
    def group(cls, name: str) -> Self:
        return cls(IdentityKind.GROUP, name)

    @classmethod
    def service_account(cls, name: str) -> Self:
        return cls(IdentityKind.SERVICE_ACCOUNT, name)

    def __str__(self) -> str:
        return self.kind + ":" + self.name

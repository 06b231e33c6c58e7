"""Limits of roles and of identities; the strictest one that applies wins."""

from __future__ import annotations

from dataclasses import dataclass

from aizen_hub.rbac.assignment import ALWAYS, Interval
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import LimitKind


@dataclass(frozen=True, slots=True)
class IdentityLimit:
    """A limit that is set directly on an identity in a scope."""

    identity: Identity
    scope: str
    kind: LimitKind
    value: float


@dataclass(frozen=True, slots=True)
class EffectiveLimit:
    """A limit that applies to an identity, with its source.

    Attributes
    ----------
    value : float
        Bytes for memory, cores for cpu, counts for projects and jobs.
    source_role : str or None
        The role that carries it; None if it was set on an identity directly.
    scope : str
        Where the role is assigned or the limit is set.
    via : tuple of Identity
        The groups through which it applies, outermost last.
    """

    kind: LimitKind
    value: float
    source_role: str | None
    scope: str
    via: tuple[Identity, ...] = ()
    interval: Interval = ALWAYS

    @property
    def source(self) -> str:
        """Where the limit comes from, as a phrase."""
        what = f"role {self.source_role}" if self.source_role else "a limit set"
        return f"{what} in {self.scope}" + "".join(f", through {group}" for group in self.via)

"""Limits: numbers that roles carry or that are set on an identity; the strictest that applies wins."""

from __future__ import annotations

from dataclasses import dataclass

from aizen_hub.rbac.assignment import ALWAYS, Interval
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import LimitKind


@dataclass(frozen=True, slots=True)
class ScopeLimit:
    """A limit set on an identity in a scope directly, beside those that roles carry."""

    identity: Identity
    scope: str
    kind: LimitKind
    value: float


@dataclass(frozen=True, slots=True)
class Limited:
    """A limit that reaches a person, and where it comes from.

    Attributes
    ----------
    value : float
        Bytes for memory, cores for cpu, counts for projects and jobs.
    source_role : str or None
        The role that carries it; None: it was set on the identity directly.
    scope : str
        Where the role is assigned or the limit is set.
    via : tuple of Identity
        The groups through which it reaches the person, outermost last.
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

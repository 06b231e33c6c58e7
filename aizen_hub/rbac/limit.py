"""Limits of roles and of identities; the strictest one that applies wins."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from aizen_hub.rbac.assignment import ALWAYS, Interval
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import SYSTEM, LimitKind, Role


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


def exceeds_limits(
    limits: Iterable[EffectiveLimit],
    role: Role,
    scope: str,
    recipient_limits: Iterable[EffectiveLimit],
    now: datetime,
) -> bool:
    """Return whether a recipient of ``role`` in ``scope`` would not be bound there by each of ``limits``.

    Only limits of the role and limits set on the recipient itself count: a membership can end. Projects are created in
    the system, so a role in a project is not measured by that limit.

    Parameters
    ----------
    limits : iterable of EffectiveLimit
        Those of the grantor, present and future.
    """
    bounds = [EffectiveLimit(kind, value, role.name, scope) for kind, value in role.limits.items()]
    bounds += (bound for bound in recipient_limits if not bound.via)
    return any(
        not any(_is_as_strict(bound, limit, scope, now) for bound in bounds)
        for limit in limits
        if (scope == SYSTEM or (limit.scope in (scope, SYSTEM) and limit.kind is not LimitKind.PROJECTS))
        and (limit.interval.ends is None or now < limit.interval.ends)
    )


def _is_as_strict(bound: EffectiveLimit, limit: EffectiveLimit, scope: str, now: datetime) -> bool:
    starts, ends, until = bound.interval.starts, bound.interval.ends, limit.interval.ends
    return (
        bound.kind is limit.kind
        and bound.value <= limit.value
        and bound.scope in (limit.scope, scope, SYSTEM)
        and (starts is None or starts <= now)
        and (ends is None or (until is not None and until <= ends))
    )

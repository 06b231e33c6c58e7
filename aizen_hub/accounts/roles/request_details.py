"""What helps to decide one access request: what it adds, who else has the role, and what happened before."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, or_, select

from aizen_hub.accounts import pending_changes
from aizen_hub.accounts.roles import request_checks
from aizen_hub.audit.search import AuditFilter, search_newest
from aizen_hub.authorization import checks
from aizen_hub.authorization.delegation import GrantAuthority
from aizen_hub.authorization.explanations.ways_to_allow import added_commands
from aizen_hub.authorization.queries.grantors import who_can_grant
from aizen_hub.authorization.queries.role_coverage import allowed_commands
from aizen_hub.catalogs.catalog import Catalog, CommandEntry
from aizen_hub.rbac.default_denials import any_covers
from aizen_hub.rbac.engine import effective_permissions
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.permission import Permission
from aizen_hub.rbac.role import SYSTEM, Role, ScopeKind, permissions_of_role
from aizen_hub.store import tables

if TYPE_CHECKING:
    from aizen_hub.rbac.rights import HeldRole
    from aizen_hub.store.transaction import ActorTransaction, ReadTransaction

REFUSALS_SINCE = timedelta(days=7)
MAX_REFUSALS = 500
_MAX_HOLDERS = 8
_a, _p = tables.assignments, tables.pending_changes


@dataclass(frozen=True, slots=True)
class TaskWords:
    """What is possible with one task, in the words of the catalog: ``Training: run, configure``."""

    task: str
    words: tuple[str, ...]
    commands: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RefusedCommand:
    """A command that was refused, and how often."""

    command: str
    permission: str | None
    count: int


@dataclass(frozen=True, slots=True)
class SmallerRole:
    """A role with a part of the requested rights, which would do for everything that was refused."""

    role: str
    adds: int


@dataclass(frozen=True, slots=True)
class RequestDetails:
    """The material for a decision.

    Attributes
    ----------
    present : int
        Commands that the requester may run in the scope now.
    adds : tuple of TaskWords
        What the role adds to that; ``added`` is the number of commands.
    missing_words : tuple of str
        What the requester still could not do, in the words of the catalog.
    holders, holder_count : tuple of str, int
        Some identities that have the role in the scope, and how many there are; none for the requester, who may not
        know them.
    held : tuple of HeldRole
        What the requester has in the scope, and in the system where the reader may read that.
    refusals : tuple of RefusedCommand or None
        Of the last 7 days; None for a reader who may not read the audit there.
    earlier : mapping of str to int
        Earlier requests of the requester for the scope by their outcome.
    grantors : tuple of str
        Some users who can decide.
    may_decide : bool
        The actor can.
    """

    requester: Identity
    role: str
    scope: str
    until: datetime | None
    present: int
    added: int
    adds: tuple[TaskWords, ...]
    missing_words: tuple[str, ...]
    holders: tuple[str, ...]
    holder_count: int
    held: tuple[HeldRole, ...]
    refusals: tuple[RefusedCommand, ...] | None
    earlier: Mapping[str, int]
    smaller_roles: tuple[SmallerRole, ...]
    grantors: tuple[str, ...]
    may_decide: bool


def describe_request(tx: ActorTransaction, row: Any) -> RequestDetails:
    """Return what helps to decide a request, which the actor may see; without a further authorization check.

    Parameters
    ----------
    row : Row
        Of `access_requests.get_visible_request`.
    """
    requester, scope = Identity.parse(row.requested_by), row.payload["scope"]
    role = tx.roles.get(row.payload["role"])
    until = row.payload.get("until")
    is_own = requester == tx.actor.identity
    kind = ScopeKind.SYSTEM if scope == SYSTEM else ScopeKind.PROJECT
    before = effective_permissions(tx.rights(requester), scope, tx.now)
    present = allowed_commands(tx.catalog, before, kind)
    added = () if role is None else added_commands(tx, role, scope, requester, scope)
    after = before if role is None else before | permissions_of_role(role, scope, tx.catalog.member_permissions)
    refusals = None if is_own or not _may_read_audit(tx, scope) else _find_refusals(tx, requester, scope)
    authority = GrantAuthority.of_actor(tx)
    return RequestDetails(
        requester,
        row.payload["role"],
        scope,
        None if until is None else datetime.fromisoformat(until),
        len(present),
        len(added),
        words_by_task(tx.catalog, added),
        _missing_words(tx.catalog, after, kind),
        *(_holders(tx, row.payload["role"], scope) if not is_own or _may_read_access(tx, scope) else ((), 0)),
        tuple(
            held
            for held in tx.rights(requester).held_roles
            if held.scope == scope or (held.scope == SYSTEM and (is_own or _may_read_access(tx, SYSTEM)))
        ),
        refusals,
        _earlier_requests(tx, row),
        () if role is None or not refusals else _smaller_roles(tx, authority, role, scope, requester, refusals),
        () if role is None else who_can_grant(tx, role.name, scope, recipient=requester, besides=(requester,)),
        role is not None and not is_own and not authority.missing_to_grant(tx, role, scope, requester),
    )


def words_by_task(catalog: Catalog, entries: Iterable[CommandEntry]) -> tuple[TaskWords, ...]:
    """Return commands as tasks with the words for people of their verbs, in the order of the catalog."""
    by_task: dict[str, list[CommandEntry]] = {}
    for entry in entries:
        by_task.setdefault(entry.task, []).append(entry)
    return tuple(
        TaskWords(
            task,
            tuple(dict.fromkeys(catalog.word_of(entry.permission.verb) for entry in listed if entry.permission)),
            tuple(entry.name for entry in listed),
        )
        for task, listed in by_task.items()
    )


def _missing_words(catalog: Catalog, permissions: frozenset[Permission], kind: ScopeKind) -> tuple[str, ...]:
    allowed = {entry.name for entry in allowed_commands(catalog, permissions, kind)}
    everything = allowed_commands(catalog, frozenset({Permission("*")}), kind)
    words = {
        True: [entry.permission.verb for entry in everything if entry.permission and entry.name in allowed],
        False: [entry.permission.verb for entry in everything if entry.permission and entry.name not in allowed],
    }
    return tuple(dict.fromkeys(catalog.word_of(verb) for verb in words[False] if verb not in words[True]))


def _holders(tx: ReadTransaction, role: str, scope: str) -> tuple[tuple[str, ...], int]:
    conditions = (_a.c.role == role, _a.c.scope == scope, or_(_a.c.ends.is_(None), _a.c.ends > tx.now))
    names = tx.conn.execute(select(_a.c.identity).where(*conditions).order_by(_a.c.identity).limit(_MAX_HOLDERS))
    count = tx.conn.execute(select(func.count()).select_from(_a).where(*conditions)).scalar_one()
    return tuple(names.scalars()), count


def _may_read_access(tx: ActorTransaction, scope: str) -> bool:
    return checks.is_allowed(tx, checks.endpoint_permission(tx, "access"), scope)


def _may_read_audit(tx: ActorTransaction, scope: str) -> bool:
    return checks.is_allowed(tx, checks.endpoint_permission(tx, "audit"), scope)


def _find_refusals(tx: ReadTransaction, requester: Identity, scope: str) -> tuple[RefusedCommand, ...]:
    row_filter = AuditFilter(
        str(requester), None if scope == SYSTEM else scope, "decision", since=tx.now - REFUSALS_SINCE
    )
    counts: Counter[tuple[str, str | None]] = Counter()
    for record in search_newest(tx.conn, row_filter, MAX_REFUSALS):
        command = record.get("command")
        if record.get("allowed") is False and isinstance(command, str):
            entry = _entry_of(tx.catalog, command)
            name = command[:80] if entry is None else entry.name
            counts[name, (record.get("details") or {}).get("permission")] += 1
    return tuple(RefusedCommand(name, permission, count) for (name, permission), count in counts.most_common(5))


def _entry_of(catalog: Catalog, command: str) -> CommandEntry | None:
    words = command.split(" ")
    return next(filter(None, (catalog.find_command(" ".join(words[:length])) for length in (3, 2, 1))), None)


def _smaller_roles(
    tx: ActorTransaction,
    authority: GrantAuthority,
    role: Role,
    scope: str,
    requester: Identity,
    refusals: Iterable[RefusedCommand],
) -> tuple[SmallerRole, ...]:
    needed = [Permission.parse(refusal.permission) for refusal in refusals if refusal.permission]
    whole = len(added_commands(tx, role, scope, requester, scope))
    smaller: list[SmallerRole] = []
    for candidate in tx.roles.values():
        permissions = permissions_of_role(candidate, scope, tx.catalog.member_permissions)
        if candidate.name == role.name or not all(any_covers(permissions, permission) for permission in needed):
            continue
        if not request_checks.is_smaller_role(tx, candidate, role, scope):
            continue
        adds = len(added_commands(tx, candidate, scope, requester, scope))
        if adds < whole and not authority.missing_to_grant(tx, candidate, scope, requester):
            smaller.append(SmallerRole(candidate.name, adds))
    return tuple(sorted(smaller, key=lambda item: (item.adds, item.role))[:3])


def _earlier_requests(tx: ReadTransaction, row: Any) -> dict[str, int]:
    rows = tx.conn.execute(
        select(_p.c.state, _p.c.comment, _p.c.payload).where(
            _p.c.kind == pending_changes.ACCESS_REQUEST,
            _p.c.requested_by == row.requested_by,
            _p.c.id != row.id,
            _p.c.state != "waiting",
        )
    )
    outcomes: Counter[str] = Counter()
    for earlier in rows:
        if earlier.payload.get("scope") == row.payload["scope"]:
            outcomes[outcome_of(earlier.state, earlier.comment)] += 1
    return dict(outcomes)


def outcome_of(state: str, comment: str) -> str:
    """Return the outcome of a closed request in words."""
    if state == "rejected" and comment == "withdrawn":
        return "withdrawn"
    return {"confirmed": "approved", "rejected": "denied", "expired": "expired"}.get(state, state)

"""Who may run which commands of a project now: the answers of the decision engine for many identities at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from aizen_hub.catalogs.catalog import CommandEntry
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.permission import Permission
from aizen_hub.rbac.rights import HeldRole, Rights
from aizen_hub.rbac.role import SYSTEM

if TYPE_CHECKING:
    from aizen_hub.store.transaction import ReadTransaction


class AnswerKind(StrEnum):
    YES = "yes"
    UNTIL = "until"
    NO = "no"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class MatrixAnswer:
    """Whether an identity may run a command now.

    Attributes
    ----------
    ends : datetime or None
        When the last assignment that allows it ends, for ``UNTIL``.
    confirmed_until : datetime or None
        For ``YES`` only as long as a directory confirms a membership: until when its last confirmation holds.
    """

    kind: AnswerKind
    ends: datetime | None = None
    confirmed_until: datetime | None = None

    @property
    def is_yes(self) -> bool:
        return self.kind in (AnswerKind.YES, AnswerKind.UNTIL)


@dataclass(frozen=True, slots=True)
class MatrixRow:
    """The answers of one identity, in the order of the commands.

    Attributes
    ----------
    roles : tuple of str
        The roles in effect in the project, with those of the system.
    """

    identity: Identity
    roles: tuple[str, ...]
    answers: tuple[MatrixAnswer, ...]


_NO, _YES, _STOPPED = MatrixAnswer(AnswerKind.NO), MatrixAnswer(AnswerKind.YES), MatrixAnswer(AnswerKind.STOPPED)


def member_matrix(
    tx: ReadTransaction, project: str, identities: Iterable[Identity], commands: Sequence[CommandEntry]
) -> list[MatrixRow]:
    """Return a row for each identity; identities with the same roles share the computation."""
    permissions = [entry.permission for entry in commands]
    known: dict[object, tuple[MatrixAnswer, ...]] = {}
    rows = []
    for identity in identities:
        rights = tx.rights(identity)
        held = [role for role in rights.held_roles if role.scope in (project, SYSTEM)]
        is_stopped = not rights.active or rights.active_lock(project, None, tx.now) is not None
        is_archived = rights.active_archive(project, tx.now) is not None
        key = (
            is_stopped,
            is_archived,
            frozenset(
                (role.role, role.scope, role.interval, role.granted_until, role.confirmed_until, role.group_locks)
                for role in held
            ),
        )
        answers = known.get(key)
        if answers is None:
            answers = known[key] = tuple(
                _answer(
                    rights,
                    project,
                    permission,
                    is_stopped=is_stopped or (is_archived and not rights.archive_rule.allows(permission)),
                    now=tx.now,
                )
                for permission in permissions
            )
        names = tuple(dict.fromkeys(role.role for role in held if role.is_effective(tx.now)))
        rows.append(MatrixRow(identity, names, answers))
    return rows


def _answer(
    rights: Rights, project: str, permission: Permission | None, *, is_stopped: bool, now: datetime
) -> MatrixAnswer:
    if permission is None:
        return _STOPPED if is_stopped else _YES
    candidates = list(rights.matching(project, permission))
    if is_stopped:
        return _STOPPED if any(role.interval.includes(now) for role in candidates) else _NO
    effective = [role for role in candidates if role.is_effective(now)]
    if effective:
        return _until(effective)
    return _STOPPED if any(role.interval.includes(now) for role in candidates) else _NO


def _until(effective: Sequence[HeldRole]) -> MatrixAnswer:
    endless = [role.confirmed_until for role in effective if role.granted_until is None]
    if not endless:
        return MatrixAnswer(
            AnswerKind.UNTIL, max(role.granted_until for role in effective if role.granted_until is not None)
        )
    confirmed = [time for time in endless if time is not None]
    return _YES if len(confirmed) < len(endless) else MatrixAnswer(AnswerKind.YES, confirmed_until=max(confirmed))

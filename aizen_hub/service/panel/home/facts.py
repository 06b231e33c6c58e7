"""What the page *Home* tells: which roles end soon, what was refused, and the state of the service."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, select

from aizen_hub.rbac.messages import SUMMARIES
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.service.panel.visibility import Viewer
from aizen_hub.settings import ProviderSettings
from aizen_hub.store import tables
from aizen_hub.store.keystore import KeyStore
from aizen_hub.store.transaction import ReadTransaction
from aizen_hub.tokens.keys import KeyState

ENDING_WITHIN = timedelta(days=14)
REFUSED_WITHIN = timedelta(hours=24)
MAX_EXAMINED = 5_000
"""Newest decisions that are searched for refusals."""
_DENIED = b'"allowed":false'
_a, _u, _o = tables.assignments, tables.users, tables.outbox


@dataclass(frozen=True, slots=True)
class Ending:
    """Assignments that end soon: the first ones, and how many there are."""

    rows: Sequence[Any]
    total: int


def read_ending(viewer: Viewer, limit: int) -> Ending:
    """Return the assignments that end within 14 days, in the projects that the viewer sees, the first to end first."""
    now = viewer.tx.now
    conditions = [_a.c.ends > now, _a.c.ends <= now + ENDING_WITHIN]
    if viewer.projects is not None:
        conditions.append(_a.c.scope.in_(sorted(viewer.projects)))
    execute = viewer.tx.conn.execute
    columns = (_a.c.id, _a.c.role, _a.c.scope, _a.c.identity, _a.c.ends)
    rows = execute(select(*columns).where(*conditions).order_by(_a.c.ends, _a.c.id).limit(limit)).all()
    total = len(rows)
    if total == limit:
        total = execute(select(func.count()).select_from(_a).where(*conditions)).scalar_one()
    return Ending(rows, total)


@dataclass(frozen=True, slots=True)
class RefusalGroup:
    """Refusals of one command in one project for one reason.

    Attributes
    ----------
    summary : str
        The reason in a few words, without names.
    decision_id : str
        Of the newest one.
    identities : tuple of str
    """

    command: str
    project: str | None
    reason: str
    summary: str
    sentence: str
    decision_id: str
    identities: tuple[str, ...]
    count: int


@dataclass(frozen=True, slots=True)
class Refusals:
    """The refusals of the last day, the most frequent first.

    Attributes
    ----------
    total : int
        Of single refusals.
    only_newest : int or None
        Decisions that were examined, where there are more within the day; None: all were.
    """

    rows: Sequence[RefusalGroup]
    total: int
    only_newest: int | None


def read_refusals(viewer: Viewer) -> Refusals | None:
    """Return what was refused within a day, where the viewer may read the audit; None where they may not at all."""
    projects = None
    if not viewer.may("audit"):
        projects = sorted(project for project in viewer.managed_projects if viewer.may("audit", project))
        if not projects:
            return None
    examined, records = _denied_decisions(viewer.tx, projects)
    grouped: dict[tuple[str, str | None, str], list[dict[str, Any]]] = defaultdict(list)
    for record in records:
        grouped[record.get("command") or "", record.get("project"), record.get("reason") or ""].append(record)
    rows = [
        RefusalGroup(
            command,
            None if project == SYSTEM else project,
            reason,
            SUMMARIES.get(reason, reason),
            same[0].get("sentence") or "",
            same[0]["id"],
            tuple(dict.fromkeys(str(record["identity"]) for record in same)),
            len(same),
        )
        for (command, project, reason), same in grouped.items()
    ]
    rows.sort(key=lambda row: -row.count)
    return Refusals(rows, len(records), MAX_EXAMINED if examined >= MAX_EXAMINED else None)


def _denied_decisions(tx: ReadTransaction, projects: Sequence[str] | None) -> tuple[int, list[dict[str, Any]]]:
    """Return how many of the day's decisions were examined, and the refusals among them, the newest first."""
    audit = tables.audit.c
    conditions = [audit.event == "decision", audit.at >= tx.now - REFUSED_WITHIN]
    if projects is not None:
        conditions.append(audit.project.in_(projects))
    newest = select(audit.body).where(*conditions).order_by(audit.at.desc()).limit(MAX_EXAMINED)
    bodies = [bytes(body) for body in tx.conn.execute(newest).scalars()]
    # The canonical JSON of a record has no blanks: what was allowed need not be parsed.
    return len(bodies), [json.loads(body) for body in bodies if _DENIED in body]


@dataclass(frozen=True, slots=True)
class ProviderFacts:
    """The people of one provider: how many, and the last sign-in."""

    name: str
    label: str
    people: int
    last_sign_in: datetime | None


def read_providers(tx: ReadTransaction, providers: Sequence[ProviderSettings]) -> list[ProviderFacts]:
    """Return the people by provider; one that is not configured any more is shown by its name."""
    query = select(_u.c.provider, func.count().label("people"), func.max(_u.c.last_seen).label("seen"))
    rows = {row.provider: row for row in tx.conn.execute(query.group_by(_u.c.provider))}
    labels = {provider.name: provider.label or provider.name for provider in providers}
    return [
        ProviderFacts(
            name,
            labels.get(name, name),
            rows[name].people if name in rows else 0,
            rows[name].seen if name in rows else None,
        )
        for name in [*labels, *sorted(rows.keys() - labels.keys())]
    ]


@dataclass(frozen=True, slots=True)
class MailFacts:
    """Alerts that wait to be sent, and those that were given up within a day."""

    waiting: int
    oldest: datetime | None
    failed: int


def read_mail(tx: ReadTransaction) -> MailFacts:
    """Return the state of the outbox."""
    is_waiting = (_o.c.sent.is_(None), _o.c.failure.is_(None))
    waiting, oldest = tx.conn.execute(select(func.count(), func.min(_o.c.created)).where(*is_waiting)).one()
    since = tx.now - REFUSED_WITHIN
    failed = select(func.count()).where(_o.c.failure.is_not(None), _o.c.created >= since)
    return MailFacts(waiting, oldest, tx.conn.execute(failed).scalar_one())


def oldest_signing_key(tx: ReadTransaction, keys: KeyStore) -> datetime | None:
    """Return when the oldest key that signs now was made."""
    return min((key.created_at for key in keys.list_keys(tx) if key.state is KeyState.SIGNING), default=None)

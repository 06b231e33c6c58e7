"""Listing of the jobs of one identity: what it runs at the core, and what has ended lately."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from aizen_hub.jobs.core_event import CommandState
from aizen_hub.jobs.quota import job_user
from aizen_hub.problems import BadInput, NotFound
from aizen_hub.store import tables
from aizen_hub.wording import LIST_JOBS

if TYPE_CHECKING:
    from aizen_hub.rbac.identity import Identity
    from aizen_hub.store.transaction import ReadTransaction

LISTED_FOR = timedelta(days=7)
_ENDING = re.compile(r"[0-9a-f]{4,64}")
_MAX_OPEN = 500
_j, _o = tables.jobs, tables.open_commands


@dataclass(frozen=True, slots=True)
class OwnJob:
    """One command at the core.

    Attributes
    ----------
    state : str
        ``running``, or the outcome; ``unknown`` for one that may still be running but cannot be followed.
    started : datetime or None
        None for a command that does not count as a job.
    """

    id: str
    line: str
    state: str
    project: str | None
    session: str | None
    acting: str | None
    started: datetime | None
    ended: datetime | None

    @property
    def is_open(self) -> bool:
        """Whether it is not known to have ended."""
        return self.ended is None


def list_own_jobs(tx: ReadTransaction, identity: Identity, *, limit: int, running_only: bool = False) -> list[OwnJob]:
    """Return the open commands of an identity and, of the last week, the ended jobs; newest first within both.

    Parameters
    ----------
    limit : int
        One more is returned where there are more.
    """
    open_jobs = sorted(_open_jobs(tx, identity), key=lambda job: job.id, reverse=True)
    if running_only or len(open_jobs) > limit:
        return open_jobs[: limit + 1]
    ended = select(_j).where(_j.c.user == job_user(identity), _j.c.ended >= tx.now - LISTED_FOR)
    rows = tx.conn.execute(ended.order_by(_j.c.ended.desc()).limit(limit + 1 - len(open_jobs)))
    return open_jobs + [_ended_job(row) for row in rows]


def find_own_job(tx: ReadTransaction, identity: Identity, id: str) -> OwnJob:
    """Return the job that an id names, or the end of one.

    Raises
    ------
    NotFound
        The identity has no such job, or it ended more than a week ago.
    BadInput
        More than one job ends so.
    """
    jobs = list_own_jobs(tx, identity, limit=_MAX_OPEN) if _ENDING.fullmatch(id) else []
    found = [job for job in jobs if job.id.endswith(id)]
    exact = [job for job in found if job.id == id]
    if len(found) > 1 and not exact:
        raise BadInput(f"{len(found)} of your jobs end with `{id}`", remedy="write more characters of the end")
    if not found:
        raise NotFound("you have no such job", remedy=LIST_JOBS)
    return (exact or found)[0]


def _open_jobs(tx: ReadTransaction, identity: Identity) -> list[OwnJob]:
    # A job that `stop …` has ended is listed as ended, although its stream may still be open.
    query = (
        select(_o, _j.c.started)
        .outerjoin(_j, _j.c.decision_id == _o.c.decision_id)
        .where(_o.c.user == job_user(identity), _j.c.ended.is_(None))
        .limit(_MAX_OPEN)
    )
    return [
        OwnJob(
            row.decision_id,
            row.command,
            str(CommandState.UNKNOWN) if row.lost else "running",
            row.project,
            row.session,
            row.acting,
            row.started,
            None,
        )
        for row in tx.conn.execute(query)
    ]


def _ended_job(row: Any) -> OwnJob:
    state = row.outcome or str(CommandState.UNKNOWN)
    return OwnJob(row.decision_id, row.command, state, row.project, row.session, row.acting, row.started, row.ended)

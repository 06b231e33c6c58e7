"""Page *System*: the processes, keys, audit and alerts of this service, for its administrators."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from aizen_hub import __version__
from aizen_hub.diagnosis.remedy_pages import remedy_page
from aizen_hub.diagnosis.service_checks import unauthorized_check_service
from aizen_hub.operations.records import list_visible_operations
from aizen_hub.service.http.route import RawResponse
from aizen_hub.service.panel.pages import page_route, show_page
from aizen_hub.service.panel.visibility import Viewer, not_in_panel
from aizen_hub.service.pipeline.request_context import RequestContext
from aizen_hub.service.replicas import list_replicas
from aizen_hub.store import tables
from aizen_hub.tokens.keys import KeyState, Purpose

if TYPE_CHECKING:
    from aizen_hub.service.context import ServiceContext
    from aizen_hub.store.transaction import ReadTransaction

_MAX_ALERTS = 20
_MAX_OPERATIONS = 10
OLD_KEY_DAYS = 365
MAX_BEHIND = 100
"""Revisions that a replica may lag at its report, which it makes every ten seconds."""
MAX_OFFSET_SECONDS = 1.0
_KEYS_IN_USE = (KeyState.SIGNING, KeyState.PUBLISHED, KeyState.RETIRED)
_o = tables.outbox


@dataclass(frozen=True, slots=True)
class ReplicaRow:
    """One process of the service.

    Attributes
    ----------
    behind : int
        Revisions of the store that it has not seen at its last report.
    clock_offset : float
        Seconds by which its clock is ahead of the store's.
    """

    host: str
    instance: str
    started: datetime | None
    seen: datetime | None
    revision: int
    behind: int
    clock_offset: float

    @property
    def fault(self) -> str | None:
        """What is wrong with it in one word, or None."""
        if self.behind > MAX_BEHIND:
            return "Behind"
        return "Clock" if abs(self.clock_offset) > MAX_OFFSET_SECONDS else None


async def show_system(ctx: RequestContext) -> RawResponse:
    service = ctx.service

    def read(viewer: Viewer) -> dict[str, Any]:
        require_administrator(viewer)
        tx = viewer.tx
        keys = [key for key in service.keys.list_keys(tx) if key.state in _KEYS_IN_USE]
        keys.sort(key=lambda key: (list(Purpose).index(key.purpose), _KEYS_IN_USE.index(key.state)))
        is_waiting = (_o.c.sent.is_(None), _o.c.failure.is_(None))
        return {
            "checks": unauthorized_check_service(service.settings, service.store),
            "replicas": read_replica_rows(tx, service),
            "revision": tx.revision,
            "catalog": tx.catalog,
            "keys": keys,
            "old_key_days": OLD_KEY_DAYS,
            "alerts": tx.conn.execute(
                select(_o).where(*is_waiting).order_by(_o.c.created, _o.c.id).limit(_MAX_ALERTS)
            ).all(),
            "alert_count": tx.conn.execute(select(func.count()).select_from(_o).where(*is_waiting)).scalar_one(),
            "failed": tx.conn.execute(
                select(_o).where(_o.c.failure.is_not(None)).order_by(_o.c.created.desc()).limit(_MAX_ALERTS)
            ).all(),
            "operations": list_visible_operations(tx, tx.actor)[:_MAX_OPERATIONS],
            "may_rotate": viewer.may("locks"),
            "may_review": viewer.may("access"),
        }

    health = service.checkpoint_health
    return await show_page(
        ctx,
        "system/system.html",
        read,
        fragment="state",
        audit_details=lambda _: {"details": {"query": "system"}},
        pool=service.pools.queries,
        version=__version__,
        remedy_page=remedy_page,
        audit_fault=health.fault,
        audit_remedy=health.remedy if health.fault else None,
        audit_age=health.age,
        checkpoints=service.checkpoints,
        clock_fault=service.clock.fault,
        uses_sqlite=service.settings.uses_sqlite,
    )


def require_administrator(viewer: Viewer) -> None:
    """Raise the problem of a page that does not exist for those who do not manage the users of the system."""
    if not viewer.may("users"):
        raise not_in_panel()


def read_replica_rows(tx: ReadTransaction, service: ServiceContext) -> list[ReplicaRow]:
    """Return the processes that run, the oldest first; at least this one."""
    rows = [
        ReplicaRow(
            row.host,
            row.instance,
            row.started,
            row.seen,
            row.revision,
            max(0, tx.revision - row.revision),
            row.clock_offset,
        )
        for row in list_replicas(tx)
    ]
    # With the embedded database there is one process, which reports itself to no other.
    own = ReplicaRow("this process", service.instance, None, None, tx.revision, 0, service.clock.offset)
    return rows or [own]


ROUTES = (page_route("/system", show_system, "The state of the service."),)

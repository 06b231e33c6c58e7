"""What every page about one person shows: name, state, and what the viewer may do there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from aizen_hub.accounts import identities, pending_changes
from aizen_hub.accounts.names import normalization
from aizen_hub.problems import NotFound
from aizen_hub.rbac.identity import Identity
from aizen_hub.service.panel.identity_rows import find_lock
from aizen_hub.service.panel.visibility import not_in_panel
from aizen_hub.store import tables

if TYPE_CHECKING:
    from aizen_hub.service.panel.visibility import Viewer
    from aizen_hub.store.transaction import ReadTransaction

_s, _p = tables.sessions, tables.pending_changes


def read_head(viewer: Viewer, name: str) -> dict[str, Any]:
    """Return the variables of the frame of a person's pages.

    Raises
    ------
    NotFound
        There is no such person, or the viewer may not see them: the same for both.
    """
    tx = viewer.tx
    row = find_person(viewer, name)
    identity = Identity.user(row.name)
    is_self = identity == viewer.identity
    sees_sessions = is_self or viewer.may("sessions")
    requests = visible_requests(viewer, identity)
    labels = {item.name: item.label or item.name for item in tx.settings.providers}
    return {
        "person": row,
        "identity": identity,
        "is_self": is_self,
        "lock": find_lock(tx, identity),
        "sees_reason": viewer.may("locks"),
        "may_stop": viewer.may("locks") and not is_self,
        "may_manage": viewer.may("users"),
        "may_grant": viewer.is_manager,
        "sees_sessions": sees_sessions,
        "sees_events": viewer.may("audit") or any(viewer.may("audit", name) for name in viewer.managed_projects),
        "session_count": _count_sessions(tx, row.name) if sees_sessions else 0,
        "request_count": sum(request.state == "waiting" and request.expires > tx.now for request in requests),
        "source": labels.get(row.provider, row.provider),
    }


def find_person(viewer: Viewer, name: str) -> Any:
    """Return the row of a person whom the viewer may see; raises the same NotFound for any other name."""
    canonical = normalization.canonical_or_none(name)
    if canonical is None:
        raise not_in_panel()
    viewer.require_identity(Identity.user(canonical))
    try:
        return identities.get_user(viewer.tx, canonical)
    except NotFound:
        raise not_in_panel() from None


def visible_requests(viewer: Viewer, requester: Identity, limit: int = 200) -> list[Any]:
    """Return the newest access requests of an identity, as far as the viewer may see their projects."""
    rows = viewer.tx.conn.execute(
        select(_p)
        .where(_p.c.kind == pending_changes.ACCESS_REQUEST, _p.c.requested_by == str(requester))
        .order_by(_p.c.requested.desc(), _p.c.id)
        .limit(limit)
    )
    is_self = requester == viewer.identity
    return [row for row in rows if is_self or viewer.projects is None or row.payload.get("scope") in viewer.projects]


def _count_sessions(tx: ReadTransaction, name: str) -> int:
    query = select(func.count()).select_from(_s).where(_s.c.user == name, _s.c.ended.is_(None))
    return tx.conn.execute(query).scalar_one()

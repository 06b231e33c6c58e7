"""Pending changes, which an entitled user confirms in the panel (R77, `docs/architecture.md`)."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import insert, or_, select, update

from aizen_hub.alerts.message import AlertEvent
from aizen_hub.alerts.outbox import alert_user
from aizen_hub.authorization import checks
from aizen_hub.commands.result import Result, message_result, truncated_table
from aizen_hub.problems import Conflict, Denied, NotFound, TooManyRequests
from aizen_hub.rbac.identity import Identity, IdentityKind
from aizen_hub.rbac.protected_roles import role_requires_confirmation
from aizen_hub.store import tables
from aizen_hub.store.actor import Channel
from aizen_hub.store.audit_log import change_records
from aizen_hub.validation.prose import check_prose

if TYPE_CHECKING:
    from aizen_hub.store.transaction import ActorTransaction, ReadTransaction, WriteTransaction

CONFIRMATION_LIFETIME = timedelta(hours=24)
MAX_PENDING_PER_REQUESTER = 50
MAX_LISTED = 1_000
"""Maximum number of pending changes or requests in one list."""
_DEFERRED_CHANNELS = frozenset({Channel.KERNEL, Channel.CLI, Channel.SERVICE_ACCOUNT, Channel.POLICY})
_KEPT = ("role", "scope", "until")
_p = tables.pending_changes

ChangeHandler = Callable[["WriteTransaction", Mapping[str, Any]], Result]


def requires_confirmation(
    tx: WriteTransaction,
    grants: Iterable[tuple[str, str]] = (),
    *,
    always: bool = False,
    second_person: bool = False,
) -> bool:
    """Return whether this change has to wait for confirmation.

    On a channel where a user cannot be told from a program, it has to wait; in the panel it needs a recent login
    instead.

    Parameters
    ----------
    grants : iterable of (role, scope)
        The roles that are granted or revoked, and their scopes.
    always : bool
        Changes of this kind need confirmation whatever the roles: credentials, group mappings, keys.
    second_person : bool
        Another user has to confirm it, on whatever channel it comes and even if ``confirm_protected`` is off: the
        requester would grant it to themselves.

    Raises
    ------
    Denied
        In the panel, without a recent login.
    """
    if tx.dry_run:
        # A dry run changes nothing, and should show what a pending change would do.
        return False
    if second_person:
        return True
    if not tx.settings.confirm_protected or not (always or any(is_protected(tx, *grant) for grant in grants)):
        return False
    if tx.actor.channel is Channel.PANEL:
        require_recent_login(tx)
    return tx.actor.channel in _DEFERRED_CHANNELS


def confirmed_in_panel(tx: ReadTransaction, grants: Iterable[tuple[str, str]]) -> str:
    """Return the end of a remedy that names these grants: how they are confirmed, or nothing."""
    waits = tx.settings.confirm_protected and any(is_protected(tx, *grant) for grant in grants)
    return ", and confirm that in the panel" if waits else ""


def control_requires_confirmation(tx: WriteTransaction, *identities: Identity) -> bool:
    """Return whether a change that gives or takes control of these identities has to wait for confirmation.

    Everything that they hold through groups counts, whenever it takes effect. Raises as `requires_confirmation` does.
    """
    return requires_confirmation(tx, reachable_grants(tx, *identities))


def is_protected(tx: ReadTransaction, role: str, scope: str) -> bool:
    """Return whether a role is granted and revoked only with confirmation."""
    known_role = tx.roles.get(role)
    return known_role is not None and role_requires_confirmation(
        known_role, scope, tx.roles, tx.catalog.member_permissions
    )


def reachable_grants(tx: ReadTransaction, *identities: Identity) -> frozenset[tuple[str, str]]:
    """Return every role and scope assigned to the identities or to a group that contains one of them."""
    a = tables.assignments
    holders = {str(holder) for identity in identities for holder in (identity, *checks.transitive_groups(tx, identity))}
    rows = tx.conn.execute(select(a.c.role, a.c.scope).where(a.c.identity.in_(sorted(holders))))
    return frozenset((row.role, row.scope) for row in rows)


def require_recent_login(tx: ActorTransaction) -> None:
    """Raise Denied unless the user has authenticated recently (R77)."""
    if not has_recent_login(tx):
        raise Denied(
            "this needs a recent login",
            remedy="sign in again with your provider",
            extensions={"reason": "fresh-login-required"},
        )


def has_recent_login(tx: ActorTransaction) -> bool:
    """Return whether the user has authenticated recently."""
    return tx.actor.recent_login_until is not None and tx.actor.recent_login_until > tx.now


def submit(tx: WriteTransaction, kind: str, arguments: Mapping[str, Any], summary: str) -> Result:
    """Store a pending change, and return the result that says so; the transaction then commits.

    If the actor has requested the same and it is still waiting, the result names that change.

    Parameters
    ----------
    kind : str
        Key of `command_handlers.CHANGE_HANDLERS`.
    summary : str
        What the change does, for the list of pending changes.

    Raises
    ------
    TooManyRequests
        Too many changes of the actor are waiting.
    """
    own_changes = tx.conn.execute(
        select(_p.c.id, _p.c.kind, _p.c.expires, _p.c.payload).where(
            _p.c.kind != ACCESS_REQUEST,
            _p.c.requested_by == str(tx.actor.identity),
            _p.c.state == "waiting",
            _p.c.expires > tx.now,
        )
    ).all()
    same = json.loads(json.dumps(dict(arguments)))
    for row in own_changes:
        if row.kind == kind and row.payload.get("arguments") == same:
            return _pending_result(row.id, row.expires, row.payload["what"])
    if len(own_changes) >= MAX_PENDING_PER_REQUESTER:
        raise TooManyRequests(
            f"{MAX_PENDING_PER_REQUESTER} of your changes are already waiting for confirmation",
            remedy="have some of them confirmed or rejected in the panel",
        )
    change_id = secrets.token_hex(16)
    expires = tx.now + CONFIRMATION_LIFETIME
    values = {
        "kind": kind,
        "requested_by": str(tx.actor.identity),
        "requested": tx.now,
        "expires": expires,
        "payload": {"arguments": dict(arguments), "what": summary},
    }
    tx.conn.execute(insert(_p).values(id=change_id, state="waiting", comment="", **values))
    wrote = change_records.change_payload(change_records.row_written(_p, change_id, values))
    tx.record_change("pending", {"pending": change_id, "change-kind": kind, **wrote}, [])
    tx.audit("change.submitted", details={"pending": change_id, "change-kind": kind, "what": summary})
    return _pending_result(change_id, expires, summary)


def _pending_result(change_id: str, expires: datetime, summary: str) -> Result:
    return message_result(
        f"waiting for confirmation in the panel: {summary}",
        pending=change_id,
        state="waiting",
        expires=expires,
        what=summary,
    )


def list_pending(
    tx: ReadTransaction,
    *,
    requested_by: Identity | None = None,
    and_these: Collection[str] = (),
    change_id: str | None = None,
    limit: int = MAX_LISTED,
) -> Result:
    """List the pending changes without their contents; expired ones are left out.

    Parameters
    ----------
    requested_by : Identity, optional
        Only changes of this requester.
    and_these : collection of str
        Ids of changes of other requesters that are listed too.
    change_id : str, optional
        Only this change.
    limit : int
        Maximum number of changes in the result; if there are more, ``data["more"]`` is true.
    """
    query = select(_p).where(_p.c.kind != ACCESS_REQUEST, _p.c.state == "waiting", _p.c.expires > tx.now)
    if requested_by is not None:
        query = query.where(or_(_p.c.requested_by == str(requested_by), _p.c.id.in_(sorted(and_these))))
    if change_id is not None:
        query = query.where(_p.c.id == change_id)
    rows = tx.conn.execute(query.order_by(_p.c.requested, _p.c.id).limit(limit + 1)).all()
    return truncated_table(
        ("id", "change", "asked by", "asked", "expires"),
        [(row.id, row.payload.get("what", row.kind), row.requested_by, row.requested, row.expires) for row in rows],
        limit,
    )


def confirm_change(tx: WriteTransaction, change_id: str, handlers: Mapping[str, ChangeHandler]) -> Result:
    """Execute a pending change as the confirming user, with all checks repeated for that user's rights.

    Raises
    ------
    Denied
        Not in the panel, no recent login, or the requester's account is not active any more.
    NotFound, Conflict
        There is no such change; it is already decided or expired.
    Problem
        Any problem of the change itself, for the confirming user.
    """
    if tx.actor.channel not in (Channel.PANEL, Channel.OPERATOR):
        raise Denied("changes can be confirmed in the panel only", remedy="open the panel and sign in again")
    if tx.actor.channel is Channel.PANEL:
        checks.forbid_impersonation(tx)
        require_recent_login(tx)
    row = get_pending(tx, change_id)
    if not tx.rights(Identity.parse(row.requested_by)).active:
        raise Denied("the requester of this change cannot sign in any more", remedy="reject it")
    result = handlers[row.kind](tx, row.payload["arguments"])
    resolve(tx, row.id, "confirmed", "")
    tx.audit("change.confirmed", details={"pending": row.id, "change-kind": row.kind, "asked-by": row.requested_by})
    return result


def reject_change(tx: WriteTransaction, change_id: str, comment: str = "") -> Result:
    """Reject a pending change. Its requester may, in person, and every user who manages users."""
    row = get_pending(tx, change_id)
    if row.requested_by == str(tx.actor.identity):
        checks.forbid_impersonation(tx)
    else:
        checks.require(tx, checks.endpoint_permission(tx, "users"))
    resolve(tx, row.id, "rejected", comment)
    tx.audit("change.rejected", details={"pending": row.id, "change-kind": row.kind, "comment": comment})
    return message_result("the change was rejected")


def expire_changes(tx: WriteTransaction) -> int:
    """Close expired changes and delete their contents, which may include contact data."""
    rows = tx.conn.execute(select(_p).where(_p.c.state == "waiting", _p.c.expires <= tx.now).limit(1_000)).all()
    for row in rows:
        resolve(tx, row.id, "expired", "")
        tx.audit("change.expired", details={"pending": row.id})
        requester = Identity.parse(row.requested_by)
        if row.kind == ACCESS_REQUEST and requester.kind is IdentityKind.USER:
            alert = {key: row.payload.get(key) for key in ("role", "scope")}
            alert_user(tx, requester.name, AlertEvent.REQUEST_EXPIRED, alert)
    return len(rows)


def discard_changes_of(tx: WriteTransaction, identity: Identity) -> None:
    """Reject the pending changes of an identity that is deleted."""
    rows = tx.conn.execute(select(_p.c.id).where(_p.c.state == "waiting", _p.c.requested_by == str(identity))).all()
    for row in rows:
        resolve(tx, row.id, "rejected", "")


ACCESS_REQUEST = "access-request"


def get_pending(tx: ReadTransaction, change_id: str, kind: str | None = None) -> Any:
    """Return the row of a pending change, or with ``kind`` of a pending request; else raise NotFound or Conflict.

    Only the whole id names it: a beginning could be guessed, and a caller who names it learns about it (R72).
    """
    is_request = _p.c.kind == ACCESS_REQUEST if kind == ACCESS_REQUEST else _p.c.kind != ACCESS_REQUEST
    row = tx.conn.execute(select(_p).where(_p.c.id == change_id, is_request)).first()
    if row is None:
        raise pending_not_found()
    if row.state != "waiting" or row.expires <= tx.now:
        state = "expired" if row.state == "waiting" else row.state
        raise Conflict(f"this is already {state}")
    return row


def pending_not_found() -> NotFound:
    return NotFound("there is no such pending change or request")


def set_comment(tx: WriteTransaction, change_id: str, comment: str) -> bool:
    """Set the comment of a change or request that is closed; return False, and change nothing, if it still waits."""
    check_prose(comment, "comment")
    return bool(
        tx.conn.execute(
            update(_p).where(_p.c.id == change_id, _p.c.state != "waiting").values(comment=comment)
        ).rowcount
    )


def resolve(tx: WriteTransaction, change_id: str, state: str, comment: str) -> None:
    """Close a pending change or request. Its contents are deleted, except for what a request asked for."""
    check_prose(comment, "comment")
    row = tx.conn.execute(select(_p.c.kind, _p.c.payload).where(_p.c.id == change_id)).first()
    payload = {} if row is None or row.kind != ACCESS_REQUEST else {key: row.payload.get(key) for key in _KEPT}
    tx.conn.execute(
        update(_p)
        .where(_p.c.id == change_id)
        .values(state=state, decided_by=str(tx.actor.identity), decided=tx.now, comment=comment, payload=payload)
    )
    tx.record_change(
        "pending",
        {
            "pending": change_id,
            "state": state,
            **change_records.change_payload(change_records.row_deleted(_p, change_id)),
        },
        [],
    )

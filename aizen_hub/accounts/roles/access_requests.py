"""Access requests: made by registered users, decided by users who could grant the role."""

from __future__ import annotations

import itertools
import re
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, insert, or_, select

from aizen_hub.accounts import pending_changes
from aizen_hub.accounts.names import normalization
from aizen_hub.accounts.names.normalization import NameKind
from aizen_hub.accounts.roles import assignments, lookup, request_checks, request_settlement
from aizen_hub.alerts.message import AlertEvent
from aizen_hub.alerts.outbox import alert_user, alert_users
from aizen_hub.authorization import checks
from aizen_hub.authorization.delegation import GrantAuthority, escalation_error
from aizen_hub.commands.result import Result, message_result, table_result, to_json_value, truncated_table
from aizen_hub.problems import BadInput, Denied, TooManyRequests
from aizen_hub.rbac import messages
from aizen_hub.rbac.assignment import Interval
from aizen_hub.rbac.identity import Identity, IdentityKind
from aizen_hub.rbac.role import SYSTEM, project_of
from aizen_hub.store import tables
from aizen_hub.store.audit_log import change_records
from aizen_hub.validation.end_time import describe_end
from aizen_hub.validation.prose import check_prose

if TYPE_CHECKING:
    from aizen_hub.store.transaction import ActorTransaction, ReadTransaction, WriteTransaction

REQUEST_LIFETIME = timedelta(days=14)
MAX_PENDING_PER_USER = 20
MAX_EXAMINED = 10_000
"""Maximum number of pending requests that one list examines."""
_PAGE_SIZE = 1_000
_SHORT_ID = 8
"""Number of characters of an id that are shown in texts."""
_BEGINNING = re.compile(r"[0-9a-f]{4,31}")
_WAITS_FOR_ACTOR = "waiting for you"
_p = tables.pending_changes


def request_access(
    tx: WriteTransaction, role: str, scope: str, *, reason: str = "", until: datetime | None = None
) -> Result:
    """Request a role in a scope; users who can grant it are alerted.

    A request that cannot be granted is refused. The refusal is the same for a project that does not exist and for one
    in which no user can grant the role (R72).

    Parameters
    ----------
    until : datetime, optional
        End of the requested access, exclusive.

    Raises
    ------
    BadInput
        Unknown role, a role that cannot be assigned in this scope or to the requester, an invalid project name, or an
        end in the past.
    Conflict
        The requester has the role already, for as long as requested.
    NotFound
        There is no such project, or no user who could grant the role.
    TooManyRequests
        The requester has too many pending requests, or has made as many within a day.
    """
    request_checks.forbid_dry_run(tx)
    checks.forbid_impersonation(tx)
    requested_role = lookup.get_role(tx, role)
    target_scope = SYSTEM if scope == SYSTEM else normalization.canonical_name(scope, NameKind.PROJECT)
    if until is not None and until <= tx.now:
        raise BadInput("the access would have ended already")
    ends = "" if until is None else f" until {describe_end(until)}"
    until = None if until is None else until.astimezone(UTC)
    requester = tx.actor.identity
    request_checks.require_assignable(requested_role, target_scope, requester)
    own_requests = request_settlement.pending_requests(tx, _p.c.requested_by == str(requester))
    for row in own_requests:
        if (row.payload.get("role"), row.payload.get("scope")) == (requested_role.name, target_scope):
            return message_result("this request is already pending", request=row.id, state="waiting")
    if len(own_requests) >= MAX_PENDING_PER_USER:
        raise TooManyRequests(f"{MAX_PENDING_PER_USER} of your requests are already pending")
    request_checks.require_few_requests(tx, requester, MAX_PENDING_PER_USER)
    approvers = request_checks.require_grantable(tx, requested_role.name, target_scope, requester, until)
    request_id = secrets.token_hex(16)
    payload = {
        "role": requested_role.name,
        "scope": target_scope,
        "reason": check_prose(reason, "reason"),
        "until": to_json_value(until),
    }
    values = {
        "kind": pending_changes.ACCESS_REQUEST,
        "requested_by": str(tx.actor.identity),
        "requested": tx.now,
        "expires": tx.now + REQUEST_LIFETIME,
        "payload": payload,
    }
    tx.conn.execute(insert(_p).values(id=request_id, state="waiting", comment="", **values))
    wrote = change_records.change_payload(change_records.row_written(_p, request_id, values))
    tx.record_change(
        "request",
        {"request": request_id, "did": "ask", "role": requested_role.name, "scope": target_scope, **wrote},
        [],
    )
    tx.audit("access.requested", details={"request": request_id, **payload})
    expires = to_json_value(values["expires"])
    page = f"requests/{request_id}"
    alert = {**payload, "by": requester.name, "request": request_id[:_SHORT_ID], "expires": expires, "page": page}
    alert_users(tx, approvers, AlertEvent.ACCESS_REQUESTED, alert)
    return message_result(
        f"requested {requested_role.name} in {messages.describe_scope(target_scope)}{ends}: "
        f"request {request_id[:_SHORT_ID]} waits for a user who can grant it",
        request=request_id,
        state="waiting",
        expires=values["expires"],
    )


def approve_request(
    tx: WriteTransaction,
    request_id: str,
    *,
    comment: str = "",
    until: datetime | None = None,
    role: str | None = None,
) -> Result:
    """Grant the requested role, as a grant of the approving user that follows every rule of a grant.

    Parameters
    ----------
    until : datetime, optional
        An end before the requested one.
    role : str, optional
        A role whose rights are all in the requested one, to be granted instead.

    Raises
    ------
    NotFound
        There is no such request, or the actor could not grant it.
    BadInput
        The other role has a right that was not requested.
    Problem
        Any problem of `assignments.grant_roles`.
    """
    row = _get_decidable(tx, request_id)
    requester = Identity.parse(row.requested_by)
    request = row.payload
    end = min((time for time in (until, assignments.parse_time(request["until"])) if time is not None), default=None)
    granted_role = request["role"] if role is None else role
    if granted_role != request["role"]:
        request_checks.require_smaller_role(tx, granted_role, request["role"], request["scope"])
    result = assignments.grant_roles(
        tx, [granted_role], request["scope"], requester, interval=Interval(None, end), reason=request["reason"]
    )
    if result.pending_id is None:
        # The grant has settled the request, unless the requester had the role already.
        if not pending_changes.set_comment(tx, row.id, comment):
            pending_changes.resolve(tx, row.id, "confirmed", comment)
        details = {"request": row.id, "comment": comment, "target": row.requested_by, "role": granted_role}
        tx.audit("access.approved", project=project_of(request["scope"]), details=details)
    return result


def deny_request(tx: WriteTransaction, request_id: str, *, comment: str = "") -> Result:
    """Deny a request; only users who could grant it may."""
    row = _get_decidable(tx, request_id)
    request = row.payload
    pending_changes.resolve(tx, row.id, "rejected", comment)
    details = {"request": row.id, "comment": comment, "target": row.requested_by, "role": request["role"]}
    tx.audit("access.denied", project=project_of(request["scope"]), details=details)
    requester = Identity.parse(row.requested_by)
    if requester.kind is IdentityKind.USER:
        alert = {"role": request["role"], "scope": request["scope"], "by": tx.actor.identity.name, "comment": comment}
        alert_user(tx, requester.name, AlertEvent.REQUEST_DENIED, alert)
    return message_result("the request was denied")


def withdraw_request(tx: WriteTransaction, request_id: str) -> Result:
    """Withdraw the actor's own request; not available while impersonating (R70)."""
    checks.forbid_impersonation(tx)
    row = _get_request(tx, request_id)
    if row.requested_by != str(tx.actor.identity):
        raise Denied("this is the request of another user")
    pending_changes.resolve(tx, row.id, "rejected", "withdrawn")
    tx.audit("access.withdrawn", details={"request": row.id})
    return message_result("the request was withdrawn")


def list_own_requests(tx: ReadTransaction, requester: Identity, limit: int = 200) -> Result:
    """List the newest requests of one requester, decided ones included; if there are more, ``data["more"]`` is true."""
    rows = tx.conn.execute(
        select(_p)
        .where(_p.c.kind == pending_changes.ACCESS_REQUEST, _p.c.requested_by == str(requester))
        .order_by(_p.c.requested.desc())
        .limit(limit + 1)
    ).all()
    return truncated_table(
        ("id", "role", "scope", "state", "asked", "until", "expires", "comment"),
        [
            (
                row.id,
                row.payload.get("role"),
                row.payload.get("scope"),
                _state(tx, row),
                row.requested,
                assignments.parse_time(row.payload.get("until")),
                row.expires,
                row.comment,
            )
            for row in rows
        ],
        limit,
    )


def list_decidable_requests(tx: ActorTransaction, limit: int = pending_changes.MAX_LISTED) -> Result:
    """List the oldest pending requests that the actor could grant; if there are more, ``data["more"]`` is true.

    Requests that the actor could not grant do not count, however many of them are older.
    """
    authority = GrantAuthority.of_actor(tx)
    visible_scopes: dict[str, bool] = {}
    grantable: dict[tuple[str, str], bool] = {}
    decidable: list[tuple[Any, ...]] = []
    examined, last = 0, None
    while len(decidable) <= limit and examined < MAX_EXAMINED:
        rows = _next_pending_page(tx, last)
        examined += len(rows)
        decidable += [
            (
                row.id,
                row.requested_by,
                *(row.payload[key] for key in ("role", "scope", "reason")),
                row.requested,
                assignments.parse_time(row.payload["until"]),
                row.expires,
            )
            for row in rows
            if _may_see(tx, row.payload["scope"], visible_scopes) and _may_grant_among(tx, authority, row, grantable)
            if not request_settlement.is_held(tx, row)
        ]
        if len(rows) < _PAGE_SIZE:
            break
        last = rows[-1]
    columns = ("id", "asked by", "role", "scope", "reason", "asked", "until", "expires")
    if len(decidable) <= limit and examined >= MAX_EXAMINED:
        return table_result(columns, decidable, f"only the {examined} oldest of all requests were examined", more=True)
    return truncated_table(columns, decidable, limit)


def list_requests(tx: ActorTransaction, limit: int = 200) -> Result:
    """List the requests that wait for the actor's decision, then the actor's own ones, in one table."""
    to_decide, own = list_decidable_requests(tx, limit), list_own_requests(tx, tx.actor.identity, limit)
    columns = ("id", "asked by", "role", "scope", "state", "reason", "asked", "until", "expires", "comment")
    rows = [
        (id, asked_by, role, scope, _WAITS_FOR_ACTOR, reason, asked, until, expires, "")
        for id, asked_by, role, scope, reason, asked, until, expires in to_decide.rows
    ]
    rows += [
        (id, str(tx.actor.identity), role, scope, state, "", asked, until, expires, comment)
        for id, role, scope, state, asked, until, expires, comment in own.rows
    ]
    return table_result(
        columns, rows, to_decide.message or own.message, more=to_decide.data["more"] or own.data["more"]
    )


def get_visible_request(tx: ActorTransaction, request_id: str) -> Any:
    """Return the row of a request in any state: the actor's own, or one that they could grant; else NotFound (R72)."""
    row = tx.conn.execute(select(_p).where(_p.c.id == request_id, _p.c.kind == pending_changes.ACCESS_REQUEST)).first()
    if row is not None and is_visible_request(tx, row):
        return row
    raise pending_changes.pending_not_found()


def is_visible_request(tx: ActorTransaction, row: Any) -> bool:
    """Return whether the actor may see a request: it is their own, or they could grant it."""
    return row.requested_by == str(tx.actor.identity) or _may_decide(tx, GrantAuthority.of_actor(tx), row, {})


def list_decided_requests(tx: ActorTransaction, limit: int = 25) -> list[Any]:
    """Return the rows of the newest decided requests of those whom the actor could grant them."""
    query = select(_p).where(_p.c.kind == pending_changes.ACCESS_REQUEST, _p.c.decided.is_not(None))
    authority = GrantAuthority.of_actor(tx)
    visible_scopes: dict[str, bool] = {}
    rows = tx.conn.execute(query.order_by(_p.c.decided.desc(), _p.c.id).limit(_PAGE_SIZE)).all()
    decidable = (row for row in rows if _may_decide(tx, authority, row, visible_scopes))
    return list(itertools.islice(decidable, limit))


def _may_decide(tx: ActorTransaction, authority: GrantAuthority, row: Any, visible_scopes: dict[str, bool]) -> bool:
    return _may_see(tx, row.payload["scope"], visible_scopes) and _may_grant(tx, authority, row)


def _next_pending_page(tx: ReadTransaction, after: Any) -> Sequence[Any]:
    query = select(_p).where(
        _p.c.kind == pending_changes.ACCESS_REQUEST, _p.c.state == "waiting", _p.c.expires > tx.now
    )
    if after is not None:
        query = query.where(
            or_(_p.c.requested > after.requested, and_(_p.c.requested == after.requested, _p.c.id > after.id))
        )
    return tx.conn.execute(query.order_by(_p.c.requested, _p.c.id).limit(_PAGE_SIZE)).all()


def _get_request(tx: ActorTransaction, request_id: str) -> Any:
    """Return the row of a pending request; its first characters name it only to users who may see it (R72).

    These are at least four; requests that are still pending come first.
    """
    if not _BEGINNING.fullmatch(request_id):
        return pending_changes.get_pending(tx, request_id, pending_changes.ACCESS_REQUEST)
    authority = GrantAuthority.of_actor(tx)
    visible_scopes: dict[str, bool] = {}
    begins = and_(_p.c.id >= request_id, _p.c.id <= request_id + "g")  # all ids are hexadecimal digits
    query = select(_p).where(begins, _p.c.kind == pending_changes.ACCESS_REQUEST)
    rows = [
        row
        for row in tx.conn.execute(query.order_by(_p.c.state != "waiting", _p.c.id).limit(_PAGE_SIZE))
        if row.requested_by == str(tx.actor.identity)
        or (_may_see(tx, row.payload["scope"], visible_scopes) and _may_grant(tx, authority, row))
    ]
    rows = [row for row in rows if row.state == "waiting" and row.expires > tx.now] or rows
    if not rows:
        raise pending_changes.pending_not_found()
    if len(rows) > 1:
        raise BadInput(f"more than one id begins with `{request_id}`", remedy="write more of the id")
    return pending_changes.get_pending(tx, rows[0].id, pending_changes.ACCESS_REQUEST)


def _get_decidable(tx: ActorTransaction, request_id: str) -> Any:
    row = _get_request(tx, request_id)
    authority = GrantAuthority.of_actor(tx)
    visible = _may_see(tx, row.payload["scope"], {})
    if not visible or not _may_grant(tx, authority, row):
        scope, role = row.payload["scope"], tx.roles.get(row.payload["role"])
        if role is not None and visible:
            requester = Identity.parse(row.requested_by)
            missing = authority.missing_to_grant(tx, role, scope, requester)
            raise escalation_error(tx, "grant", role.name, scope, missing, requester)
        raise pending_changes.pending_not_found()
    return row


def _may_grant(tx: ActorTransaction, authority: GrantAuthority, row: Any) -> bool:
    role, scope = tx.roles.get(row.payload["role"]), row.payload["scope"]
    return role is not None and not authority.missing_to_grant(tx, role, scope, Identity.parse(row.requested_by))


def _may_grant_among(
    tx: ActorTransaction, authority: GrantAuthority, row: Any, known: dict[tuple[str, str], bool]
) -> bool:
    """Return the same as `_may_grant`; other users' requests for one role in one scope share the answer."""
    requester = Identity.parse(row.requested_by)
    # What is missing depends on the requester only by its kind, and by whether the actor would grant to themselves.
    if requester.kind is not IdentityKind.USER or requester == tx.actor.identity or requester in authority.controlled:
        return _may_grant(tx, authority, row)
    key = row.payload["role"], row.payload["scope"]
    if key not in known:
        known[key] = _may_grant(tx, authority, row)
    return known[key]


def _may_see(tx: ActorTransaction, scope: str, cache: dict[str, bool]) -> bool:
    if scope not in cache:
        cache[scope] = scope == SYSTEM or checks.is_operator(tx) or checks.can_see_project(tx, tx.actor.identity, scope)
    return cache[scope]


def _state(tx: ReadTransaction, row: Any) -> str:
    return "expired" if row.state == "waiting" and row.expires <= tx.now else str(row.state)

"""Alerts of a granted or revoked role: to the user, and to those who subscribed to the service ``access``."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from aizen_hub.alerts.message import AlertEvent
from aizen_hub.alerts.outbox import ACCESS_SERVICE, alert_project_subscribers, alert_user
from aizen_hub.commands.result import to_json_value
from aizen_hub.rbac.identity import Identity, IdentityKind
from aizen_hub.rbac.role import SYSTEM

if TYPE_CHECKING:
    from aizen_hub.store.transaction import WriteTransaction


def alert_of_grant(
    tx: WriteTransaction, role: str, scope: str, grantee: Identity, reason: str, until: datetime | None
) -> None:
    """Alert the grantee, and in a project the subscribers of ``access``."""
    _alert(tx, AlertEvent.ROLE_GRANTED, AlertEvent.MEMBER_ROLE_GRANTED, role, scope, grantee, reason, until)


def alert_of_revocation(tx: WriteTransaction, role: str, scope: str, holder: Identity, reason: str) -> None:
    """Alert the former holder, and in a project the subscribers of ``access``."""
    _alert(tx, AlertEvent.ROLE_REVOKED, AlertEvent.MEMBER_ROLE_REVOKED, role, scope, holder, reason, None)


def _alert(
    tx: WriteTransaction,
    own_event: AlertEvent,
    member_event: AlertEvent,
    role: str,
    scope: str,
    identity: Identity,
    reason: str,
    until: datetime | None,
) -> None:
    is_user = identity.kind is IdentityKind.USER
    payload = {
        "role": role,
        "scope": scope,
        "by": tx.actor.identity.name,
        "reason": reason,
        "until": to_json_value(until),
    }
    if is_user:
        alert_user(tx, identity.name, own_event, payload)
    if scope != SYSTEM:
        # The webhook has the alert of the user already; of a group or a service account there is no other one.
        alert_project_subscribers(
            tx,
            scope,
            ACCESS_SERVICE,
            member_event,
            {**payload, "user": identity.name if is_user else f"{identity.kind} {identity.name}"},
            except_user=identity.name if is_user else None,
            to_webhook=not is_user,
        )

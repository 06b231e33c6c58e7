"""Changes that wait for a second user: grants to, and credentials of, service accounts that the requester controls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from aizen_hub.accounts.identities import get_service_account
from aizen_hub.accounts.roles import assignments
from aizen_hub.accounts.roles.lookup import get_roles
from aizen_hub.accounts.service_accounts.accounts import require_control, require_may_manage
from aizen_hub.authorization.delegation import GrantAuthority
from aizen_hub.problems import Problem
from aizen_hub.rbac.identity import Identity
from aizen_hub.store import tables

if TYPE_CHECKING:
    from aizen_hub.store.transaction import ActorTransaction

MAX_EXAMINED = 1_000
_p = tables.pending_changes
_KINDS = ("grant", "credential", "switch-on")


def find_confirmable(tx: ActorTransaction) -> tuple[str, ...]:
    """Return the ids of the changes of other users that wait for a second user, and that the actor may confirm.

    At most the oldest 1,000 are examined.
    """
    authority = GrantAuthority.of_actor(tx)
    query = select(_p).where(
        _p.c.kind.in_(_KINDS),
        _p.c.state == "waiting",
        _p.c.expires > tx.now,
        _p.c.requested_by != str(tx.actor.identity),
        _p.c.payload[("arguments", "second_person")].as_boolean(),
    )
    rows = tx.conn.execute(query.order_by(_p.c.requested, _p.c.id).limit(MAX_EXAMINED)).all()
    return tuple(row.id for row in rows if _may_confirm(tx, authority, row.kind, row.payload["arguments"]))


def _may_confirm(tx: ActorTransaction, authority: GrantAuthority, kind: str, arguments: Mapping[str, Any]) -> bool:
    try:
        if kind != "grant":
            row = get_service_account(tx, arguments["name"])
            require_may_manage(tx, row, Identity.parse(arguments["requested_by"]), second_person=True)
            require_control(tx, row, "confirm it")
            return True
        ends = assignments.parse_time(arguments["until"])
        return not any(
            authority.missing_to_grant(
                tx,
                role,
                assignments.resolve_scope(tx, role, arguments["scope"]),
                Identity.parse(arguments["to"]),
                in_file=arguments["in_file"],
                ends=ends,
            )
            for role in get_roles(tx, arguments["roles"])
        )
    except Problem:
        # Neither the account nor the project of a change is revealed to a user who could not confirm it (R72).
        return False

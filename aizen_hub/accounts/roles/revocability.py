"""Which assignments an actor may revoke, and for the others who may, in a few words."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from aizen_hub.accounts.roles import last_holder
from aizen_hub.authorization.delegation import GrantAuthority
from aizen_hub.authorization.queries.effective_access import HeldAccess
from aizen_hub.authorization.queries.grantors import who_can_revoke
from aizen_hub.problems import Denied
from aizen_hub.rbac.identity import Identity

if TYPE_CHECKING:
    from aizen_hub.store.transaction import ActorTransaction

MAX_EXPLAINED = 10
"""Assignments whose possible revokers are named."""


def find_obstacles(tx: ActorTransaction, holder: Identity, held_roles: Iterable[HeldAccess]) -> dict[int, str]:
    """Return why the actor cannot revoke each assignment of ``holder`` itself; an empty text where they can.

    An actor who acts for another user may revoke nothing, and gets an empty mapping.
    """
    try:
        authority = GrantAuthority.of_actor(tx)
    except Denied:
        return {}
    obstacles: dict[int, str] = {}
    explained = 0
    for held in held_roles:
        if held.via or held.assignment_id in obstacles:
            continue
        role = tx.roles[held.role]
        if held.mapped:
            obstacles[held.assignment_id] = "by a rule"
        elif authority.missing_to_revoke(tx, role, held.scope, holder, creator=held.creator):
            explained += 1
            obstacles[held.assignment_id] = _who_may(tx, held, holder, explain=explained <= MAX_EXPLAINED)
        elif role.protected and last_holder.active_holders(tx, held.role, held.scope) == {holder.name}:
            obstacles[held.assignment_id] = "the last one"
        else:
            obstacles[held.assignment_id] = ""
    return obstacles


def _who_may(tx: ActorTransaction, held: HeldAccess, holder: Identity, *, explain: bool) -> str:
    names: tuple[str, ...] = ()
    if explain:
        others = (tx.actor.identity,)
        names = who_can_revoke(tx, held.role, held.scope, holder, 2, creator=held.creator, besides=others)
    return f"{' or '.join(names)} may" if names else "not yours to take away"

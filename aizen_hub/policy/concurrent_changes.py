"""What others changed while a policy was being applied: whether its plan still holds."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from aizen_hub.accounts.identities import require_identity
from aizen_hub.accounts.roles.staged_assignments import StalePlanError
from aizen_hub.authorization import checks
from aizen_hub.policy.assignment_plan import AssignmentPlan
from aizen_hub.problems import NotFound
from aizen_hub.rbac.identity import Identity
from aizen_hub.store import tables
from aizen_hub.store.rights.changed_names import affected_names

if TYPE_CHECKING:
    from aizen_hub.store.transaction import ActorTransaction

_MAX_CHANGES = 5_000
_OF_ASSIGNMENTS = frozenset({"grant", "revoke"})
_c = tables.changes


class ConcurrentChanges:
    """The changes of others since a plan was made, and the roles of the actor that have begun or ended since.

    Checked once without the write lock, so that few are left to check in the transaction that puts the plan in effect.

    Parameters
    ----------
    plan : AssignmentPlan
    revision, planned : int, datetime
        Of the snapshot that the plan was made from.
    operation_id : str
        Changes of this operation are not those of others.
    prune : bool
        Whether every assignment in the file's scopes counts.
    """

    def __init__(
        self, plan: AssignmentPlan, revision: int, planned: datetime, operation_id: str, *, prune: bool
    ) -> None:
        changes = (*plan.bulk, *plan.single)
        self._keys = {change.key for change in changes}
        self._identities = {str(change.identity): change.identity for change in changes}
        self._scopes, self._prune = plan.scopes, prune
        self._revision, self._planned, self._operation_id = revision, planned, operation_id
        self._own_names: frozenset[str] | None = None

    def check(self, tx: ActorTransaction) -> None:
        """Raise StalePlanError if the plan has to be made again.

        Raises
        ------
        StalePlanError
        """
        if self._own_names is None:
            actor = tx.actor.identity
            self._own_names = frozenset(map(str, {actor, *checks.transitive_groups(tx, actor)}))
        self._check_time(tx)
        query = select(_c.c.revision, _c.c.payload, _c.c.invalidates).where(_c.c.revision > self._revision)
        rows = tx.conn.execute(query.order_by(_c.c.revision).limit(_MAX_CHANGES + 1)).all()
        if len(rows) > _MAX_CHANGES:
            raise StalePlanError
        for row in rows:
            payload = _parsed(row.payload)
            is_own = payload and all(change.get("operation") == self._operation_id for change in payload)
            if not is_own and (
                any(map(self._changes_assignment, payload)) or self._changes_basis(tx, _parsed(row.invalidates))
            ):
                raise StalePlanError
            self._revision = row.revision

    def _check_time(self, tx: ActorTransaction) -> None:
        """An assignment that begins or ends by time is no change; the plan was authorized by those of its time."""
        for held in tx.rights(tx.actor.identity).held_roles:
            if held.interval.includes(self._planned) is not held.interval.includes(tx.now):
                raise StalePlanError

    def _changes_assignment(self, change: dict[str, Any]) -> bool:
        if change["kind"] == "apply":
            return True  # of another operation
        if change["kind"] not in _OF_ASSIGNMENTS:
            return False
        key = (change.get("role"), change.get("scope"), change.get("identity"))
        return key in self._keys or (self._prune and change.get("scope") in self._scopes)

    def _changes_basis(self, tx: ActorTransaction, invalidates: list[str]) -> bool:
        """Whether a change concerns the actor, a role, a project of the plan, or removes one of its identities."""
        for name in invalidates:
            affected = affected_names(name)
            if affected is None or any(item.startswith("role:") for item in affected):
                return True
            if not affected.isdisjoint(self._own_names or ()):
                return True
            if any(item.startswith("project:") and item[8:] in self._scopes for item in affected):
                return True
            for item in affected & self._identities.keys():
                if not _exists(tx, self._identities[item]):
                    return True
        return False


def _exists(tx: ActorTransaction, identity: Identity) -> bool:
    try:
        require_identity(tx, identity)
    except NotFound:
        return False
    return True


def _parsed(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else value

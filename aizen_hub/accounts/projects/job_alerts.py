"""Which alerts of their projects users choose for themselves."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from sqlalchemy import delete, insert, select

from aizen_hub.alerts.outbox import ACCESS_SERVICE
from aizen_hub.authorization import checks
from aizen_hub.commands.result import Result, message_result
from aizen_hub.problems import BadInput
from aizen_hub.store import tables

if TYPE_CHECKING:
    from aizen_hub.store.transaction import ActorTransaction, WriteTransaction

_alerts = tables.project_alerts


def own_services(tx: ActorTransaction, project: str) -> list[str]:
    """Return of what the actor is alerted in a project, in the order of the catalog."""
    query = select(_alerts.c.service).where(_alerts.c.project == project, _alerts.c.user == tx.actor.identity.name)
    chosen = set(tx.conn.execute(query).scalars())
    return [service for service in tx.catalog.alert_services if service in chosen]


def offered_services(tx: ActorTransaction, project: str) -> list[str]:
    """Return of what the actor may be alerted in a project: of roles only who may read who has access to it."""
    reads_access = checks.is_allowed(tx, checks.endpoint_permission(tx, "access"), project)
    return [service for service in tx.catalog.alert_services if service != ACCESS_SERVICE or reads_access]


def choose_services(tx: WriteTransaction, project: str, services: Collection[str]) -> Result:
    """Replace of what the actor is alerted in a project.

    What an admin of the project chose for the actor and is not offered to them stays.

    Raises
    ------
    NotFound
        There is no such project that the actor can see.
    BadInput
        A service is not offered.
    """
    checks.forbid_impersonation(tx)
    checks.require_visible_project(tx, project)
    user, offered = tx.actor.identity.name, offered_services(tx, project)
    unknown = sorted(set(services) - set(offered))
    if unknown:
        raise BadInput(f"there are no alerts of `{unknown[0]}` for you in {project}", remedy="choose from the list")
    before = set(own_services(tx, project)) & set(offered)
    added, removed = sorted(set(services) - before), sorted(before - set(services))
    for service in added:
        tx.conn.execute(insert(_alerts).values(project=project, user=user, service=service))
    if removed:
        tx.conn.execute(
            delete(_alerts).where(_alerts.c.project == project, _alerts.c.user == user, _alerts.c.service.in_(removed))
        )
    if added or removed:
        tx.record_change("alerts", {"project": project, "added": len(added), "removed": len(removed)}, [])
        tx.audit("alerts.changed", project=project, details={"added": added, "removed": removed})
    return message_result(f"you are alerted of {len(services)} kinds of events in {project}", project=project)

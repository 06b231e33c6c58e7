"""Creation, activation, listing and deletion of service accounts."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, insert, select, update

from aizen_hub.accounts import erasure, pending_changes
from aizen_hub.accounts.identities import get_service_account
from aizen_hub.accounts.names import normalization, reservation
from aizen_hub.accounts.names.normalization import NameKind
from aizen_hub.authorization import checks
from aizen_hub.authorization.delegation import GrantAuthority, escalation_error
from aizen_hub.catalogs.catalog import BuiltInAccount
from aizen_hub.commands.result import Result, message_result, table_result
from aizen_hub.problems import Denied, Escalation
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.store import tables
from aizen_hub.store.audit_log import change_records
from aizen_hub.validation.prose import check_prose

if TYPE_CHECKING:
    from aizen_hub.store.transaction import ActorTransaction, ReadTransaction, WriteTransaction

BY_SECOND_PERSON = ", to be confirmed by a second user who has every right of the account"
_s = tables.service_accounts
_c = tables.credentials


def create_service_account(tx: WriteTransaction, name: str, *, description: str = "") -> Result:
    """Create a service account without any role, controlled by its creator, who can grant it only what they hold."""
    checks.require(tx, checks.endpoint_permission(tx, "service-accounts"))
    canonical = normalization.canonical_name(name, NameKind.SERVICE_ACCOUNT)
    reservation.reserve_name(tx, canonical, NameKind.SERVICE_ACCOUNT)
    description = check_prose(description, "description")
    values = {"controller": str(tx.actor.identity), "active": True}
    tx.conn.execute(insert(_s).values(name=canonical, description=description, created=tx.now, **values))
    wrote = change_records.change_payload(change_records.row_written(_s, canonical, values))
    tx.record_change(
        "service-account", {"account": canonical, "did": "create", **wrote}, [f"service-account:{canonical}"]
    )
    tx.audit("service-account.created", details={"account": canonical})
    return message_result(f"created service account `{canonical}`", account=canonical)


def set_service_account_active(
    tx: WriteTransaction,
    name: str,
    active: bool,
    *,
    requested_by: Identity | None = None,
    second_person: bool = False,
) -> Result:
    """Activate or deactivate a service account; activating it needs every right that it would have.

    An actor who lacks one of these rights asks, and a second user who has them all confirms. If one of its roles is
    protected, activating it waits for confirmation too.

    Parameters
    ----------
    requested_by : Identity, optional
        The user who asked for what the actor confirms.
    second_person : bool
        The change was stored for the confirmation of a second user.
    """
    row = get_service_account(tx, name)
    require_may_manage(tx, row, requested_by, second_person=second_person)
    identity = Identity.service_account(row.name)
    if active:
        by_second_person = needs_second_person(tx, row, "activate it", confirmed=requested_by is not None)
        if not row.active and pending_changes.requires_confirmation(
            tx, pending_changes.reachable_grants(tx, identity), second_person=by_second_person
        ):
            arguments = {"requested_by": str(tx.actor.identity), "second_person": by_second_person}
            summary = f"activate service account `{row.name}`{BY_SECOND_PERSON if by_second_person else ''}"
            return pending_changes.submit(tx, "switch-on", {"name": row.name, **arguments}, summary)
    tx.conn.execute(update(_s).where(_s.c.id == row.id).values(active=active))
    wrote = change_records.change_payload(change_records.row_updated(_s, row.name, {"active": active}))
    tx.record_change(
        "service-account", {"account": row.name, "did": "active", "active": active, **wrote}, [str(identity)]
    )
    tx.audit("service-account.active", details={"account": row.name, "active": active})
    return message_result(f"`{row.name}` is {'active' if active else 'inactive'}")


def delete_service_account(tx: WriteTransaction, name: str) -> Result:
    """Delete a service account with its credentials and roles; its name stays reserved.

    Raises
    ------
    Denied
        A built-in account.
    Escalation
        It holds a protected role that the actor may not revoke.
    """
    row = get_service_account(tx, name)
    require_may_manage(tx, row)
    if row.built_in:
        raise Denied(f"`{row.name}` is built in and cannot be deleted", remedy="deactivate it")
    identity = Identity.service_account(row.name)
    authority = GrantAuthority.of_actor(tx)
    assignments = erasure.list_direct_assignments(tx, identity)
    for assignment in assignments:
        role = tx.roles[assignment.role]
        missing = (
            authority.missing_to_revoke(tx, role, assignment.scope, identity, deletes_holder=True)
            if role.protected
            else ()
        )
        if missing:
            raise escalation_error(tx, "revoke", role.name, assignment.scope, missing, identity)
    if pending_changes.requires_confirmation(tx, ((assignment.role, assignment.scope) for assignment in assignments)):
        return pending_changes.submit(
            tx, "delete-account", {"name": row.name}, f"delete the service account `{row.name}`"
        )
    erasure.unauthorized_erase_identity(tx, identity, "service account deleted")
    tx.conn.execute(delete(_c).where(_c.c.service_account_id == row.id))
    tx.conn.execute(delete(_s).where(_s.c.id == row.id))
    reservation.retire_name(tx, row.name, NameKind.SERVICE_ACCOUNT)
    wrote = change_records.change_payload(
        change_records.row_deleted(_c, row.name), change_records.row_deleted(_s, row.name)
    )
    tx.record_change("service-account", {"account": row.name, "did": "delete", **wrote}, [str(identity)])
    tx.audit("service-account.deleted", details={"account": row.name})
    return message_result(f"deleted service account `{row.name}`")


def list_service_accounts(tx: ActorTransaction) -> Result:
    """List all service accounts for users who manage them, otherwise those that the actor controls."""
    query = select(_s).order_by(_s.c.name)
    if not checks.is_allowed(tx, checks.endpoint_permission(tx, "service-accounts"), SYSTEM):
        checks.forbid_impersonation(tx)
        query = query.where(_s.c.controller == str(tx.actor.identity))
    rows = tx.conn.execute(query).all()
    return table_result(
        ("account", "description", "controller", "active", "created"),
        [(row.name, row.description, row.controller, row.active, row.created) for row in rows],
    )


def activate_confirmed_account(tx: WriteTransaction, args: Mapping[str, Any]) -> Result:
    """Execute a confirmed activation."""
    requested_by, second_person = Identity.parse(args["requested_by"]), args["second_person"]
    return set_service_account_active(tx, args["name"], True, requested_by=requested_by, second_person=second_person)


def needs_second_person(tx: WriteTransaction, row: Any, act: str, *, confirmed: bool) -> bool:
    """Return whether a second user has to confirm an act that gives control of an account.

    Parameters
    ----------
    confirmed : bool
        The actor confirms the act, so that no further user can: raises Escalation instead.
    """
    try:
        require_control(tx, row, act)
    except Escalation as problem:
        if confirmed:
            problem.remedy = "a second user who has these rights confirms it in the panel"
            raise
        return True
    return False


def require_control(tx: ActorTransaction, row: Any, act: str) -> None:
    """Require every right of an account, except the roles of a built-in one whose credentials the actor may issue.

    Raises as `checks.require_control_of` does, with the same ``act``.
    """
    exempt = _exempt_roles(tx, row, tx.actor.identity)
    checks.require_control_of(tx, Identity.service_account(row.name), act, except_roles=exempt)


def _lacks_control(tx: ActorTransaction, row: Any, identity: Identity) -> bool:
    """Return whether an identity lacks a right that `require_control` would require of it."""
    exempt = _exempt_roles(tx, row, identity)
    return any(
        right.scope != SYSTEM or right.role not in exempt
        for right in checks.missing_for_control(tx, identity, Identity.service_account(row.name))
    )


def catalog_entry(tx: ReadTransaction, row: Any) -> BuiltInAccount | None:
    """Return the entry of the catalog for a built-in account; None for any other account."""
    return next(
        (
            entry
            for entry in tx.catalog.service_accounts
            if row.built_in and normalization.canonical_or_none(entry.name, NameKind.SERVICE_ACCOUNT) == row.name
        ),
        None,
    )


def _exempt_roles(tx: ReadTransaction, row: Any, identity: Identity) -> Collection[str]:
    account = catalog_entry(tx, row)
    is_issuer = account is not None and any(
        held.role in account.credential_issuers and held.scope == SYSTEM and held.is_effective(tx.now)
        for held in tx.rights(identity).held_roles
    )
    return account.roles if account is not None and is_issuer else ()


def require_may_manage(
    tx: ActorTransaction, row: Any, requested_by: Identity | None = None, *, second_person: bool = False
) -> None:
    """Require that the actor controls the account, or may manage service accounts.

    Parameters
    ----------
    requested_by : Identity, optional
        Another user whose change the actor confirms: that user must be allowed to do so, still.
    second_person : bool
        That change was stored for the confirmation of a second user. As long as its requester lacks a right of the
        account, the rights of the account are what the actor needs (`require_control`), not those to manage it.
    """
    if requested_by not in (None, tx.actor.identity):
        permission = checks.endpoint_permission(tx, "service-accounts")
        if row.controller != str(requested_by) and not checks.decide_now(tx, requested_by, permission, SYSTEM).allowed:
            raise Denied(f"`{requested_by}` may not manage `{row.name}` any more", remedy="reject the change")
        if second_person and _lacks_control(tx, row, requested_by):
            return
    if row.controller == str(tx.actor.identity) and not checks.is_operator(tx):
        checks.forbid_impersonation(tx)
    else:
        checks.require(tx, checks.endpoint_permission(tx, "service-accounts"))

"""Why an identity is not active, and what its holder can do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from aizen_hub.rbac.identity import Identity, IdentityKind
from aizen_hub.store import tables

if TYPE_CHECKING:
    from aizen_hub.store.transaction import ReadTransaction

USE_LINK = "open the activation link that was sent to you, or ask an administrator for a new one"


def inactive_remedy(tx: ReadTransaction, identity: Identity) -> str:
    """Return what to do about an identity that is not active: not registered, not activated, or switched off."""
    table = tables.service_accounts if identity.kind is IdentityKind.SERVICE_ACCOUNT else tables.users
    is_active = tx.conn.execute(select(table.c.active).where(table.c.name == identity.name)).scalar()
    if is_active is None or identity.kind is IdentityKind.GROUP:
        return "ask an administrator to register it"
    if is_active:
        return "try again"
    if identity.kind is IdentityKind.SERVICE_ACCOUNT:
        return "ask the user who controls this service account to activate it"
    return USE_LINK

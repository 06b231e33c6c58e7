"""Lookup of users, groups and service accounts, and of the identity providers of users."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from aizen_hub.accounts.names import normalization
from aizen_hub.accounts.names.normalization import NameKind
from aizen_hub.problems import BadInput, NotFound
from aizen_hub.rbac.identity import Identity, IdentityKind
from aizen_hub.store import tables
from aizen_hub.validation.printable import excerpt
from aizen_hub.wording import LIST_USERS

if TYPE_CHECKING:
    from aizen_hub.store.transaction import ReadTransaction

LOCAL_KIND = "local"
_u, _g, _s = tables.users, tables.groups, tables.service_accounts


def user_exists(tx: ReadTransaction, name: str) -> bool:
    return tx.conn.execute(select(_u.c.id).where(_u.c.name == name)).first() is not None


def get_user(tx: ReadTransaction, name: str) -> Any:
    """Return the row of a user; raises NotFound for anything else."""
    canonical = normalization.canonical_or_none(name)
    row = None if canonical is None else tx.conn.execute(select(_u).where(_u.c.name == canonical)).first()
    if row is None:
        raise NotFound(f"there is no user `{excerpt(name)}`", remedy=LIST_USERS)
    return row


def is_local_user(tx: ReadTransaction, name: str) -> bool:
    return provider_kind(tx, get_user(tx, name).provider) == LOCAL_KIND


def provider_kind(tx: ReadTransaction, provider: str) -> str | None:
    return next((configured.kind for configured in tx.settings.providers if configured.name == provider), None)


def resolve_provider(tx: ReadTransaction, provider: str | None) -> str:
    """Return the provider of a registration, by default the configured one; raises BadInput for an unknown provider."""
    chosen = provider or tx.settings.registration_provider
    allowed = [configured.name for configured in tx.settings.providers]
    if chosen not in allowed:
        raise BadInput(f"there is no provider `{excerpt(chosen)}`", remedy=f"the providers are {', '.join(allowed)}")
    return chosen


def get_group(tx: ReadTransaction, name: str) -> Any:
    """Return the row of a group; raises NotFound for anything else."""
    canonical = normalization.canonical_or_none(name, NameKind.GROUP)
    row = None if canonical is None else tx.conn.execute(select(_g).where(_g.c.name == canonical)).first()
    if row is None:
        raise NotFound(f"there is no group `{excerpt(name)}`")
    return row


def get_service_account(tx: ReadTransaction, name: str) -> Any:
    """Return the row of a service account; raises NotFound for anything else."""
    canonical = normalization.canonical_or_none(name, NameKind.SERVICE_ACCOUNT)
    row = None if canonical is None else tx.conn.execute(select(_s).where(_s.c.name == canonical)).first()
    if row is None:
        raise NotFound(f"there is no service account `{excerpt(name)}`")
    return row


_TABLES = {
    IdentityKind.USER: tables.users,
    IdentityKind.GROUP: tables.groups,
    IdentityKind.SERVICE_ACCOUNT: tables.service_accounts,
}


def require_identity(tx: ReadTransaction, identity: Identity) -> None:
    """Raise NotFound for an identity that is not registered."""
    table = _TABLES[identity.kind]
    if tx.conn.execute(select(table.c.id).where(table.c.name == identity.name)).first() is None:
        kind = identity.kind.value.replace("-", " ")
        raise NotFound(
            f"there is no {kind} `{excerpt(identity.name)}`",
            remedy=LIST_USERS if identity.kind is IdentityKind.USER else None,
        )

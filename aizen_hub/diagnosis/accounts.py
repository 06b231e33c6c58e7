"""Checks of accounts: whether an administrator can sign in, and what expired or belongs to a removed provider."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import func, or_, select

from aizen_hub.diagnosis.check_result import CheckResult, in_settings
from aizen_hub.diagnosis.installation import Installation
from aizen_hub.rbac.identity import Identity, IdentityKind

if TYPE_CHECKING:
    from aizen_hub.store.sql_store import Store
    from aizen_hub.store.transaction import ReadTransaction

EXPIRY_NOTICE = timedelta(days=14)
_MAX_SHOWN = 5


def check_administrators(store: Store, _installation: Installation) -> Iterator[CheckResult]:
    """Check that some user who can sign in holds the admin role."""
    from aizen_hub.store import tables

    role = store.catalog.admin_role
    u, a = tables.users, tables.activations
    with store.read() as tx:
        if role is None or tx.conn.scalar(select(func.count()).select_from(u)) == 0:
            return  # the service registers the first admin at its start
        names = _find_holders(tx, role)
        usable = set(tx.conn.scalars(select(u.c.name).where(u.c.name.in_(names), u.c.active))) - _find_locked(tx, names)
        waiting = tx.conn.scalar(
            select(func.count())
            .select_from(a.join(u, u.c.id == a.c.user_id))
            .where(u.c.name.in_(names), a.c.expires > tx.now)
        )
    if usable:
        yield CheckResult.passed("administrators", f"{len(usable)} users who can sign in hold {role}")
    elif waiting:
        yield CheckResult.warning(
            "administrators",
            in_settings("admin_user"),
            f"no holder of {role} has set a password yet",
            "open the link in admin-activation-link of data_dir, or print another: aizen-hub recover-admin NAME",
        )
    else:
        yield CheckResult.error(
            "administrators",
            in_settings("admin_user"),
            f"no user who can sign in holds {role}, so that no one can administer the system",
            "aizen-hub recover-admin NAME",
        )


def check_credentials(store: Store, _installation: Installation) -> Iterator[CheckResult]:
    from aizen_hub.store import tables

    c, s = tables.credentials, tables.service_accounts
    with store.read() as tx:
        query = (
            select(s.c.name, func.max(c.c.expires).label("ends"))
            .select_from(c.join(s, s.c.id == c.c.service_account_id))
            .where(s.c.active)
            .group_by(s.c.name)
            .having(func.max(c.c.expires) < tx.now + EXPIRY_NOTICE)
            .order_by(s.c.name)
        )
        rows, now = tx.conn.execute(query).all(), tx.now
    for check, verb, names in (
        ("expired-credential", "expired", [row.name for row in rows if row.ends <= now]),
        ("expiring-credential", "expires within 14 days", [row.name for row in rows if row.ends > now]),
    ):
        if names:
            yield CheckResult.warning(
                check,
                "service accounts",
                f"the last credential {verb} of: {_shorten(names)}",
                "aizen-hub service-account issue NAME, and give it to the program; or delete the account",
            )


def check_providers(store: Store, installation: Installation) -> Iterator[CheckResult]:
    """Report users and mapping rules of providers that aizen.yaml no longer has."""
    from aizen_hub.store import tables

    configured = [provider.name for provider in installation.settings.providers]
    remedy = "put the provider back, or delete what belongs to it"
    with store.read() as tx:
        for check, noun, table in (
            ("user-provider", "users", tables.users),
            ("rule-provider", "mapping rules", tables.mapping_rules),
        ):
            p = table.c.provider
            rows = tx.conn.execute(
                select(p, func.count().label("number")).where(p.not_in(configured)).group_by(p).order_by(p)
            ).all()
            for row in rows:
                yield CheckResult.warning(
                    check,
                    in_settings("providers"),
                    f"{row.number} {noun} belong to the provider `{row.provider}`, which does not exist any more",
                    remedy,
                )


def _find_holders(tx: ReadTransaction, role: str) -> set[str]:
    """Return the users with the role in the system, directly or by a group that they are direct members of."""
    from aizen_hub.rbac.role import SYSTEM
    from aizen_hub.store import tables

    a, m, g = tables.assignments, tables.memberships, tables.groups
    is_current = or_(a.c.ends.is_(None), a.c.ends > tx.now)
    query = select(a.c.identity).where(a.c.role == role, a.c.scope == SYSTEM, is_current)
    holders = [Identity.parse(text) for text in tx.conn.scalars(query)]
    groups = [holder.name for holder in holders if holder.kind is IdentityKind.GROUP]
    members = select(m.c.member).join(g, g.c.id == m.c.group_id).where(g.c.name.in_(groups))
    identities = [*holders, *(Identity.parse(text) for text in tx.conn.scalars(members))]
    return {identity.name for identity in identities if identity.kind is IdentityKind.USER}


def _find_locked(tx: ReadTransaction, names: set[str]) -> set[str]:
    from aizen_hub.rbac.assignment import LockTarget
    from aizen_hub.store import tables

    k = tables.locks
    identities = {str(Identity.user(name)): name for name in names}
    query = select(k.c.name).where(
        k.c.target == LockTarget.IDENTITY.value,
        k.c.name.in_(identities),
        or_(k.c.ends.is_(None), k.c.ends > tx.now),
    )
    return {identities[name] for name in tx.conn.scalars(query)}


def _shorten(names: list[str]) -> str:
    more = "" if len(names) <= _MAX_SHOWN else f" and {len(names) - _MAX_SHOWN} more"
    return ", ".join(names[:_MAX_SHOWN]) + more

"""Names that were typed into a field for people, groups and service accounts, as identities."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import select

from aizen_hub.accounts.names import normalization
from aizen_hub.accounts.names.normalization import NameKind
from aizen_hub.accounts.roles import grant_preview
from aizen_hub.authorization.delegation import GrantAuthority
from aizen_hub.authorization.queries.grantors import who_can_grant
from aizen_hub.rbac.identity import Identity, IdentityKind
from aizen_hub.rbac.messages import describe_scope
from aizen_hub.rbac.role import Role
from aizen_hub.service.panel.fields.names import MAX_NAMES, closest_name, split_names
from aizen_hub.service.panel.form_errors import FieldError
from aizen_hub.service.panel.visibility import Viewer
from aizen_hub.store import tables
from aizen_hub.store.transaction import ActorTransaction
from aizen_hub.validation.printable import excerpt

_TABLES = {
    IdentityKind.USER: (tables.users, NameKind.USER),
    IdentityKind.GROUP: (tables.groups, NameKind.GROUP),
    IdentityKind.SERVICE_ACCOUNT: (tables.service_accounts, NameKind.SERVICE_ACCOUNT),
}
_MAX_NAMED = 5
_MAX_SUGGESTED_FROM = 2_000


def read_identities(
    tx: ActorTransaction,
    text: str,
    *,
    field: str,
    kinds: Collection[IdentityKind] = tuple(IdentityKind),
) -> list[Identity]:
    """Return the identities that a field names: ``rita``, or ``group:crew``; a user before a group of the same name.

    Raises
    ------
    FieldError
        Nothing is named, too many are, or some do not exist; names those, and the nearest visible name of each.
    """
    names = split_names(text)
    if not names:
        raise FieldError(field, "name at least one")
    if len(names) > MAX_NAMES:
        raise FieldError(field, f"these are {len(names)} names; {MAX_NAMES} at once are possible")
    identities, unknown = [], []
    for name in names:
        identity = find_identity(tx, name, kinds)
        if identity is None:
            unknown.append(name)
        else:
            identities.append(identity)
    if unknown:
        visible = _visible_names(tx, kinds)
        texts = []
        for name in unknown[:_MAX_NAMED]:
            near = closest_name(name.casefold(), visible)
            texts.append(f"there is no {excerpt(name)}" + (f", did you mean {near}?" if near else ""))
        more = len(unknown) - _MAX_NAMED
        raise FieldError(field, "; ".join(texts) + (f"; and {more} more do not exist" if more > 0 else ""))
    return list(dict.fromkeys(identities))


def read_grantees(tx: ActorTransaction, text: str, role: Role, scope: str, *, field: str) -> list[Identity]:
    """Return the identities to which a role is to be given.

    Which names exist is told to those only who may give it; others may name what they control (R72).

    Raises
    ------
    FieldError
        As `read_identities`, or the actor may not give the role there.
    """
    if not grant_preview.may_grant(tx, role, scope):
        controlled = GrantAuthority.of_actor(tx).controlled
        named = [_own_identity(name, controlled) for name in split_names(text)]
        if not named or None in named:
            able = who_can_grant(tx, role.name, scope, besides=[tx.actor.identity])
            where = describe_scope(scope).replace("`", "")
            detail = f"you cannot give {role.name} in {where}"
            raise FieldError(field, f"{detail}; {' or '.join(able)} may give it" if able else detail)
    return read_identities(tx, text, field=field)


def _own_identity(name: str, controlled: Collection[Identity]) -> Identity | None:
    prefix, colon, rest = name.partition(":")
    return next(
        (
            identity
            for identity in controlled
            if identity.name == (rest if colon else name).casefold() and prefix in (identity.kind.value, name)
        ),
        None,
    )


def find_identity(
    tx: ActorTransaction, name: str, kinds: Collection[IdentityKind] = tuple(IdentityKind)
) -> Identity | None:
    """Return the identity that a typed name stands for, if it exists."""
    prefix, colon, rest = name.partition(":")
    for kind in kinds:
        if colon and prefix != kind.value:
            continue
        table, name_kind = _TABLES[kind]
        canonical = normalization.canonical_or_none(rest if colon else name, name_kind)
        if canonical is not None and tx.conn.execute(select(table.c.id).where(table.c.name == canonical)).first():
            return Identity(kind, canonical)
    return None


def _visible_names(tx: ActorTransaction, kinds: Collection[IdentityKind]) -> list[str]:
    """Return names for suggestions: only of identities that the viewer may see anyway (R72)."""
    viewer = Viewer(tx)
    visible = {
        IdentityKind.USER: lambda: viewer.people,
        IdentityKind.GROUP: lambda: viewer.groups,
        IdentityKind.SERVICE_ACCOUNT: lambda: viewer.service_accounts,
    }
    names: list[str] = []
    for kind in kinds:
        some = visible[kind]()
        if some is None:
            table, _ = _TABLES[kind]
            query = select(table.c.name).order_by(table.c.name).limit(_MAX_SUGGESTED_FROM)
            some = frozenset(tx.conn.execute(query).scalars())
        shown = sorted(some)[:_MAX_SUGGESTED_FROM]
        names += [name if kind is IdentityKind.USER else f"{kind}:{name}" for name in shown]
    return names

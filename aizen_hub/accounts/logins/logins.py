"""Logins: who a proven (provider, subject) is here, and what to project into the hub (R22, R32; T-16)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, insert, select, update

from aizen_hub.accounts.credentials import recent_logins as sign_ins
from aizen_hub.accounts.groups import mapping_sync as mapping_reports
from aizen_hub.accounts.names import names
from aizen_hub.accounts.names.names import NameKind
from aizen_hub.accounts.sessions import locks, sessions
from aizen_hub.accounts.users import users
from aizen_hub.problems import BadInput, Conflict
from aizen_hub.rbac.assignment import LockTarget
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.store import tables
from aizen_hub.store.audit_log import change_records as recorded
from aizen_hub.validation.email_address import is_mail_address
from aizen_hub.validation.printable import show

if TYPE_CHECKING:
    from aizen_hub.store.transaction import Write

MAX_SUBJECT = 255
MAX_GROUPS = 1_000
_u = tables.users


class Outcome(StrEnum):
    ADMITTED = "admitted"
    NOT_REGISTERED = "not-registered"
    LOCKED = "locked"
    NOT_ACTIVE = "not-active"
    NAME_TAKEN = "name-taken"


_REASONS = {
    Outcome.ADMITTED: "welcome",
    Outcome.NOT_REGISTERED: "you are not registered here; ask an administrator to add you",
    Outcome.LOCKED: "your account is locked; ask an administrator",
    Outcome.NOT_ACTIVE: "your account is not activated",
    Outcome.NAME_TAKEN: "somebody else is registered under your name; ask an administrator",
}


@dataclass(frozen=True, slots=True)
class Projection:
    """What the hub shall know, never more than it needs itself; rights come from here alone.

    Attributes
    ----------
    groups : tuple of str
        The projects in which a role of the person is in effect, for the hub's own filters.
    admin : bool
        Whether the person may use the hub's admin page: the catalog's admin role is in effect now.
    """

    groups: tuple[str, ...] = ()
    admin: bool = False


@dataclass(frozen=True, slots=True)
class LoginAnswer:
    """The answer to a login report; ``user`` is the canonical name, for an admitted person only."""

    outcome: Outcome
    user: str | None
    reason: str
    projection: Projection = field(default_factory=Projection)

    def to_json(self) -> dict[str, Any]:
        return {
            "outcome": self.outcome.value,
            "user": self.user,
            "reason": self.reason,
            "projection": {"groups": list(self.projection.groups), "admin": self.projection.admin},
        }


def report(
    tx: Write,
    provider: str,
    subject: str,
    name: str,
    display_name: str = "",
    email: str | None = None,
    groups: Sequence[str] | None = None,
    *,
    refresh: bool = False,
) -> LoginAnswer:
    """Take the hub's word that (provider, subject) has just proven who they are, and say who that is here.

    A registration that was never used is bound to the first subject of its provider whose name it has, and whose mail
    domain where it was written with one; afterwards the name means nothing.

    Parameters
    ----------
    subject : str
        The immutable id of the person at the provider.
    name : str
        The external name; where it is a mail address, its local part counts.
    groups : sequence of str or None
        The person's groups at the provider; None where the provider has none to tell, which changes nothing.
    refresh : bool
        Whether the provider was asked again without the person: that is no login, and is recorded only where it
        changed something or let nobody in.

    Raises
    ------
    BadInput
        The subject is empty or too long, or the groups are too many.
    """
    if not subject or len(subject) > MAX_SUBJECT:
        raise BadInput("the subject is empty or too long")
    if groups is not None and len(groups) > MAX_GROUPS:
        raise BadInput(f"more than {MAX_GROUPS} groups")
    users.known_provider(tx, provider)
    details = {"provider": provider, "subject": show(subject), "name": show(name)}
    found = sign_ins.user_of(tx, provider, subject)
    if found is None:
        # What a provider says of somebody's contact must not keep them out; what is no address is not taken.
        mail = email if email and is_mail_address(email) else None
        found = _by_name(tx, provider, subject, name, display_name, mail)
    if isinstance(found, Outcome):
        return _answer(tx, found, None, details, refresh)
    user = str(found)
    row = users.row_of(tx, user)
    if groups is not None:
        take_groups(tx, user, provider, groups)
    if locks.is_locked(tx, LockTarget.IDENTITY, f"user:{user}"):
        return _answer(tx, Outcome.LOCKED, user, details, refresh)
    if not row.active:
        return _answer(tx, Outcome.NOT_ACTIVE, user, details, refresh)
    tx.conn.execute(update(_u).where(_u.c.name == user).values(last_seen=tx.now))
    return _answer(tx, Outcome.ADMITTED, user, details, refresh)


def take_groups(tx: Write, user: str, provider: str, groups: Sequence[str]) -> None:
    """Replace a user's memberships that come from this provider, and note that they were seen now (R63).

    A group that neither is set up here nor meets a mapping rule gives nothing and is passed over.
    """
    g, m = tables.groups, tables.memberships
    member = f"user:{user}"
    known = {one: names.known_as(one, NameKind.GROUP) for one in groups}
    # A distinguished name has one spelling by its own rules.
    wanted = {name for one, name in known.items() if name is not None and ("=" in one or names.is_spelt(one, name))}
    mapping_reports.reported(tx, user, provider, wanted)
    mapping_reports.apply(tx, provider, wanted)
    rows = tx.conn.execute(select(g.c.id, g.c.name).where(g.c.provider == provider)).all()
    present = set(tx.conn.execute(select(m.c.group_id).where(m.c.member == member, m.c.provider == provider)).scalars())
    touched, wrote = [], []
    for row in rows:
        if row.name in wanted:
            if row.id in present:
                where = (m.c.group_id == row.id, m.c.member == member, m.c.provider == provider)
                tx.conn.execute(update(m).where(*where).values(seen_at=tx.now))
            else:
                tx.conn.execute(insert(m).values(group_id=row.id, member=member, provider=provider, seen_at=tx.now))
                wrote.append(recorded.put(m, member, {}, provider, row.name))
            touched.append(row.name)
        elif row.id in present:
            tx.conn.execute(delete(m).where(m.c.group_id == row.id, m.c.member == member, m.c.provider == provider))
            wrote.append(recorded.gone(m, member, provider, row.name))
            touched.append(row.name)
    if touched:
        groups_now = sorted(wanted & {row.name for row in rows})
        payload = {"user": user, "provider": provider, "groups": groups_now, **recorded.rows(*wrote)}
        tx.change("directory-groups", payload, [member])


def _by_name(tx: Write, provider: str, subject: str, name: str, display_name: str, email: str | None) -> str | Outcome:
    short = names.short_name(name)
    canonical = names.known_as(short)
    if canonical is None:
        return Outcome.NOT_REGISTERED
    row = tx.conn.execute(select(_u).where(_u.c.name == canonical)).first()
    if row is not None:
        if row.provider != provider or row.subject is not None or not names.is_spelt(short, canonical):
            return Outcome.NAME_TAKEN
        if row.domain is not None and row.domain != names.mail_domain(name):
            return Outcome.NAME_TAKEN
        values: dict[str, Any] = {"subject": subject}
        if not row.display_name:
            values["display_name"] = display_name[:200]
        if not row.email:
            values["email"] = email
        tx.conn.execute(update(_u).where(_u.c.id == row.id).values(**values))
        wrote = recorded.rows(recorded.altered(_u, canonical, values))
        tx.change("user", {"user": canonical, "did": "bind", "provider": provider, **wrote}, [f"user:{canonical}"])
        tx.audit("user.bound", details={"user": canonical, "provider": provider, "subject": show(subject)})
        return canonical
    if not tx.settings.auto_register:
        return Outcome.NOT_REGISTERED
    try:
        return users.register(tx, canonical, provider=provider, display_name=display_name, email=email, subject=subject)
    except Conflict:
        # Reserved for somebody who was deleted, or too much like another name.
        return Outcome.NAME_TAKEN


def _answer(tx: Write, outcome: Outcome, user: str | None, details: dict[str, str], refresh: bool) -> LoginAnswer:
    admitted = outcome is Outcome.ADMITTED and user is not None
    if not (refresh and admitted and not tx.touched):
        event = "login.refreshed" if refresh else "login"
        # Of somebody admitted the canonical name is enough: it stays as their pseudonym when personal data is erased,
        # which a name at the provider, often a mail address, would not be.
        kept = {key: value for key, value in details.items() if key != "name" or user is None}
        tx.audit(event, details={"outcome": outcome.value, "user": user, **kept})
    if not admitted:
        return LoginAnswer(outcome, None, _REASONS[outcome])
    rights = tx.rights(Identity.user(str(user)))
    projects = {held.scope for held in rights.held if held.scope != SYSTEM and held.gives(tx.now)}
    projection = Projection(tuple(sorted(projects)), sessions.is_admin(tx, str(user)))
    return LoginAnswer(outcome, user, _REASONS[outcome], projection)

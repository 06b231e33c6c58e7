"""Further logins of a user: linked by an administrator, or by the person who proved both (R32, T-16)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, insert, select

from aizen_hub.accounts import pending_changes as pending
from aizen_hub.accounts.credentials import recent_logins as sign_ins
from aizen_hub.accounts.logins import logins
from aizen_hub.accounts.roles import last_holder as holders
from aizen_hub.accounts.sessions import locks
from aizen_hub.accounts.users import users
from aizen_hub.authorization import checks as gate
from aizen_hub.commands.result import Result, message, table
from aizen_hub.problems import BadInput, Conflict, Denied, LastHolder, NotFound
from aizen_hub.rbac.assignment import LockTarget
from aizen_hub.rbac.identity import Identity
from aizen_hub.store import tables
from aizen_hub.store.audit_log import change_records as recorded
from aizen_hub.validation.printable import show

if TYPE_CHECKING:
    from aizen_hub.store.transaction import Read, Write

_u, _l, _p = tables.users, tables.logins, tables.passwords


def link(tx: Write, user: str, provider: str, subject: str) -> Result:
    """Let a further (provider, subject) sign in as a user; needs every right that the user holds (R66-R70).

    Where the user holds a protected role, it waits for confirmation like giving that role.

    Parameters
    ----------
    subject : str
        The immutable id of the person at the provider, as it tells it; never a name or a mail address.

    Raises
    ------
    Denied
        The permission to manage users, or in the panel a fresh sign-in, is missing.
    Escalation
        A right that the user holds is missing.
    NotFound, BadInput
        No such user or provider; no subject; local accounts are users of their own.
    Conflict
        That login is somebody's already.
    """
    gate.need(tx, gate.permission(tx, "users"))
    row = users.row_of(tx, user)
    identity = Identity.user(row.name)
    gate.need_control(tx, identity, "link a login")
    _check(tx, row.name, provider, subject)
    what = f"let `{show(subject)}` of {provider} sign in as `{row.name}`"
    if pending.needed_to_control(tx, identity):
        return pending.hold(tx, "link-login", {"user": row.name, "provider": provider, "subject": subject}, what)
    _put(tx, row, provider, subject, {})
    return message(f"`{row.name}` can sign in with {provider} too", user=row.name)


def link_confirmed(tx: Write, args: Mapping[str, Any]) -> Result:
    """Link a login after its confirmation."""
    return link(tx, args["user"], args["provider"], args["subject"])


def link_own(tx: Write, user: str, provider: str, subject: str, session: str) -> Result:
    """Let a person sign in by a second provider, who proved both logins in one browser session.

    Parameters
    ----------
    session : str
        SHA-256 of the hub's id of the browser session; a fresh sign-in of it with the login known so far is needed.

    Raises
    ------
    Denied
        No fresh sign-in there.
    Conflict
        That login is somebody's already.
    """
    row = users.row_of(tx, user)
    if sign_ins.fresh_until(tx, row.name, session) is None:
        raise Denied(
            "this needs a fresh sign-in",
            remedy="sign in again with the login that you have",
            more={"reason": "fresh-login-required"},
        )
    if not row.active or locks.is_locked(tx, LockTarget.IDENTITY, f"user:{row.name}"):
        raise Denied("your account is stopped")
    _check(tx, row.name, provider, subject)
    _put(tx, row, provider, subject, {"by": "self"})
    return message(f"you can sign in with {provider} too")


def unlink(tx: Write, user: str, number: int, *, last: bool = False) -> Result:
    """Take a further login from a user, and end what was signed in by it.

    Parameters
    ----------
    number : int
        As `list_of` shows it.
    last : bool
        Also if nobody can sign in as this user afterwards.

    Raises
    ------
    Denied
        The permission to manage users is missing.
    NotFound
        No such user, or no such further login of theirs.
    Conflict
        It is the last way in, and ``last`` is not set.
    LastHolder
        It is the last way in of the last holder of a protected role (R69).
    """
    gate.need(tx, gate.permission(tx, "users"))
    row = users.row_of(tx, user)
    found = tx.conn.execute(select(_l).where(_l.c.user_id == row.id, _l.c.id == number)).first()
    if found is None:
        raise NotFound(f"`{row.name}` has no further login {number}", remedy="list the logins for their numbers")
    shut = not _ways_in(tx, row, without=number)
    if shut:
        _check_last(tx, row.name, last)
    _take(tx, row, _l.c.id == number, {"provider": found.provider, "subject": show(found.subject), "shut": shut})
    said = f"`{row.name}` cannot sign in as `{show(found.subject)}` of {found.provider} any more"
    return message(said + ("; nobody can sign in as this user now" if shut else ""), user=row.name, shut=shut)


def unlink_own(tx: Write, provider: str) -> Result:
    """Take one's own further logins of a provider away; the login of the registration stays."""
    gate.in_person(tx)
    pending.need_fresh(tx)
    row = users.row_of(tx, tx.actor.identity.name)
    if provider not in linked(tx, row.name):
        raise NotFound("there is no such further login of yours")
    _take(tx, row, _l.c.provider == provider, {"provider": provider, "by": "self"})
    return message(f"you cannot sign in with {provider} any more")


def list_of(tx: Write, user: str) -> Result:
    """List the ways by which a user signs in: one's own, or with the permission to manage users anybody's."""
    row = users.row_of(tx, user)
    if Identity.user(row.name) == tx.actor.identity:
        gate.in_person(tx)
    else:
        gate.need(tx, gate.permission(tx, "users"))
        tx.audit("access.read", details={"question": "logins", "target": f"user:{row.name}"})
    further = tx.conn.execute(select(_l).where(_l.c.user_id == row.id).order_by(_l.c.id)).all()
    configured = {one.name for one in tx.settings.providers}
    rows = [(None, row.provider, row.subject, "registration", _open(tx, row))]
    rows += [(one.id, one.provider, one.subject, "further", one.provider in configured) for one in further]
    return table(("login", "provider", "subject", "kind", "works"), rows)


def linked(tx: Read, user: str) -> tuple[str, ...]:
    """Return the providers of a user's further logins."""
    query = select(_l.c.provider).join(_u, _u.c.id == _l.c.user_id).where(_u.c.name == user)
    return tuple(sorted(set(tx.conn.execute(query).scalars())))


def _check(tx: Read, user: str, provider: str, subject: str) -> None:
    users.known_provider(tx, provider)
    if users.kind_of(tx, provider) == users.LOCAL:
        raise BadInput("a local account is a user of its own", remedy="link a login of another provider")
    if not subject or len(subject) > logins.MAX_SUBJECT:
        raise BadInput("the subject is empty or too long")
    owner = sign_ins.user_of(tx, provider, subject)
    if owner is not None:
        raise Conflict(
            f"`{user}` signs in with this already" if owner == user else "this login belongs to somebody else"
        )


def _put(tx: Write, row: Any, provider: str, subject: str, more: Mapping[str, str]) -> None:
    tx.conn.execute(insert(_l).values(user_id=row.id, provider=provider, subject=subject))
    wrote = recorded.rows(recorded.put(_l, row.name, {}, provider, subject))
    tx.change("login", {"user": row.name, "did": "link", "provider": provider, **wrote}, [])
    tx.audit("login.linked", details={"user": row.name, "provider": provider, "subject": show(subject), **more})


def _take(tx: Write, row: Any, which: Any, details: Mapping[str, Any]) -> None:
    taken = tx.conn.execute(select(_l.c.provider, _l.c.subject).where(_l.c.user_id == row.id, which)).all()
    tx.conn.execute(delete(_l).where(_l.c.user_id == row.id, which))
    # By which of its logins a browser signed in is not known here, so a fresh sign-in is asked of all of them.
    sign_ins.forget(tx, row.name)
    wrote = recorded.rows(*(recorded.gone(_l, row.name, one.provider, one.subject) for one in taken))
    payload = {"user": row.name, "did": "unlink", "provider": details["provider"], **wrote}
    tx.change("login", payload, [f"user:{row.name}"])
    tx.audit("login.unlinked", details={"user": row.name, **details})


def _ways_in(tx: Read, row: Any, without: int) -> bool:
    if _open(tx, row):
        return True
    providers = [one.name for one in tx.settings.providers]
    others = select(_l.c.id).where(_l.c.user_id == row.id, _l.c.id != without, _l.c.provider.in_(providers))
    return tx.conn.execute(others).first() is not None


def _open(tx: Read, row: Any) -> bool:
    """Whether the login of the registration can work: its provider is there, a local account has its password."""
    kind = users.kind_of(tx, row.provider)
    if kind != users.LOCAL:
        return kind is not None
    return tx.conn.execute(select(_p.c.user_id).where(_p.c.user_id == row.id)).first() is not None


def _check_last(tx: Write, user: str, last: bool) -> None:
    for role, scope in holders.places_of(tx, [Identity.user(user)]):
        if holders.holders(tx, role, scope) == {user}:
            raise LastHolder(
                f"nobody could sign in as `{user}`, the last {role} of {'the system' if scope == 'system' else scope}",
                remedy=f"grant {role} to somebody else first, or link another login",
            )
    if not last:
        raise Conflict(
            f"this is the last way in of `{user}`", remedy="say that this is meant: `last`, on the command line --last"
        )

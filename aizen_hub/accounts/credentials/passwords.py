"""Passwords of local accounts: argon2id, and the same time for unknown names (R123, T-35)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerifyMismatchError
from sqlalchemy import delete, insert, select, update

from aizen_hub.accounts.credentials import login_throttle as throttle
from aizen_hub.accounts.credentials import recent_logins as sign_ins
from aizen_hub.accounts.names import names
from aizen_hub.problems import BadInput
from aizen_hub.store import tables
from aizen_hub.store.audit_log import change_records as recorded
from aizen_hub.validation.printable import show

if TYPE_CHECKING:
    from aizen_hub.store.transaction import Write

MIN_CHARACTERS = 12
MAX_BYTES = 1_024

_HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
"""argon2id with the parameters of the OWASP password storage cheat sheet: 19 MiB, two passes, one lane."""

_NOBODY = "$argon2id$v=19$m=19456,t=2,p=1$0VddE0LX+MC7u5KP6ThGBA$8uM83auz9VsTxGjUV0zLqxQTDOlTDDT7axeDgyglu7E"
"""A hash with the same parameters, of what no password can be."""

_EASY = "the password is too easy to guess: it repeats few characters, or holds the name"
_p = tables.passwords


@dataclass(frozen=True, slots=True)
class NewPassword:
    """A password that is to be stored, with its hash: made where no transaction waits for it.

    Attributes
    ----------
    text : str
        Judged against the name of the account when it is stored.
    hash : str
        argon2id; empty for a text that no account may have.
    """

    text: str = field(repr=False)
    hash: str = field(repr=False)

    @classmethod
    def of(cls, text: str) -> NewPassword:
        """Hash a password; takes tens of milliseconds, and refuses nothing."""
        return cls(text, "" if _fault(text) else _HASHER.hash(text))


@dataclass(frozen=True, slots=True)
class Attempt:
    """A login attempt between its two transactions, so that the slow hash is computed outside of both.

    Attributes
    ----------
    user : str or None
        The canonical name, None if there is no such active local account; the hash is then one that nothing matches.
    retry_after : int or None
        Seconds to wait; the password must not be checked.
    """

    provider: str
    name: str
    user: str | None
    stored: str
    source: str | None
    retry_after: int | None = None

    def verify(self, password: str) -> bool:
        """Compare, in the same time whether or not the account exists. Needs no transaction."""
        if self.retry_after is not None or len(password.encode("utf-8", "replace")) > MAX_BYTES:
            return False
        try:
            _HASHER.verify(self.stored, password)
        except (VerifyMismatchError, InvalidHashError):
            return False
        return self.user is not None


@dataclass(frozen=True, slots=True)
class PasswordAnswer:
    """The answer to a password check.

    Attributes
    ----------
    outcome : {"verified", "refused", "throttled"}
    subject : str or None
        Of the local account, for a login report; only where verified.
    retry_after : int or None
        Seconds until the next attempt counts; only where throttled.
    """

    outcome: str
    subject: str | None
    name: str
    retry_after: int | None = None

    def to_json(self) -> dict[str, str | int | None]:
        return {
            "outcome": self.outcome,
            "subject": self.subject,
            "name": self.name,
            "retry_after": self.retry_after,
        }


def begin(tx: Write, provider: str, name: str, source: str | None = None) -> Attempt:
    """Find the account and count the attempt, see `throttle.enter`."""
    canonical = names.known_as(name)
    shown = canonical or show(name)
    wait = throttle.enter(tx, provider, name, source)
    if wait is not None:
        return Attempt(provider, shown, None, _NOBODY, source, wait)
    u = tables.users
    row = None
    if canonical is not None:
        row = tx.conn.execute(
            select(u.c.name, _p.c.hash)
            .join(_p, _p.c.user_id == u.c.id)
            .where(u.c.name == canonical, u.c.provider == provider, u.c.active)
        ).first()
    return Attempt(provider, shown, row.name if row else None, row.hash if row else _NOBODY, source)


def finish(tx: Write, attempt: Attempt, matched: bool) -> PasswordAnswer:
    """Record the outcome of an attempt; a success clears the count of failures of its name."""
    if attempt.retry_after is not None:
        return PasswordAnswer("throttled", None, attempt.name, attempt.retry_after)
    if matched and attempt.user is not None:
        throttle.forgive(tx, attempt.provider, attempt.name, attempt.source)
        u = tables.users
        subject = tx.conn.execute(select(u.c.subject).where(u.c.name == attempt.user)).scalar()
        return PasswordAnswer("verified", None if subject is None else str(subject), attempt.user)
    if attempt.user is not None:
        tx.audit("login.password-refused", details={"provider": attempt.provider, "user": attempt.user})
    return PasswordAnswer("refused", None, attempt.name)


def put(tx: Write, user: str, password: str | NewPassword) -> None:
    """Store the password of an account, which is active then; BadInput for one that cannot be used.

    For the functions of this room. A text is hashed here, while other changes wait: where there are any, a
    `NewPassword` is made before the transaction.
    """
    new = password if isinstance(password, NewPassword) else NewPassword.of(password)
    check(new.text, user)
    number = tx.conn.execute(select(tables.users.c.id).where(tables.users.c.name == user)).scalar_one()
    values = {"hash": new.hash, "changed": tx.now}
    # In place: a new password is no way round the second factor.
    if not tx.conn.execute(update(_p).where(_p.c.user_id == number).values(**values)).rowcount:
        tx.conn.execute(insert(_p).values(user_id=number, **values))
    tx.conn.execute(delete(tables.activations).where(tables.activations.c.user_id == number))
    sign_ins.forget(tx, user)
    tx.conn.execute(update(tables.users).where(tables.users.c.id == number).values(active=True))
    wrote = recorded.rows(
        recorded.put(_p, user, values),
        recorded.gone(tables.activations, user),
        recorded.altered(tables.users, user, {"active": True}),
    )
    tx.change("password", {"user": user, **wrote}, [f"user:{user}"])
    tx.audit("password.set", details={"user": user})


def check(password: str, user: str) -> None:
    """Refuse a password that is too short, too long, not text, or the name itself."""
    fault = _fault(password) or (_EASY if user in password.casefold() else None)
    if fault is not None:
        raise BadInput(fault)


def _fault(password: str) -> str | None:
    """Return why no account may have this password, or None."""
    if len(password) < MIN_CHARACTERS:
        return f"the password is too short: at least {MIN_CHARACTERS} characters"
    if len(password.encode("utf-8", "replace")) > MAX_BYTES:
        return f"the password is too long: at most {MAX_BYTES} bytes"
    if "\0" in password or any("\ud800" <= char <= "\udfff" for char in password):
        return "the password holds a character that cannot be used"
    return _EASY if len(set(password)) < 4 else None

"""Passwords of local accounts: argon2id, checked in the same time for unknown names (R123, T-35)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerifyMismatchError
from sqlalchemy import delete, insert, select, update

from aizen_hub.accounts.credentials import login_throttle, recent_logins
from aizen_hub.accounts.names import normalization
from aizen_hub.problems import BadInput
from aizen_hub.store import tables
from aizen_hub.store.audit_log import change_records
from aizen_hub.validation.printable import excerpt

if TYPE_CHECKING:
    from aizen_hub.store.transaction import WriteTransaction

MIN_CHARACTERS = 12
MAX_BYTES = 1_024

_HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
"""argon2id with the parameters of the OWASP password storage cheat sheet: 19 MiB, two passes, one lane."""

_DUMMY_HASH = "$argon2id$v=19$m=19456,t=2,p=1$0VddE0LX+MC7u5KP6ThGBA$8uM83auz9VsTxGjUV0zLqxQTDOlTDDT7axeDgyglu7E"
"""A hash with the same parameters, which no password matches."""

_TOO_EASY = "the password is too easy to guess: it repeats few characters or contains the name"
_p = tables.passwords


@dataclass(frozen=True, slots=True)
class NewPassword:
    """A password to be stored, with its hash, created outside of any transaction.

    Attributes
    ----------
    text : str
        Checked against the name of the account when it is stored.
    hash : str
        argon2id; empty for a text that no account may have.
    """

    text: str = field(repr=False)
    hash: str = field(repr=False)

    @classmethod
    def from_text(cls, text: str) -> NewPassword:
        """Hash a password. Takes tens of milliseconds; never raises for an unacceptable password."""
        return cls(text, "" if _find_fault(text) else _HASHER.hash(text))


@dataclass(frozen=True, slots=True)
class PasswordAttempt:
    """A login attempt between its two transactions; the slow hash is computed outside of both.

    Attributes
    ----------
    user : str or None
        The canonical name; None if there is no such active local account, and ``stored`` is then a hash that
        nothing matches.
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
        """Compare the password, in the same time whether or not the account exists. Needs no transaction."""
        if self.retry_after is not None or len(password.encode("utf-8", "replace")) > MAX_BYTES:
            return False
        try:
            _HASHER.verify(self.stored, password)
        except (VerifyMismatchError, InvalidHashError):
            return False
        return self.user is not None


@dataclass(frozen=True, slots=True)
class PasswordResult:
    """Result of a password check.

    Attributes
    ----------
    outcome : {"verified", "refused", "throttled"}
    subject : str or None
        Of the local account, for a login report; only if verified.
    retry_after : int or None
        Seconds until the next attempt is accepted; only if throttled.
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


def start_check(tx: WriteTransaction, provider: str, name: str, source: str | None = None) -> PasswordAttempt:
    """Find the account and count the attempt, see `login_throttle.count_attempt`."""
    canonical = normalization.canonical_or_none(name)
    display_name = canonical or excerpt(name)
    wait = login_throttle.count_attempt(tx, provider, name, source)
    if wait is not None:
        return PasswordAttempt(provider, display_name, None, _DUMMY_HASH, source, wait)
    users = tables.users
    row = None
    if canonical is not None:
        row = tx.conn.execute(
            select(users.c.name, _p.c.hash)
            .join(_p, _p.c.user_id == users.c.id)
            .where(users.c.name == canonical, users.c.provider == provider, users.c.active)
        ).first()
    return PasswordAttempt(provider, display_name, row.name if row else None, row.hash if row else _DUMMY_HASH, source)


def finish_check(tx: WriteTransaction, attempt: PasswordAttempt, matched: bool) -> PasswordResult:
    """Record the outcome of an attempt; a success resets the failures of the name."""
    if attempt.retry_after is not None:
        return PasswordResult("throttled", None, attempt.name, attempt.retry_after)
    if matched and attempt.user is not None:
        login_throttle.reset_failures(tx, attempt.provider, attempt.name, attempt.source)
        users = tables.users
        subject = tx.conn.execute(select(users.c.subject).where(users.c.name == attempt.user)).scalar()
        return PasswordResult("verified", None if subject is None else str(subject), attempt.user)
    if attempt.user is not None:
        tx.audit("login.password-refused", details={"provider": attempt.provider, "user": attempt.user})
    return PasswordResult("refused", None, attempt.name)


def set_password(tx: WriteTransaction, user: str, password: str | NewPassword) -> None:
    """Store the password of an account and activate the account, without an authorization check.

    A text is hashed here, while other changes wait for the write lock; create a `NewPassword` before the transaction
    where that matters.

    Raises
    ------
    BadInput
        The password is not acceptable.
    """
    new_password = password if isinstance(password, NewPassword) else NewPassword.from_text(password)
    check_password_rules(new_password.text, user)
    user_id = tx.conn.execute(select(tables.users.c.id).where(tables.users.c.name == user)).scalar_one()
    values = {"hash": new_password.hash, "changed": tx.now}
    # Updated in place, so that a new password does not bypass the second factor.
    if not tx.conn.execute(update(_p).where(_p.c.user_id == user_id).values(**values)).rowcount:
        tx.conn.execute(insert(_p).values(user_id=user_id, **values))
    tx.conn.execute(delete(tables.activations).where(tables.activations.c.user_id == user_id))
    recent_logins.forget_logins(tx, user)
    recent_logins.sign_out_user(tx, user)
    tx.conn.execute(update(tables.users).where(tables.users.c.id == user_id).values(active=True))
    wrote = change_records.change_payload(
        change_records.row_written(_p, user, values),
        change_records.row_deleted(tables.activations, user),
        change_records.row_updated(tables.users, user, {"active": True}),
    )
    tx.record_change("password", {"user": user, **wrote}, [f"user:{user}"])
    tx.audit("password.set", details={"user": user})


def check_password_rules(password: str, user: str) -> None:
    """Raise BadInput for a password that is too short, too long, not valid text, or contains the name."""
    fault = _find_fault(password) or (_TOO_EASY if user in password.casefold() else None)
    if fault is not None:
        raise BadInput(fault)


def _find_fault(password: str) -> str | None:
    """Return why no account may have this password, or None."""
    if len(password) < MIN_CHARACTERS:
        return f"the password is too short: at least {MIN_CHARACTERS} characters"
    if len(password.encode("utf-8", "replace")) > MAX_BYTES:
        return f"the password is too long: at most {MAX_BYTES} bytes"
    if "\0" in password or any("\ud800" <= char <= "\udfff" for char in password):
        return "the password contains a character that is not allowed"
    return _TOO_EASY if len(set(password)) < 4 else None

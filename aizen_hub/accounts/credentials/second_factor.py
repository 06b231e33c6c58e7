"""One-time codes as a second factor of local accounts (RFC 6238), each accepted once."""

from __future__ import annotations

import base64
import logging
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyotp
from sqlalchemy import select, update

from aizen_hub.accounts import identities, pending_changes
from aizen_hub.accounts.credentials import recent_logins, recovery_codes
from aizen_hub.accounts.names import normalization
from aizen_hub.authorization import checks
from aizen_hub.commands.result import Result, message_result
from aizen_hub.problems import BadInput, Conflict, Denied, NotFound
from aizen_hub.rbac.identity import Identity
from aizen_hub.store import tables
from aizen_hub.store.audit_log import change_records
from aizen_hub.tokens.opaque_token import constant_time_equals

if TYPE_CHECKING:
    from aizen_hub.store.transaction import ReadTransaction, WriteTransaction
    from aizen_hub.tokens.key_encryption import KeyEncryption

log = logging.getLogger(__name__)

STEP_SECONDS = 30
_STEPS_EARLIER, _STEPS_LATER = 1, 1
_CODE = re.compile(r"[0-9]{6}")
_p = tables.passwords


@dataclass(frozen=True, slots=True)
class TotpEnrolment:
    """A secret for an authenticator app; nothing is stored until the user confirms it with a code.

    Attributes
    ----------
    secret : str
        Base32, to type in.
    uri : str
        ``otpauth:`` URI for apps that read it.
    encrypted_secret : str
        The secret, encrypted for this user, sent back with the first code.
    """

    secret: str
    uri: str
    encrypted_secret: str


def begin_enrolment(user: str, encryption: KeyEncryption) -> TotpEnrolment:
    """Create a secret for a user."""
    secret = pyotp.random_base32()
    encrypted_secret = base64.urlsafe_b64encode(encryption.encrypt(secret.encode(), _offer_context(user))).decode()
    return TotpEnrolment(secret, pyotp.TOTP(secret).provisioning_uri(name=user, issuer_name="Aizen"), encrypted_secret)


def enable_second_factor(tx: WriteTransaction, encryption: KeyEncryption, encrypted_secret: str, code: str) -> Result:
    """Require codes of this secret at every later login of the actor; ``data["codes"]`` are the recovery codes.

    Raises
    ------
    Denied
        There is no recent login, or the code is wrong.
    Conflict
        Not a local account, or it already has a second factor.
    BadInput
        ``encrypted_secret`` does not come from `begin_enrolment` for this user.
    """
    row = _get_own_row(tx)
    pending_changes.require_recent_login(tx)
    if row.totp_secret is not None:
        raise Conflict("your account already has a second factor", remedy="disable it first")
    try:
        secret = encryption.decrypt(
            base64.urlsafe_b64decode(encrypted_secret.encode()), _offer_context(row.name)
        ).decode()
    except ValueError:
        raise BadInput("this page belongs to another login or has expired", remedy="start again") from None
    step = _matching_step(secret, code, tx.now.timestamp(), None)
    if step is None:
        raise Denied("the code is wrong", remedy="check the clock of the device, and enter the current code")
    stored_secret = encryption.encrypt(secret.encode(), _stored_context(row.id))
    codes = recovery_codes.make_codes()
    values = {"totp_secret": stored_secret, "recovery_codes": recovery_codes.hash_codes(encryption, row.id, codes)}
    tx.conn.execute(update(_p).where(_p.c.user_id == row.id).values(totp_step=step, **values))
    recent_logins.sign_out_user(tx, row.name)
    wrote = change_records.change_payload(change_records.row_updated(_p, row.name, values))
    tx.record_change("second-factor", {"user": row.name, "did": "enable", **wrote}, [])
    tx.audit("second-factor.enabled", details={"user": row.name})
    return message_result("a code is now required at every login", codes=list(codes))


def renew_recovery_codes(tx: WriteTransaction, encryption: KeyEncryption) -> Result:
    """Replace the actor's recovery codes, as ``data["codes"]``; the former ones end.

    Raises
    ------
    Denied
        There is no recent login.
    Conflict
        The actor has no second factor.
    """
    row = _get_own_row(tx)
    pending_changes.require_recent_login(tx)
    if row.totp_secret is None:
        raise Conflict("your account has no second factor", remedy="set it up first")
    codes = recovery_codes.make_codes()
    recovery_codes.store_codes(tx, row.id, row.name, recovery_codes.hash_codes(encryption, row.id, codes))
    tx.audit("recovery-codes.renewed", details={"user": row.name})
    return message_result("new recovery codes replace the former ones", codes=list(codes))


def count_recovery_codes(tx: ReadTransaction, user: str) -> int:
    """Return how many recovery codes a user has left."""
    users = tables.users
    query = select(_p.c.recovery_codes).join(users, users.c.id == _p.c.user_id).where(users.c.name == user)
    return recovery_codes.count_codes(tx.conn.execute(query).scalar())


def disable_second_factor(tx: WriteTransaction, name: str) -> Result:
    """Stop requiring codes, for the actor's own account, or as administrator for a user who lost the device."""
    is_own = str(tx.actor.identity) == f"user:{normalization.canonical_or_none(name)}"
    if not is_own:
        # Before the user is looked up: who exists is told to those who manage users (R72).
        checks.require(tx, checks.endpoint_permission(tx, "users"))
    row = _get_row(tx, name)
    if is_own:
        checks.forbid_impersonation(tx)
        pending_changes.require_recent_login(tx)
    else:
        checks.require_control_of(tx, Identity.user(row.name), "disable a second factor")
        pending_changes.requires_confirmation(tx, always=True)
    if row.totp_secret is None:
        raise Conflict(f"`{row.name}` has no second factor")
    values: dict[str, Any] = {"totp_secret": None, "recovery_codes": None}
    tx.conn.execute(update(_p).where(_p.c.user_id == row.id).values(totp_step=None, **values))
    recent_logins.sign_out_user(tx, row.name)
    wrote = change_records.change_payload(change_records.row_updated(_p, row.name, values))
    tx.record_change("second-factor", {"user": row.name, "did": "disable", **wrote}, [])
    tx.audit("second-factor.disabled", details={"user": row.name})
    return message_result(f"codes are no longer required from `{row.name}`")


def has_second_factor(tx: ReadTransaction, user: str) -> bool:
    """Return whether a local account needs codes."""
    users = tables.users
    query = select(_p.c.totp_secret).join(users, users.c.id == _p.c.user_id).where(users.c.name == user)
    return tx.conn.execute(query).scalar() is not None


def check_code(tx: WriteTransaction, encryption: KeyEncryption | None, user: str, code: str | None) -> bool:
    """Return whether a login has the code that it needs, or needs none; a code, of either kind, can be used once.

    Without the key that encrypts the secret, no user with a second factor can sign in: also after that key was lost.
    """
    users = tables.users
    row = tx.conn.execute(
        select(_p.c.user_id, _p.c.totp_secret, _p.c.totp_step, _p.c.recovery_codes)
        .join(users, users.c.id == _p.c.user_id)
        .where(users.c.name == user)
    ).first()
    if row is None or row.totp_secret is None:
        return True
    if encryption is None or code is None:
        return False
    try:
        secret = encryption.decrypt(row.totp_secret, _stored_context(row.user_id)).decode()
    except ValueError:
        log.warning("the second factor of `%s` cannot be checked: its key was lost; it has to be disabled", user)
        return False
    step = _matching_step(secret, code, tx.now.timestamp(), row.totp_step)
    if step is None:
        return recovery_codes.use_code(tx, encryption, row.user_id, user, row.recovery_codes, code)
    tx.conn.execute(update(_p).where(_p.c.user_id == row.user_id).values(totp_step=step))
    return True


def _matching_step(secret: str, code: str, now: float, last_step: int | None) -> int | None:
    # Returns the time step of the code: this one and all earlier ones count as used.
    code = code.replace(" ", "")
    if not _CODE.fullmatch(code):
        return None
    generator, current_step = pyotp.TOTP(secret, interval=STEP_SECONDS), int(now) // STEP_SECONDS
    match = None
    for step in range(current_step - _STEPS_EARLIER, current_step + _STEPS_LATER + 1):
        if constant_time_equals(code, generator.generate_otp(step)) and (last_step is None or step > last_step):
            match = step
    return match


def _get_own_row(tx: WriteTransaction) -> Any:
    checks.forbid_impersonation(tx)
    return _get_row(tx, tx.actor.identity.name)


def _get_row(tx: ReadTransaction, name: str) -> Any:
    user = identities.get_user(tx, name)
    users = tables.users
    query = (
        select(users.c.id, users.c.name, _p.c.totp_secret)
        .join(_p, _p.c.user_id == users.c.id)
        .where(users.c.id == user.id)
    )
    row = tx.conn.execute(query).first()
    if row is None:
        raise NotFound(f"`{user.name}` has no local password, and so no second factor")
    return row


def _offer_context(user: str) -> str:
    return f"second-factor-offer:{user}"


def _stored_context(user_id: int) -> str:
    return f"second-factor:{user_id}"

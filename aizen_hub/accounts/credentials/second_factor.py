"""One-time codes as a second factor of local accounts (RFC 6238), each good once."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyotp
from sqlalchemy import select, update

from aizen_hub.accounts import pending_changes as pending
from aizen_hub.accounts.users import users
from aizen_hub.authorization import checks as gate
from aizen_hub.commands.result import Result, message
from aizen_hub.problems import BadInput, Conflict, Denied, NotFound
from aizen_hub.rbac.identity import Identity
from aizen_hub.store import tables
from aizen_hub.store.audit_log import change_records as recorded
from aizen_hub.tokens.opaque_token import same

if TYPE_CHECKING:
    from aizen_hub.store.transaction import Read, Write
    from aizen_hub.tokens.key_encryption import KeyEncryption

STEP = 30
_EARLIER, _LATER = 1, 1
_CODE = re.compile(r"[0-9]{6}")
_p = tables.passwords


@dataclass(frozen=True, slots=True)
class Enrolment:
    """A secret that a person puts into an app; nothing is stored until a code shows that this was done.

    Attributes
    ----------
    secret : str
        Base32, to type in.
    address : str
        ``otpauth:`` for apps that read it.
    sealed : str
        The secret, encrypted for this person, which comes back with the first code.
    """

    secret: str
    address: str
    sealed: str


def begin(user: str, encryption: KeyEncryption) -> Enrolment:
    """Make a secret for somebody."""
    secret = pyotp.random_base32()
    sealed = base64.urlsafe_b64encode(encryption.seal(secret.encode(), _offer(user))).decode()
    return Enrolment(secret, pyotp.TOTP(secret).provisioning_uri(name=user, issuer_name="Aizen"), sealed)


def enable(tx: Write, encryption: KeyEncryption, sealed: str, code: str) -> Result:
    """Ask for codes of this secret at every later sign-in of the actor.

    Raises
    ------
    Denied
        No fresh sign-in, or the code is wrong.
    Conflict
        Not a local account, or it has a second factor already.
    BadInput
        What came back is not what `begin` gave to this person.
    """
    row = _own(tx)
    pending.need_fresh(tx)
    if row.totp_secret is not None:
        raise Conflict("your account has a second factor already", remedy="switch it off first")
    try:
        secret = encryption.open(base64.urlsafe_b64decode(sealed.encode()), _offer(row.name)).decode()
    except ValueError:
        raise BadInput("this page is of another sign-in or too old", remedy="begin again") from None
    step = _matching(secret, code, tx.now.timestamp(), None)
    if step is None:
        raise Denied("the code is not the one that this secret gives now", remedy="check the clock of the device")
    stored = encryption.seal(secret.encode(), _stored(row.id))
    tx.conn.execute(update(_p).where(_p.c.user_id == row.id).values(totp_secret=stored, totp_step=step))
    wrote = recorded.rows(recorded.altered(_p, row.name, {"totp_secret": stored}))
    tx.change("second-factor", {"user": row.name, "did": "enable", **wrote}, [])
    tx.audit("second-factor.enabled", details={"user": row.name})
    return message("every sign-in now asks for a code too")


def disable(tx: Write, name: str) -> Result:
    """Ask for no codes any more: one's own, or as administrator of somebody who lost it."""
    row = _row(tx, name)
    if Identity.user(row.name) == tx.actor.identity:
        gate.in_person(tx)
        pending.need_fresh(tx)
    else:
        gate.need(tx, gate.permission(tx, "users"))
        gate.need_control(tx, Identity.user(row.name), "switch off a second factor")
        pending.needed(tx, always=True)
    if row.totp_secret is None:
        raise Conflict(f"`{row.name}` has no second factor")
    tx.conn.execute(update(_p).where(_p.c.user_id == row.id).values(totp_secret=None, totp_step=None))
    wrote = recorded.rows(recorded.altered(_p, row.name, {"totp_secret": None}))
    tx.change("second-factor", {"user": row.name, "did": "disable", **wrote}, [])
    tx.audit("second-factor.disabled", details={"user": row.name})
    return message(f"no codes are asked of `{row.name}` any more")


def is_on(tx: Read, user: str) -> bool:
    """Whether codes are asked of a local account."""
    u = tables.users
    query = select(_p.c.totp_secret).join(u, u.c.id == _p.c.user_id).where(u.c.name == user)
    return tx.conn.execute(query).scalar() is not None


def passes(tx: Write, encryption: KeyEncryption | None, user: str, code: str | None) -> bool:
    """Whether a sign-in has the code that it needs, or needs none; a code is used up by this.

    Without the key that the secret is encrypted with, nobody with a second factor gets in.
    """
    u = tables.users
    row = tx.conn.execute(
        select(_p.c.user_id, _p.c.totp_secret, _p.c.totp_step).join(u, u.c.id == _p.c.user_id).where(u.c.name == user)
    ).first()
    if row is None or row.totp_secret is None:
        return True
    if encryption is None or code is None:
        return False
    secret = encryption.open(row.totp_secret, _stored(row.user_id)).decode()
    step = _matching(secret, code, tx.now.timestamp(), row.totp_step)
    if step is None:
        return False
    tx.conn.execute(update(_p).where(_p.c.user_id == row.user_id).values(totp_step=step))
    return True


def _matching(secret: str, code: str, now: float, last: int | None) -> int | None:
    # The step of a code, so that this one and all before it are used up.
    code = code.replace(" ", "")
    if not _CODE.fullmatch(code):
        return None
    generator, present = pyotp.TOTP(secret, interval=STEP), int(now) // STEP
    found = None
    for step in range(present - _EARLIER, present + _LATER + 1):
        if same(code, generator.generate_otp(step)) and (last is None or step > last):
            found = step
    return found


def _own(tx: Write) -> Any:
    gate.in_person(tx)
    return _row(tx, tx.actor.identity.name)


def _row(tx: Read, name: str) -> Any:
    user = users.row_of(tx, name)
    u = tables.users
    query = select(u.c.id, u.c.name, _p.c.totp_secret).join(_p, _p.c.user_id == u.c.id).where(u.c.id == user.id)
    row = tx.conn.execute(query).first()
    if row is None:
        raise NotFound(f"`{user.name}` has no password here, so no second factor either")
    return row


def _offer(user: str) -> str:
    return f"second-factor-offer:{user}"


def _stored(number: int) -> str:
    return f"second-factor:{number}"

"""New keys after the loss of the key-encryption key: what the old ones signed ends, and the audit stays verifiable."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import select, update

from aizen_hub.accounts.credentials import recent_logins
from aizen_hub.store import tables
from aizen_hub.store.audit_log import change_records
from aizen_hub.tokens.keys import KeyState

if TYPE_CHECKING:
    from aizen_hub.store.keystore import KeyStore
    from aizen_hub.store.transaction import ReadTransaction, WriteTransaction

_REASON = "the key-encryption key was lost"
_p, _u = tables.passwords, tables.users


@dataclass(frozen=True, slots=True)
class RecoveredKeys:
    """What a recovery ended: numbers of keys, and the users whose second factor cannot be checked any more."""

    keys: int
    second_factors: tuple[str, ...]


def recover_keys(
    tx: WriteTransaction, keystore: KeyStore, reason: str, *, remove_second_factors: bool = False
) -> RecoveredKeys:
    """Withdraw all keys, whose private halves cannot be decrypted any more, and create new ones.

    A withdrawn key verifies no token, and keeps its public half: checkpoints and archives that it signed stay
    verifiable. Servers get new role tokens by themselves, since a session does not depend on the keys. Secrets of
    second factors are lost with the key.

    Parameters
    ----------
    keystore : KeyStore
        With the new key-encryption key.
    remove_second_factors : bool
        Whether the users with a second factor sign in by password alone until they set up another one. Otherwise they
        cannot sign in until an administrator disables it.
    """
    k = tables.keys.c
    lost = tx.conn.scalars(select(k.kid).where(k.state != KeyState.WITHDRAWN.value).order_by(k.created, k.kid)).all()
    keystore.withdraw(tx, lost, _REASON)
    keystore.create_missing(tx)
    users = users_with_second_factor(tx)
    if remove_second_factors:
        for user in users:
            _remove_second_factor(tx, user)
    details = {"withdrawn": list(lost), "second_factors": list(users), "removed": remove_second_factors}
    tx.audit("keys.recovered", reason=reason or None, details=details)
    return RecoveredKeys(len(lost), users)


def users_with_second_factor(tx: ReadTransaction) -> tuple[str, ...]:
    """Return the users whose logins need a code, by name."""
    query = select(_u.c.name).join(_p, _p.c.user_id == _u.c.id).where(_p.c.totp_secret.is_not(None))
    return tuple(tx.conn.scalars(query.order_by(_u.c.name)))


def _remove_second_factor(tx: WriteTransaction, user: str) -> None:
    user_id = select(_u.c.id).where(_u.c.name == user).scalar_subquery()
    values: dict[str, None] = {"totp_secret": None, "recovery_codes": None}
    tx.conn.execute(update(_p).where(_p.c.user_id == user_id).values(totp_step=None, **values))
    recent_logins.sign_out_user(tx, user)
    wrote = change_records.change_payload(change_records.row_updated(_p, user, values))
    tx.record_change("second-factor", {"user": user, "did": "disable", **wrote}, [])
    tx.audit("second-factor.disabled", reason=_REASON, details={"user": user})

"""Recovery codes: each replaces the code of a lost authenticator app at one sign-in. Only keyed hashes are stored."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

from sqlalchemy import update

from aizen_hub.store import tables
from aizen_hub.store.audit_log import change_records
from aizen_hub.tokens.opaque_token import constant_time_equals

if TYPE_CHECKING:
    from aizen_hub.store.transaction import WriteTransaction
    from aizen_hub.tokens.key_encryption import KeyEncryption

NUMBER = 10
_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"
"""Without letters and digits that look alike."""
_GROUPS, _GROUP_LENGTH = 3, 4
_CODE = re.compile(rf"[{_ALPHABET}]{{{_GROUPS * _GROUP_LENGTH}}}")
_PURPOSE = "recovery codes"
_p = tables.passwords


def make_codes() -> tuple[str, ...]:
    """Return new codes of 59 random bits each, such as ``7f3k-92qd-m4xa``."""
    return tuple(
        "-".join("".join(secrets.choice(_ALPHABET) for _ in range(_GROUP_LENGTH)) for _ in range(_GROUPS))
        for _ in range(NUMBER)
    )


def hash_codes(encryption: KeyEncryption, user_id: int, codes: Iterable[str]) -> str:
    """Return what is stored of the codes of a user."""
    return " ".join(_hash(encryption, user_id, _normalize(code)) for code in codes)


def count_codes(stored: str | None) -> int:
    """Return how many codes are left."""
    return len((stored or "").split())


def store_codes(tx: WriteTransaction, user_id: int, name: str, stored: str | None) -> None:
    """Write the hashes of a user, without an authorization check, and record the change."""
    tx.conn.execute(update(_p).where(_p.c.user_id == user_id).values(recovery_codes=stored))
    wrote = change_records.change_payload(change_records.row_updated(_p, name, {"recovery_codes": stored}))
    tx.record_change("second-factor", {"user": name, "did": "recovery-codes", **wrote}, [])


def use_code(
    tx: WriteTransaction, encryption: KeyEncryption, user_id: int, name: str, stored: str | None, code: str
) -> bool:
    """Return whether this is one of the codes; it is removed, so that it works once."""
    text = _normalize(code)
    if not _CODE.fullmatch(text) or not stored:
        return False
    hashes, presented = stored.split(), _hash(encryption, user_id, text)
    left = [known for known in hashes if not constant_time_equals(known, presented)]
    if len(left) == len(hashes):
        return False
    store_codes(tx, user_id, name, _join(left))
    tx.audit("recovery-code.used", details={"user": name, "left": len(left)})
    return True


def _join(hashes: Collection[str]) -> str | None:
    return " ".join(hashes) or None


def _normalize(code: str) -> str:
    return code.strip().lower().replace("-", "").replace(" ", "")


def _hash(encryption: KeyEncryption, user_id: int, code: str) -> str:
    return hmac.new(encryption.derive(_PURPOSE), f"{user_id}:{code}".encode(), hashlib.sha256).hexdigest()

"""Replay protection for sign-ins of browsers: each is completed once over all replicas."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import delete, insert, select

from aizen_hub.store import tables
from aizen_hub.tokens.opaque_token import hash_credential

if TYPE_CHECKING:
    from aizen_hub.store.transaction import WriteTransaction

_s = tables.used_sign_ins


def mark_sign_in_used(tx: WriteTransaction, nonce: str, expires: datetime) -> bool:
    """Record a sign-in as completed; return False if it was completed before.

    Parameters
    ----------
    nonce : str
        Of a user whom the hub has signed in: others cannot fill the table (R127).
    expires : datetime
        From when on the state is not accepted any more.
    """
    nonce_hash = hash_credential(nonce)
    # Writers hold the write lock, so no other writer can come between the check and the insert.
    if tx.conn.execute(select(_s.c.nonce_hash).where(_s.c.nonce_hash == nonce_hash)).first() is not None:
        return False
    tx.conn.execute(insert(_s).values(nonce_hash=nonce_hash, expires=expires))
    return True


def prune_sign_ins(tx: WriteTransaction) -> None:
    """Delete sign-ins whose state has expired."""
    tx.conn.execute(delete(_s).where(_s.c.expires < tx.now))

"""Proofs of possession that were used: each counts once, at whichever replica it comes first (RFC 9449, 11.1)."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import delete, insert, select

from aizen_hub.store import tables
from aizen_hub.tokens.opaque_token import hash_credential

if TYPE_CHECKING:
    from aizen_hub.store.transaction import Write

_p = tables.proofs


def spend(tx: Write, key: str, number: str, expires: datetime) -> bool:
    """Use a proof up; False if it was before.

    Parameters
    ----------
    key, number : str
        Thumbprint of its key, and its ``jti``: of a good proof only, so that nobody fills the table for others (R127).
    expires : datetime
        From when on nobody takes it any more.
    """
    name = hash_credential(f"{key} {number}")  # a thumbprint holds no blank, so no two proofs share a name
    # Writers wait for each other: between the look and the row nobody else can come.
    if tx.conn.execute(select(_p.c.name).where(_p.c.name == name)).first() is not None:
        return False
    tx.conn.execute(insert(_p).values(name=name, expires=expires))
    return True


def forget_old(tx: Write) -> None:
    """Drop those that are too old to be used again."""
    tx.conn.execute(delete(_p).where(_p.c.expires < tx.now))

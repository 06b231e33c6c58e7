"""Replay protection for DPoP proofs: each is accepted once over all replicas (RFC 9449, 11.1)."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import delete, insert, select

from aizen_hub.store import tables
from aizen_hub.tokens.opaque_token import hash_credential

if TYPE_CHECKING:
    from aizen_hub.store.transaction import WriteTransaction

_p = tables.used_dpop_proofs


def mark_proof_used(tx: WriteTransaction, key_thumbprint: str, proof_id: str, expires: datetime) -> bool:
    """Record a proof as used; return False if it was used before.

    Parameters
    ----------
    key_thumbprint, proof_id : str
        Thumbprint of its key, and its ``jti``; of a valid proof only, so that the table cannot be filled by others
        (R127).
    expires : datetime
        From when on the proof is not accepted any more.
    """
    proof_hash = hash_credential(
        f"{key_thumbprint} {proof_id}"
    )  # a thumbprint contains no blank, so no two proofs share a hash
    # Writers hold the write lock, so no other writer can come between the check and the insert.
    if tx.conn.execute(select(_p.c.proof_hash).where(_p.c.proof_hash == proof_hash)).first() is not None:
        return False
    tx.conn.execute(insert(_p).values(proof_hash=proof_hash, expires=expires))
    return True


def prune_proofs(tx: WriteTransaction) -> None:
    """Delete proofs that have expired."""
    tx.conn.execute(delete(_p).where(_p.c.expires < tx.now))

"""Guessing is slowed down, and nobody can be shut out by somebody else's guessing (R123, R124, T-35).

Three counts of failures in a row: for a name from one source, for a source, and for a name from everywhere. The first
grows quickly, the others much later. Where a name signed in from before, it waits for its own failures there and for
nothing else, so guessing from other places, or by others at the same place, does not keep its owner out.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from ipaddress import IPv4Address, IPv6Network, ip_address
from typing import TYPE_CHECKING

from sqlalchemy import delete, insert, select, update

from aizen_hub.accounts.names import names
from aizen_hub.store import tables

if TYPE_CHECKING:
    from aizen_hub.store.transaction import Read, Write

FREE_TRIES = 5
"""Failures of one name from one source before it waits."""

FREE_OF_SOURCE = 50
FREE_OF_NAME = 50
LONGEST_WAIT = timedelta(minutes=15)
FORGET_AFTER = timedelta(hours=1)
KNOWN_FOR = timedelta(days=30)

_t = tables.throttles


@dataclass(frozen=True, slots=True)
class _Count:
    subject: str
    free: int


def enter(tx: Write, provider: str, name: str, source: str | None) -> int | None:
    """Count an attempt as a failure before it is known to be one; return the seconds to wait where it must not be made.

    Counting first means that attempts in parallel do not all pass before the first failure is seen. An attempt that is
    turned away counts for nothing.
    """
    counts = _counts(provider, name, source)
    known = tx.conn.execute(select(_t.c.until).where(_t.c.subject == _known(provider, name, source))).scalar()
    asked = counts[:1] if known is not None and known > tx.now else counts
    wait = max(_wait(tx, one) for one in asked)
    if wait > timedelta():
        return max(1, round(wait.total_seconds()))
    for one in counts:
        _count(tx, one)
    return None


def void(tx: Write, provider: str, name: str, source: str | None) -> None:
    """Take back an attempt that nobody judged."""
    for one in _counts(provider, name, source):
        _take_one(tx, one)


def forgive(tx: Write, provider: str, name: str, source: str | None) -> None:
    """Take back what a success shows to be no guessing, and remember where it came from."""
    pair, of_source, total = _counts(provider, name, source)
    tx.conn.execute(delete(_t).where(_t.c.subject.in_([pair.subject, total.subject])))
    # One success among many failures of a source is no reason to forget the others.
    _take_one(tx, of_source)
    known = _known(provider, name, source)
    until = tx.now + KNOWN_FOR
    if not tx.conn.execute(update(_t).where(_t.c.subject == known).values(until=until)).rowcount:
        tx.conn.execute(insert(_t).values(subject=known, failures=0, until=until))


def forget_old(tx: Write) -> None:
    """Drop counts of failures that are over."""
    tx.conn.execute(delete(_t).where(_t.c.until < tx.now - FORGET_AFTER))


def _counts(provider: str, name: str, source: str | None) -> tuple[_Count, _Count, _Count]:
    who, where = _who(provider, name), place(source)
    return (
        _Count(_key("pair", *who, where), FREE_TRIES),
        _Count(_key("source", where), FREE_OF_SOURCE),
        _Count(_key("name", *who), FREE_OF_NAME),
    )


def _known(provider: str, name: str, source: str | None) -> str:
    return _key("known", *_who(provider, name), place(source))


def _who(provider: str, name: str) -> tuple[str, str, str]:
    # An unknown name is counted like a known one, and never as one.
    known = names.known_as(name)
    return ("unknown", provider, name) if known is None else ("user", provider, known)


def place(source: str | None) -> str:
    """Return what counts as one place: an IPv4 address, or the network that one IPv6 customer has to itself."""
    try:
        address = ip_address(source or "")
    except ValueError:
        return (source or "unknown")[:64]
    if isinstance(address, IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(IPv6Network((address.packed, 64), strict=False))


def _key(kind: str, *parts: str) -> str:
    # Hashed as a list: the parts come from outside, and no spelling of one may pass for two of them (R33).
    return f"{kind}:{sha256(json.dumps(parts).encode()).hexdigest()}"


def _wait(tx: Read, one: _Count) -> timedelta:
    row = tx.conn.execute(select(_t).where(_t.c.subject == one.subject)).first()
    if row is None or row.failures < one.free:
        return timedelta()
    until: datetime = row.until
    return max(timedelta(), until - tx.now)


def _take_one(tx: Write, one: _Count) -> None:
    where = (_t.c.subject == one.subject, _t.c.failures > 0)
    tx.conn.execute(update(_t).where(*where).values(failures=_t.c.failures - 1, until=tx.now))


def _count(tx: Write, one: _Count) -> None:
    row = tx.conn.execute(select(_t).where(_t.c.subject == one.subject)).first()
    failures = 1 if row is None or row.until < tx.now - FORGET_AFTER else row.failures + 1
    over = max(0, failures - one.free)
    wait = min(LONGEST_WAIT, timedelta(seconds=2 ** min(over, 12))) if failures >= one.free else timedelta()
    values = {"failures": failures, "until": tx.now + wait}
    if row is None:
        tx.conn.execute(insert(_t).values(subject=one.subject, **values))
    else:
        tx.conn.execute(update(_t).where(_t.c.subject == one.subject).values(**values))

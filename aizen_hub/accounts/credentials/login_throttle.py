"""Throttle for password guessing, which cannot be used to lock out the owner of an account (R123, R124, T-35).

There are three counters of consecutive failures: for a name from one source, for a source, and for a name from all
sources. The first grows quickly, the others much later. From a source where a name has signed in before, only its own
failures there count, so guessing from other sources, or by other users at the same source, does not lock the owner out.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from ipaddress import IPv4Address, IPv6Network, ip_address
from typing import TYPE_CHECKING

from sqlalchemy import delete, insert, select, update

from aizen_hub.accounts.names import normalization
from aizen_hub.store import tables

if TYPE_CHECKING:
    from aizen_hub.store.transaction import ReadTransaction, WriteTransaction

FREE_ATTEMPTS = 5
"""Failures of one name from one source before it has to wait."""

FREE_ATTEMPTS_PER_SOURCE = 50
FREE_ATTEMPTS_PER_NAME = 50
MAX_WAIT = timedelta(minutes=15)
FAILURE_LIFETIME = timedelta(hours=1)
KNOWN_SOURCE_LIFETIME = timedelta(days=30)

_t = tables.attempt_counters


@dataclass(frozen=True, slots=True)
class _Counter:
    subject: str
    free_attempts: int


def count_attempt(tx: WriteTransaction, provider: str, name: str, source: str | None) -> int | None:
    """Count an attempt as a failure in advance; return the seconds to wait if it must not be made, else None.

    Counting first means that attempts in parallel cannot all pass before the first failure is recorded. A throttled
    attempt is not counted.
    """
    counters = _counters_of(tx, provider, name, source)
    checked = _checked_counters(tx, counters, _known_source_key(provider, name, source))
    wait = max(_wait(tx, counter) for counter in checked)
    if wait > timedelta():
        return max(1, round(wait.total_seconds()))
    for counter in counters:
        _add_failure(tx, counter, keeps_wait=counter not in checked)
    return None


def undo_attempt(tx: WriteTransaction, provider: str, name: str, source: str | None) -> None:
    """Undo the count of an attempt that was never checked."""
    counters = _counters_of(tx, provider, name, source)
    checked = _checked_counters(tx, counters, _known_source_key(provider, name, source))
    for counter in counters:
        _subtract_failure(tx, counter, keeps_wait=counter not in checked)


def reset_failures(tx: WriteTransaction, provider: str, name: str, source: str | None) -> None:
    """Reset the failures of a name after a success, and remember the source."""
    counters = pair_counter, source_counter, name_counter = _counters_of(tx, provider, name, source)
    known_key = _known_source_key(provider, name, source)
    checked = _checked_counters(tx, counters, known_key)
    tx.conn.execute(delete(_t).where(_t.c.subject.in_([pair_counter.subject, name_counter.subject])))
    # One success among many failures of a source does not reset the others.
    _subtract_failure(tx, source_counter, keeps_wait=source_counter not in checked)
    until = tx.now + KNOWN_SOURCE_LIFETIME
    if not tx.conn.execute(update(_t).where(_t.c.subject == known_key).values(until=until)).rowcount:
        tx.conn.execute(insert(_t).values(subject=known_key, failures=0, until=until))


def prune_failures(tx: WriteTransaction) -> None:
    """Delete expired counters."""
    tx.conn.execute(delete(_t).where(_t.c.until < tx.now - FAILURE_LIFETIME))


def _counters_of(
    tx: WriteTransaction, provider: str, name: str, source: str | None
) -> tuple[_Counter, _Counter, _Counter]:
    account, network = _account_key(provider, name), network_of(source)
    return (
        _Counter(_key("pair", *account, network), FREE_ATTEMPTS),
        # A hub says from where an attempt came: it neither throttles nor excuses what is attempted at another hub.
        _Counter(_key("source", tx.actor.hub, network), FREE_ATTEMPTS_PER_SOURCE),
        _Counter(_key("name", *account), FREE_ATTEMPTS_PER_NAME),
    )


def _checked_counters(tx: ReadTransaction, counters: tuple[_Counter, ...], known_key: str) -> tuple[_Counter, ...]:
    """Return the counters whose wait holds for an attempt: where the name signed in before, only its own there.

    An attempt changes the wait of no other counter: it would prolong the wait of others at the same source, or end it,
    so that one's own account would open the way to guess at others.
    """
    known_until = tx.conn.execute(select(_t.c.until).where(_t.c.subject == known_key)).scalar()
    return counters[:1] if known_until is not None and known_until > tx.now else counters


def _known_source_key(provider: str, name: str, source: str | None) -> str:
    return _key("known", *_account_key(provider, name), network_of(source))


def _account_key(provider: str, name: str) -> tuple[str, str, str]:
    # An unknown name is counted like a known one, but under a separate key.
    canonical = normalization.canonical_or_none(name)
    return ("unknown", provider, name) if canonical is None else ("user", provider, canonical)


def network_of(source: str | None) -> str:
    """Return the network that counts as one source: an IPv4 address, or the /64 network of an IPv6 customer."""
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
    # Hashed as a list: the parts are untrusted, and no value of one may be read as two of them (R33).
    return f"{kind}:{sha256(json.dumps(parts).encode()).hexdigest()}"


def _wait(tx: ReadTransaction, counter: _Counter) -> timedelta:
    row = tx.conn.execute(select(_t).where(_t.c.subject == counter.subject)).first()
    if row is None or row.failures < counter.free_attempts:
        return timedelta()
    until: datetime = row.until
    return max(timedelta(), until - tx.now)


def _subtract_failure(tx: WriteTransaction, counter: _Counter, *, keeps_wait: bool) -> None:
    condition = (_t.c.subject == counter.subject, _t.c.failures > 0)
    values = {"failures": _t.c.failures - 1, **({} if keeps_wait else {"until": tx.now})}
    tx.conn.execute(update(_t).where(*condition).values(values))


def _add_failure(tx: WriteTransaction, counter: _Counter, *, keeps_wait: bool) -> None:
    row = tx.conn.execute(select(_t).where(_t.c.subject == counter.subject)).first()
    failures = 1 if row is None or row.until < tx.now - FAILURE_LIFETIME else row.failures + 1
    excess = max(0, failures - counter.free_attempts)
    wait = min(MAX_WAIT, timedelta(seconds=2 ** min(excess, 12))) if failures >= counter.free_attempts else timedelta()
    until = tx.now + wait
    if keeps_wait:
        until = tx.now if row is None else max(row.until, tx.now)
    values = {"failures": failures, "until": until}
    if row is None:
        tx.conn.execute(insert(_t).values(subject=counter.subject, **values))
    else:
        tx.conn.execute(update(_t).where(_t.c.subject == counter.subject).values(**values))

"""Checks of the signing keys, and of the database against the checkpoints that they signed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import select

from aizen_hub.diagnosis.check_result import CheckResult, in_settings
from aizen_hub.diagnosis.installation import Installation

if TYPE_CHECKING:
    from aizen_hub.store.sql_store import Store
    from aizen_hub.store.transaction import ReadTransaction

MAX_KEY_AGE = timedelta(days=90)
_MAX_SHOWN = 3


def check_keys(store: Store, installation: Installation) -> Iterator[CheckResult]:
    from aizen_hub.store.keystore import KeyStore
    from aizen_hub.tokens.keys import KeyState

    with store.read() as tx:
        has_keys = _has_keys(tx)
    if not has_keys:
        yield CheckResult.warning(
            "keys", in_settings("database"), "there are no keys yet", "the service creates them at its first start"
        )
        return
    # This creates no keys, since there are some.
    keys = KeyStore.open(installation.settings, store)
    with store.read() as tx:
        ring, now = keys.ring(tx), tx.now
    if ring.is_sealed:
        fault = keys.file_fault
        yield CheckResult.error(
            "sealed" if fault is None else fault.code,
            in_settings("key_encryption_file"),
            f"the service is sealed: {ring.sealed_reason or 'a key is missing'}",
            ring.remedy,
        )
        return
    old_purposes = sorted(
        key.purpose.value
        for key in ring.keys
        if key.state is KeyState.SIGNING and now - key.state_changed_at > MAX_KEY_AGE
    )
    if old_purposes:
        yield CheckResult.warning(
            "old-keys",
            in_settings("database"),
            f"keys older than {MAX_KEY_AGE.days} days are still signing: {', '.join(old_purposes)}",
            "aizen-hub keys rotate",
            production=True,
        )
    else:
        yield CheckResult.passed("keys", "every purpose has a signing key")


def check_checkpoints(store: Store, installation: Installation) -> Iterator[CheckResult]:
    """Check whether the database is the one that the newest checkpoints were made of (T-40)."""
    from aizen_hub.audit.checkpoints.signing import signature_check
    from aizen_hub.audit.integrity.rollback_detection import REMEDY
    from aizen_hub.cli.local_store import find_rollback, open_checkpoint_log
    from aizen_hub.store.keystore import KeyStore

    with store.read() as tx:
        if not _has_keys(tx):
            return
    keys = KeyStore.open(installation.settings, store)
    with open_checkpoint_log(installation.settings) as checkpoints:
        storage, location = checkpoints.storage, checkpoints.location
        is_missing, where = checkpoints.is_missing(), in_settings(storage.setting)
        with store.read() as tx:
            _, faults = checkpoints.read(signature_check(keys.list_keys(tx)))
    if is_missing:
        is_file = installation.settings.checkpoint_database is None
        yield CheckResult.warning(
            "checkpoints-missing",
            where,
            f"the audit's {storage.name} {location} "
            f"{'does not exist: the next start creates a new one' if is_file else 'is empty: the next start fills it'} "
            "and cannot detect an earlier rollback of the database",
            "before that start restore the file, mount its disk, or correct `checkpoint_file`"
            if is_file
            else "before that start restore its rows, or correct `checkpoint_database`",
        )
        return
    loss = find_rollback(installation.settings, store, keys)
    if loss is not None:
        yield CheckResult.error("rollback", where, loss.sentence, REMEDY)
    damaged = [fault.sentence for fault in faults if fault.unsigned_number is None]
    if damaged:
        more = "" if len(damaged) <= _MAX_SHOWN else f", and {len(damaged) - _MAX_SHOWN} more"
        yield CheckResult.error(
            "checkpoints-damaged",
            location,
            f"the {storage.name} was changed: {'; '.join(damaged[:_MAX_SHOWN])}{more}",
            "find out who wrote to it, put its newest copy back, and run: aizen-hub audit verify",
        )
    if loss is None and not damaged:
        yield CheckResult.passed("rollback", "the database contains everything that the checkpoints signed")


def _has_keys(tx: ReadTransaction) -> bool:
    from aizen_hub.store import tables

    return tx.conn.execute(select(tables.keys.c.kid).limit(1)).first() is not None

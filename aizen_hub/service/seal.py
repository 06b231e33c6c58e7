"""Sealing: whether the service may decide, by its keys, its database and its checkpoints (R7)."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

from aizen_hub.audit.archive.manifest import ArchiveManifests
from aizen_hub.audit.checkpoints.health import reason_of
from aizen_hub.audit.checkpoints.signing import signature_check
from aizen_hub.audit.integrity.rollback_detection import REMEDY, detect_rollback
from aizen_hub.audit.redaction import PURPOSE, SecretHasher
from aizen_hub.store.db_errors import UnusableDatabase

if TYPE_CHECKING:
    from aizen_hub.service.context import ServiceContext
    from aizen_hub.tokens.keys import KeyRing

log = logging.getLogger(__name__)

_FIND_REASON = "an operator can find the reason with `aizen-hub doctor`"


class _Fault(NamedTuple):
    sentence: str
    remedy: str
    location: str | None = None  # for the log only: the sentence is shown without a login


def update_seal(context: ServiceContext) -> None:
    """Reload the signing keys, and seal or unseal the service.

    Runs every second, in a thread. What an operator repairs meanwhile is in effect at the next call: the
    key-encryption file, the database file, the location of the checkpoints.
    """
    state = context.state
    try:
        fault = _find_fault(context)
    except UnusableDatabase as problem:
        state.missing_data = problem.detail
        fault = _Fault(problem.detail, problem.remedy or _FIND_REASON)
    sealed = None if fault is None else fault.sentence
    if sealed != state.sealed and fault is not None:
        log.error("sealed", extra={"data": {"why": sealed, "remedy": fault.remedy, "file": fault.location}})
    elif sealed != state.sealed:
        log.info("unsealed")
    state.sealed, state.seal_remedy = sealed, "" if fault is None else fault.remedy


class MissingData(NamedTuple):
    """What was signed and is not in the database, or why that is not known (T-40)."""

    sentence: str
    remedy: str
    location: str | None = None


def find_missing_data(context: ServiceContext) -> MissingData | None:
    """Compare the database with the newest checkpoints; None if it contains everything that they signed.

    They are read before the snapshot: another replica signs what came after an earlier one.
    """
    log_ = context.checkpoints
    with context.store.read() as tx:
        check = signature_check(context.keys.list_keys(tx))
    try:
        checkpoints, unsigned = log_.newest(check)
    except OSError as error:
        # Perhaps the database was set back: nothing is written to it, and nothing signed, until that is known.
        sentence = f"its {log_.storage.name} cannot be read: {reason_of(error)}"
        return MissingData(sentence, log_.storage.write_remedy, log_.location)
    with context.store.read() as tx:
        check = signature_check(context.keys.list_keys(tx))
        loss = detect_rollback(tx.conn, tx.revision, ArchiveManifests.read(tx.conn, check), checkpoints, unsigned)
    return None if loss is None else MissingData(loss.sentence, REMEDY)


def _find_fault(context: ServiceContext) -> _Fault | None:
    store, state, keys = context.store, context.state, context.keys
    seen = store.database.newest_revision  # read before the snapshot, which must contain it
    missing: MissingData | None = None
    keys.reload_file(context.settings.key_encryption_path)
    with store.read() as tx:
        ring = keys.ring(tx)
        revision = tx.revision
        context.clock.compare_with_store(tx.now)
    rolled_back = revision < seen
    if rolled_back:
        store.cache.clear()
    if rolled_back or state.missing_data is not None:
        missing = find_missing_data(context)
        if rolled_back and missing is None:
            # Lost before it was signed, as in a failover: a process that starts now cannot detect it, this one can.
            missing = MissingData(
                f"the database shows revision {revision}, but {seen} was seen: it was set back",
                "restore the newest database, or restart the service to continue from this one",
            )
        state.missing_data = None if missing is None else missing.sentence
    _use_keys(context, ring)
    if keys.file_fault is not None:
        # First: without the keys nothing else can be repaired.
        return _Fault(keys.file_fault.sentence, keys.file_fault.remedy, str(context.settings.key_encryption_path))
    if missing is not None:
        return _Fault(missing.sentence, missing.remedy, missing.location)
    if ring.is_sealed:
        return _Fault(ring.sealed_reason or "a signing key is missing", _FIND_REASON)
    health = context.checkpoint_health
    return None if health.fault is None else _Fault(health.fault, health.remedy, context.checkpoints.location)


def _use_keys(context: ServiceContext, ring: KeyRing) -> None:
    context.verifier.update_keys(ring)
    encryption = context.keys.encryption
    if encryption is not context.browser_login.encryption:
        context.browser_login.use_encryption(encryption)
        context.decisions.hasher = None if encryption is None else SecretHasher(encryption.derive(PURPOSE))

"""Direct access to the store, for commands that run on the service's machine under its account."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from aizen_hub.problems import Unavailable
from aizen_hub.settings import Settings

if TYPE_CHECKING:
    from aizen_hub.audit.checkpoints.checkpoint import Checkpoint, CheckpointFault
    from aizen_hub.audit.checkpoints.checkpoint_log import CheckpointLog
    from aizen_hub.audit.integrity.rollback_detection import Rollback
    from aizen_hub.store.actor import Actor
    from aizen_hub.store.keystore import KeyStore
    from aizen_hub.store.sql_store import Store


def operator_actor() -> Actor:
    """Return the actor of local changes: needs no role, and is audited on the channel ``operator``."""
    from aizen_hub.rbac.identity import Identity
    from aizen_hub.store.actor import Actor, Channel

    return Actor(Identity.service_account("operator"), Channel.OPERATOR, source=f"local uid {os.getuid()}")


@contextmanager
def open_store(settings: Settings, *, create: bool = False) -> Iterator[Store]:
    """Open the store of the settings and close it afterwards.

    Parameters
    ----------
    create : bool
        Whether to create an embedded database that does not exist yet.

    Raises
    ------
    Unavailable
        The database does not exist or cannot be used; names the cause and what corrects it.
    """
    from aizen_hub.catalogs.loader import load_catalog
    from aizen_hub.store.database import database_url, sqlite_path
    from aizen_hub.store.db_diagnosis import translate_for_operator
    from aizen_hub.store.sql_store import Store

    if settings.uses_sqlite and not create and not sqlite_path(database_url(settings.database_url)).exists():
        raise Unavailable("there is no database yet", remedy="start the service, which creates it and its first keys")
    catalog = load_catalog(settings.catalog, settings.overlays)
    with translate_for_operator(database_url(settings.database_url)):
        store = Store.open(settings, catalog, log_warnings=False)
    try:
        yield store
    finally:
        store.close()


def find_rollback(settings: Settings, store: Store, keys: KeyStore) -> Rollback | None:
    """Compare the database with its checkpoints, and return what it lacks (T-40)."""
    from aizen_hub.audit.archive.manifest import ArchiveManifests
    from aizen_hub.audit.checkpoints.signing import signature_check
    from aizen_hub.audit.integrity.rollback_detection import detect_rollback

    checkpoints, faults = read_checkpoints(settings, store, keys)
    with store.read() as tx:
        check = signature_check(keys.list_keys(tx))
        return detect_rollback(tx.conn, tx.revision, ArchiveManifests.read(tx.conn, check), checkpoints, faults)


def read_checkpoints(
    settings: Settings, store: Store, keys: KeyStore
) -> tuple[list[Checkpoint], list[CheckpointFault]]:
    """Return all checkpoints, and the faulty lines.

    A snapshot that is compared with them is made afterwards: a running service signs what came after an earlier one.
    """
    from aizen_hub.audit.checkpoints.signing import signature_check

    with store.read() as tx:
        check = signature_check(keys.list_keys(tx))
    with open_checkpoint_log(settings) as log:
        return log.read(check)


@contextmanager
def open_checkpoint_log(settings: Settings) -> Iterator[CheckpointLog]:
    """Open the checkpoints of the settings, and close them afterwards.

    Raises
    ------
    Unavailable
        They cannot be read or written: names the cause and what corrects it.
    """
    from aizen_hub.audit.checkpoints.storage import open_checkpoints
    from aizen_hub.store.checkpoint_rows import CheckpointRowsError

    log = open_checkpoints(settings)
    try:
        yield log
    except CheckpointRowsError as error:
        if error.diagnosis is not None:
            raise error.diagnosis from error
        raise Unavailable(f"the {log.storage.name}: {error}", remedy="run `aizen-hub doctor`") from error
    finally:
        log.close()


@contextmanager
def open_store_with_keys(settings: Settings) -> Iterator[tuple[Store, KeyStore]]:
    """Open the store together with its signing keys."""
    from aizen_hub.store.keystore import KeyStore

    with open_store(settings) as store:
        yield store, KeyStore.open(settings, store)

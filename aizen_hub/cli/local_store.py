"""Direct access to the store, for commands that run on the service's machine under its account."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from aizen_hub.problems import Unavailable
from aizen_hub.settings import Settings

if TYPE_CHECKING:
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
        The database does not exist.
    """
    from aizen_hub.catalogs.loader import load_catalog
    from aizen_hub.store.database import database_url, sqlite_path
    from aizen_hub.store.sql_store import Store

    if settings.uses_sqlite and not create and not sqlite_path(database_url(settings.database_url)).exists():
        raise Unavailable("there is no database yet", remedy="start the service, which creates it and its first keys")
    store = Store.open(settings, load_catalog(settings.catalog, settings.overlays), log_warnings=False)
    try:
        yield store
    finally:
        store.close()


@contextmanager
def open_store_with_keys(settings: Settings) -> Iterator[tuple[Store, KeyStore]]:
    """Open the store together with its signing keys."""
    from aizen_hub.store.keystore import KeyStore

    with open_store(settings) as store:
        yield store, KeyStore.open(settings, store)

"""What runs on the service's own machine and under its account opens the store itself."""

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
    from aizen_hub.store.store import Store


def operator() -> Actor:
    """The actor of a change made here: past all roles, and in the audit as what it is."""
    from aizen_hub.rbac.identity import Identity
    from aizen_hub.store.actor import Actor, Road

    return Actor(Identity.service_account("operator"), Road.OPERATOR, source=f"local uid {os.getuid()}")


@contextmanager
def opened(settings: Settings, *, may_make: bool = False) -> Iterator[Store]:
    """Open the store that the settings name, and close it afterwards.

    Parameters
    ----------
    may_make : bool
        Whether an embedded database is made where there is none yet.

    Raises
    ------
    Unavailable
        There is no database yet.
    """
    from aizen_hub.catalogs.loader import load_catalog
    from aizen_hub.store.database import database_url, sqlite_path
    from aizen_hub.store.store import Store

    if settings.embedded and not may_make and not sqlite_path(database_url(settings.database_url)).exists():
        raise Unavailable("there is no database yet", remedy="the service makes it, and its first keys, when it starts")
    store = Store.open(settings, load_catalog(settings.catalog, settings.overlays), warns=False)
    try:
        yield store
    finally:
        store.close()


@contextmanager
def opened_with_keys(settings: Settings) -> Iterator[tuple[Store, KeyStore]]:
    """Open the store and its keys."""
    from aizen_hub.store.keystore import KeyStore

    with opened(settings) as store:
        yield store, KeyStore.open(settings, store)

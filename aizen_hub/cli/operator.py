"""What runs on the service's own machine and under its account opens the store itself."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from aizen_hub.settings import Settings

if TYPE_CHECKING:
    from aizen_hub.store.actor import Actor
    from aizen_hub.store.store import Store


def operator() -> Actor:
    """The actor of a change made here: past all roles, and in the audit as what it is."""
    from aizen_hub.rbac.identity import Identity
    from aizen_hub.store.actor import Actor, Road

    return Actor(Identity.service_account("operator"), Road.OPERATOR, source=f"local uid {os.getuid()}")


@contextmanager
def opened(settings: Settings) -> Iterator[Store]:
    """Open the store that the settings name, and close it afterwards."""
    from aizen_hub.catalogs.loader import load_catalog
    from aizen_hub.store.store import Store

    store = Store.open(settings, load_catalog(settings.catalog, settings.overlays))
    try:
        yield store
    finally:
        store.close()

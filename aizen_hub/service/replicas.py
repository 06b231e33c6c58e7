"""The processes that share one database: each reports itself, and compares its configuration with the others."""

from __future__ import annotations

import hashlib
import hmac
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import delete, insert, select, update

from aizen_hub.store import tables

if TYPE_CHECKING:
    from aizen_hub.service.auth.browser_login import HubLocation
    from aizen_hub.service.auth.hub_connection import HubConnection
    from aizen_hub.service.runtime.clock_check import ClockCheck
    from aizen_hub.settings import Settings
    from aizen_hub.store.database import Database
    from aizen_hub.store.keystore import KeyStore
    from aizen_hub.store.transaction import ReadTransaction, WriteTransaction

REPORT_SECONDS = 10.0
_ALIVE = timedelta(seconds=45)
_KEPT = timedelta(days=1)
_PURPOSE = "comparison of replicas"
_COMPARED_HASH = "hub secret"
_FURTHER_HASH = "secret of a further hub"
_MUST_AGREE = {
    _COMPARED_HASH: "the file `hub_secret_file`: copy it from the other replica",
    "list of further hubs": "`further_hubs`",
    _FURTHER_HASH: "the files `secret_file` of `further_hubs`: copy them from the other replica",
    "service address": "`service.url`, the issuer of all tokens",
    "hub address": "`hub.url` and `hub.client_id`, or the variables that replace them",
    "checkpoint storage": "`checkpoint_database`, or `checkpoint_file` on storage that all replicas share",
}
"""What all replicas need in common, and where it is set. The catalog is compared with that of the store."""
_r = tables.replicas


@dataclass(frozen=True, slots=True)
class Replica:
    """What a process reports of itself.

    Attributes
    ----------
    instance : str
    host : str
    started, seen : datetime
        The store's time.
    configuration : mapping
        Name to value; of secrets a keyed hash.
    revision : int
        The newest one that it has seen.
    clock_offset : float
        Seconds by which its clock is ahead of the store's.
    """

    instance: str
    host: str
    started: datetime
    seen: datetime
    configuration: Mapping[str, str]
    revision: int
    clock_offset: float

    @property
    def has_key(self) -> bool:
        """Whether it has the key-encryption key: with it, it reports the hash of the hub secret."""
        return _COMPARED_HASH in self.configuration


@dataclass(frozen=True, slots=True)
class ReplicaConflict:
    """A difference from a replica that started earlier, as a sentence, and the remedy."""

    sentence: str
    remedy: str


@dataclass(frozen=True, eq=False)
class OwnReplica:
    """This process, as it reports itself to the others.

    Attributes
    ----------
    instance : str
        Random id of this process.
    catalog_hash : str
    checkpoint_location : str
    hubs : tuple of HubConnection
        The main hub first.
    """

    settings: Settings
    instance: str
    catalog_hash: str
    checkpoint_location: str
    hub_location: HubLocation
    hubs: tuple[HubConnection, ...]
    keys: KeyStore
    database: Database
    clock: ClockCheck

    def configuration(self) -> dict[str, str]:
        """Return what this process is configured with, without any secret."""
        location = self.hub_location
        values = {
            "service address": self.settings.service_url,
            "hub address": f"{location.address} {location.client_id or '-'}",
            "list of further hubs": "; ".join(
                f"{hub.id} {hub.api_url} {' '.join(sorted(hub.providers))}"
                for hub in sorted(self.settings.further_hubs, key=lambda hub: hub.id)
            ),
            "catalog": self.catalog_hash,
            "checkpoint storage": self.checkpoint_location,
        }
        encryption = self.keys.encryption
        if encryption is not None:
            key, further = encryption.derive(_PURPOSE), sorted(self.hubs[1:], key=lambda hub: hub.id)
            values[_COMPARED_HASH] = _keyed_hash(key, self.hubs[0].secret)
            values[_FURTHER_HASH] = _keyed_hash(key, "\n".join(hub.secret for hub in further))
        return values

    def report(self, tx: WriteTransaction) -> None:
        """Record that this process runs, and forget those that ended long ago."""
        values = {
            "seen": tx.now,
            "configuration": self.configuration(),
            "revision": self.database.newest_revision,
            "clock_offset": self.clock.offset,
        }
        tx.conn.execute(delete(_r).where(_r.c.seen < tx.now - _KEPT))
        changed = tx.conn.execute(update(_r).where(_r.c.instance == self.instance).values(**values))
        if not changed.rowcount:
            host = socket.gethostname()[: tables.NAME_LENGTH]
            tx.conn.execute(insert(_r).values(instance=self.instance, host=host, started=tx.now, **values))

    def forget(self, tx: WriteTransaction) -> None:
        """Remove this process, which ends."""
        tx.conn.execute(delete(_r).where(_r.c.instance == self.instance))

    def find_conflict(self, tx: ReadTransaction) -> ReplicaConflict | None:
        """Return the first difference from a replica that started earlier; None where they agree.

        The one that started later is the one that is not ready: a wrong replica that is added takes nothing from those
        that serve.
        """
        own = self.configuration()
        for replica in list_replicas(tx):
            if replica.instance == self.instance:
                return None
            for name, location in _MUST_AGREE.items():
                if name in own and name in replica.configuration and own[name] != replica.configuration[name]:
                    return ReplicaConflict(
                        f"this replica has another {name} than the one on `{replica.host}`, which started earlier",
                        f"set the same on both, and restart: {location}",
                    )
        return None


def _keyed_hash(key: bytes, text: str) -> str:
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def list_replicas(tx: ReadTransaction) -> tuple[Replica, ...]:
    """Return the processes that reported themselves within the last 45 seconds, the oldest first."""
    rows = tx.conn.execute(select(_r).where(_r.c.seen >= tx.now - _ALIVE).order_by(_r.c.started, _r.c.instance))
    return tuple(Replica(**row._mapping) for row in rows)

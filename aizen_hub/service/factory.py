"""Puts a service together from its settings."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping

from sqlalchemy import select

from aizen_hub.accounts.users import bootstrap
from aizen_hub.audit.archive.manifest import Seals
from aizen_hub.audit.checkpoints.checkpoint import CheckpointFile
from aizen_hub.audit.checkpoints.signing import checker
from aizen_hub.audit.integrity.rollback_detection import REMEDY, find_loss
from aizen_hub.audit.redaction import PURPOSE, SecretHasher
from aizen_hub.authorization.decisions.decision_service import Court
from aizen_hub.catalogs.loader import load_catalog
from aizen_hub.client.secret_file import SecretFileError, read_or_make_secret, read_secret
from aizen_hub.rbac.identity import Identity
from aizen_hub.service.auth.browser_login import Browsers, HubPlace
from aizen_hub.service.context import PREFIX, House
from aizen_hub.service.core.gateway import core_runner
from aizen_hub.service.parent_death import StartRefused
from aizen_hub.settings import Settings
from aizen_hub.store import tables
from aizen_hub.store.actor import Actor, Road
from aizen_hub.store.keystore import KeyStore
from aizen_hub.store.store import Store
from aizen_hub.store.transaction import Read
from aizen_hub.tokens.keys import KeyRing
from aizen_hub.tokens.role_token import Verifier

log = logging.getLogger(__name__)

OWN = Actor(Identity.service_account("aizen-hub"), Road.OPERATOR)


def build(settings: Settings, *, instance: str, environ: Mapping[str, str] | None = None) -> House:
    """Open everything a service needs.

    What can be put right while it runs (keys) seals the service; everything else stops the start.

    Raises
    ------
    StartRefused, ConfigurationError, SchemaError, Problem
    """
    environ = os.environ if environ is None else environ
    if os.geteuid() == 0:
        log.warning("running as root: give the service an account of its own")
    catalog = load_catalog(settings.catalog, settings.overlays)
    try:
        # The hub and we find or make the same file; of two that start at once, the first one makes it.
        hub_secret = (
            read_or_make_secret(settings.hub_secret_path)
            if settings.embedded
            else read_secret(settings.hub_secret_path)
        )
        file = settings.core.credential_file if settings.core else None
        core_credential = read_secret(file) if file else None
    except SecretFileError as error:
        raise StartRefused(str(error)) from None
    if core_credential is not None and core_credential == hub_secret:
        raise StartRefused("the core's credential is the hub secret: give each its own")
    store = Store.open(settings, catalog)
    try:
        with store.write(OWN) as tx:
            link = bootstrap.first_start(tx, settings)
        if link is not None:
            _keep_link(settings, link.path)
        house = House(
            settings,
            store,
            catalog,
            instance=instance,
            hub_secret=hub_secret,
            core_credential=core_credential,
            prefix=environ.get("JUPYTERHUB_SERVICE_PREFIX", PREFIX),
            hub_api=environ.get("JUPYTERHUB_API_URL"),
        )
        _look_for_checkpoints(settings, store)
        house.keys = KeyStore.open(settings, store)
        house.verifier = Verifier(KeyRing(), settings.service_url, settings.service_url)
        with store.read() as tx:
            house.lacks = _lacks(house, tx)
        refresh_keys(house)
        encryption = house.keys.encryption
        house.browsers = Browsers(house, HubPlace.of(environ), encryption)
        house.court = Court(store, None if encryption is None else SecretHasher(encryption.derive(PURPOSE)))
        house.runner = core_runner(house)
    except BaseException:  # goes on up; the lock on the file is given back
        store.close()
        raise
    return house


def _keep_link(settings: Settings, path: str) -> None:
    # A link is a secret: it goes to a file that only this account reads, never to a log (R98).
    file = settings.data_dir / "admin-activation-link"
    file.unlink(missing_ok=True)
    with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "w", encoding="ascii") as out:
        out.write(path + "\n")
    log.info("the admin user's activation link waits in a file", extra={"data": {"file": str(file)}})


def _look_for_checkpoints(settings: Settings, store: Store) -> None:
    # The first start makes the keys and then the file. A file that is missing later proves nothing any more, and a
    # database that was set back would go unnoticed: a disk that is not mounted, or a path that was changed.
    with store.read() as tx:
        used = tx.conn.scalar(select(tables.keys.c.kid).limit(1)) is not None
    if used and not settings.checkpoint_path.exists():
        log.warning(
            "the audit was signed before, but its checkpoint file is not there: a new one begins",
            extra={"data": {"file": str(settings.checkpoint_path)}},
        )


def refresh_keys(house: House) -> None:
    """Bring the ring at hand up to the store's, and seal or unseal the service by it and by the audit's sink (R7)."""
    seen = house.store.database.newest  # of before the view, which must hold it
    remedy = REMEDY
    with house.store.read() as tx:
        ring = house.keys.ring(tx)
        back = tx.revision < seen
        if back:
            house.store.cache.clear()
        if back or house.lacks is not None:
            house.lacks = _lacks(house, tx)
            if back and house.lacks is None:
                # Lost before it was signed, as in a failover: who starts now cannot know, but we do.
                house.lacks = f"the database shows revision {tx.revision}, but {seen} was seen: it was set back"
                remedy = "bring back the newest database, or restart the service to go on from this one"
        house.clock.look(tx.now)
    house.verifier.advance(ring)
    sealed = house.lacks
    if sealed is None and ring.is_sealed:
        sealed = ring.sealed or "a signing key is missing"
        remedy = "the operator finds the reason with `aizen-hub doctor`"
    if sealed is None:
        sealed, remedy = house.sink.fault, house.sink.remedy
    if sealed != house.sealed:
        log.log(
            logging.ERROR if sealed else logging.INFO,
            "sealed" if sealed else "unsealed",
            extra={"data": {"why": sealed}},
        )
    house.sealed, house.remedy = sealed, remedy


def _lacks(house: House, tx: Read) -> str | None:
    check = checker(house.keys.list(tx))
    checkpoints, strange = CheckpointFile(house.settings.checkpoint_path).newest(check)
    loss = find_loss(tx.conn, tx.revision, Seals.read(tx.conn, check), checkpoints, strange)
    return None if loss is None else loss.sentence

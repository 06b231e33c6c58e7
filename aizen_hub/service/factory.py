"""Construction of the service context from the settings."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping

from sqlalchemy import select

from aizen_hub.accounts.users import bootstrap
from aizen_hub.audit.archive.manifest import ArchiveManifests
from aizen_hub.audit.checkpoints.checkpoint import CheckpointFile
from aizen_hub.audit.checkpoints.health import CheckpointHealth
from aizen_hub.audit.checkpoints.signing import signature_check
from aizen_hub.audit.integrity.rollback_detection import REMEDY, detect_rollback
from aizen_hub.audit.redaction import PURPOSE, SecretHasher
from aizen_hub.authorization.decisions.decision_service import DecisionService
from aizen_hub.catalogs.catalog import Catalog
from aizen_hub.catalogs.loader import load_catalog
from aizen_hub.rbac.identity import Identity
from aizen_hub.secret_files import SecretFileError, read_or_create_secret, read_secret
from aizen_hub.service.async_store import AsyncStore
from aizen_hub.service.auth.authenticator import RequestAuthenticator
from aizen_hub.service.auth.browser_login import BrowserLogin, HubLocation
from aizen_hub.service.auth.hub_api import HUB_VARIABLES, HubApiClient
from aizen_hub.service.auth.rate_limits import RateLimiter
from aizen_hub.service.clock_check import ClockCheck, kernel_ntp_status
from aizen_hub.service.context import ServiceContext
from aizen_hub.service.core.gateway import CoreGateway
from aizen_hub.service.core.parsed_commands import ParsedCommandCache
from aizen_hub.service.metrics import Metrics
from aizen_hub.service.parent_death import StartupError
from aizen_hub.service.state import ServiceState
from aizen_hub.service.thread_pools import Pools
from aizen_hub.settings import Settings
from aizen_hub.store import tables
from aizen_hub.store.actor import Actor, Channel
from aizen_hub.store.keystore import KeyStore
from aizen_hub.store.sql_store import Store
from aizen_hub.store.transaction import ReadTransaction
from aizen_hub.tokens.keys import KeyRing
from aizen_hub.tokens.role_token import RoleTokenVerifier

log = logging.getLogger(__name__)

DEFAULT_PREFIX = "/services/aizen/"
SERVICE_ACTOR = Actor(Identity.service_account("aizen-hub"), Channel.OPERATOR)


def build_context(settings: Settings, *, instance: str, environ: Mapping[str, str] | None = None) -> ServiceContext:
    """Open the store and build every part of a service.

    A fault that can be corrected while the service runs (keys, checkpoint file) seals it; any other stops the start.

    Parameters
    ----------
    instance : str
        Random id of this process.

    Raises
    ------
    StartupError, ConfigurationError, SchemaError, Problem
    """
    environ = os.environ if environ is None else environ
    if os.geteuid() == 0:
        log.warning("running as root: give the service its own account")
    missing = [name for name in HUB_VARIABLES if not environ.get(name)]
    if missing:
        log.warning(
            "panel and command line have no sign-in without these variables, see docs/separate-service.md",
            extra={"data": {"missing": missing}},
        )
    catalog = load_catalog(settings.catalog, settings.overlays)
    try:
        # Hub and service share this file; if both start at once, the first creates it.
        hub_secret = (
            read_or_create_secret(settings.hub_secret_path)
            if settings.uses_sqlite
            else read_secret(settings.hub_secret_path)
        )
        file = settings.core.credential_file if settings.core else None
        core_credential = read_secret(file) if file else None
        token_file = settings.metrics.token_file
        metrics_token = read_secret(token_file) if token_file else None
    except SecretFileError as error:
        raise StartupError(str(error)) from None
    if core_credential is not None and core_credential == hub_secret:
        raise StartupError("the core's credential is the hub secret: give each its own")
    if metrics_token is not None and metrics_token in (hub_secret, core_credential):
        raise StartupError("the token of the metrics is also the hub secret or the core's credential: give it its own")
    store = Store.open(settings, catalog)
    try:
        with store.write(SERVICE_ACTOR) as tx:
            link = bootstrap.bootstrap_installation(tx, settings)
        if link is not None:
            _save_activation_link(settings, link.path)
        _warn_of_missing_checkpoint_file(settings, store)
        context = _assemble(settings, catalog, store, instance, hub_secret, core_credential, metrics_token, environ)
        with store.read() as tx:
            context.state.missing_data = _missing_data(context, tx)
        refresh_keys(context)
    except BaseException:  # re-raised; the lock on the file is released
        store.close()
        raise
    _register_gauges(context)
    return context


def _assemble(
    settings: Settings,
    catalog: Catalog,
    store: Store,
    instance: str,
    hub_secret: str | None,
    core_credential: str | None,
    metrics_token: str | None,
    environ: Mapping[str, str],
) -> ServiceContext:
    prefix = environ.get("JUPYTERHUB_SERVICE_PREFIX", DEFAULT_PREFIX)
    deadline = settings.service.deadline_seconds
    metrics, state, clock = Metrics(), ServiceState(), ClockCheck(shared=not settings.uses_sqlite)
    pools = Pools(embedded=settings.uses_sqlite)
    async_store = AsyncStore(store, pools)
    keys = KeyStore.open(settings, store)
    encryption = keys.encryption
    verifier = RoleTokenVerifier(KeyRing(), settings.service_url, settings.service_url)
    decisions = DecisionService(store, None if encryption is None else SecretHasher(encryption.derive(PURPOSE)))
    hub_api = HubApiClient(environ.get("JUPYTERHUB_API_URL"), _service_name(prefix), deadline)
    browser_login = BrowserLogin(
        hub_api,
        HubLocation.from_environ(environ),
        encryption,
        prefix=prefix,
        trusted_proxies=settings.service.trusted_proxies,
    )
    authenticator = RequestAuthenticator(
        settings,
        async_store,
        metrics,
        verifier,
        browser_login,
        hub_api,
        hub_secret=hub_secret,
        core_credential=core_credential,
    )
    return ServiceContext(
        settings=settings,
        catalog=catalog,
        instance=instance,
        prefix=prefix,
        hub_secret=hub_secret,
        metrics_token=metrics_token,
        metrics=metrics,
        state=state,
        clock=clock,
        store=store,
        pools=pools,
        async_store=async_store,
        keys=keys,
        verifier=verifier,
        checkpoint_health=CheckpointHealth(settings.checkpoint_grace_seconds),
        decisions=decisions,
        parsed_commands=ParsedCommandCache(catalog),
        hub_api=hub_api,
        browser_login=browser_login,
        authenticator=authenticator,
        rate_limiter=RateLimiter(settings.rate, metrics.count_limited),
        core=CoreGateway(settings, catalog, store, pools, decisions, verifier, clock, metrics),
    )


def _service_name(prefix: str) -> str:
    return prefix.strip("/").rpartition("/")[2] or "aizen"


def _register_gauges(context: ServiceContext) -> None:
    add = context.metrics.add_gauge
    add(
        "clock_offset_seconds",
        "This clock against the store's, or its jumps since the start.",
        lambda: context.clock.offset,
    )
    add("clock_synchronised", "1 where the kernel says that NTP keeps the clock.", lambda: kernel_ntp_status()[0])
    add("clock_ntp_offset_seconds", "This clock against NTP, by the kernel.", lambda: kernel_ntp_status()[1])
    add(
        "sealed",
        "1 while a key, the audit's checkpoint file or a part of the database is missing and nothing is decided.",
        lambda: float(context.state.sealed is not None),
    )
    add(
        "checkpoint_age_seconds",
        "Time since the heads of the audit were last signed, or were found unchanged.",
        lambda: context.checkpoint_health.age,
    )
    add(
        "decisions_pending",
        "Decision requests that wait for the decision service.",
        lambda: float(context.decisions.queue_length),
    )
    add("db_tasks_pending", "Database operations that run or wait.", lambda: float(context.pools.busy))


def _save_activation_link(settings: Settings, path: str) -> None:
    # A link is a secret: it goes to a file that only this account reads, never to a log (R98).
    file = settings.data_dir / "admin-activation-link"
    file.unlink(missing_ok=True)
    with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "w", encoding="ascii") as out:
        out.write(path + "\n")
    log.info("the activation link of the admin user was written to a file", extra={"data": {"file": str(file)}})


def _warn_of_missing_checkpoint_file(settings: Settings, store: Store) -> None:
    # The first start creates the keys and then the file. If the file is missing later (a disk that is not mounted, a
    # changed path), a database that was set back would not be detected.
    with store.read() as tx:
        used = tx.conn.scalar(select(tables.keys.c.kid).limit(1)) is not None
    if used and not settings.checkpoint_path.exists():
        log.warning(
            "the audit was signed before, but its checkpoint file is missing: a new one is created",
            extra={"data": {"file": str(settings.checkpoint_path)}},
        )


def refresh_keys(context: ServiceContext) -> None:
    """Reload the signing keys, and seal or unseal the service by them and by the checkpoint file (R7).

    Runs every second, in a thread.
    """
    store, state = context.store, context.state
    seen = store.database.newest_revision  # read before the snapshot, which must contain it
    remedy = REMEDY
    with store.read() as tx:
        ring = context.keys.ring(tx)
        rolled_back = tx.revision < seen
        if rolled_back:
            store.cache.clear()
        if rolled_back or state.missing_data is not None:
            state.missing_data = _missing_data(context, tx)
            if rolled_back and state.missing_data is None:
                # Lost before it was signed, as in a failover: a process that starts now cannot detect it, this one can.
                state.missing_data = f"the database shows revision {tx.revision}, but {seen} was seen: it was set back"
                remedy = "restore the newest database, or restart the service to continue from this one"
        context.clock.compare_with_store(tx.now)
    context.verifier.update_keys(ring)
    sealed = state.missing_data
    if sealed is None and ring.is_sealed:
        sealed = ring.sealed_reason or "a signing key is missing"
        remedy = "an operator can find the reason with `aizen-hub doctor`"
    if sealed is None:
        sealed, remedy = context.checkpoint_health.fault, context.checkpoint_health.remedy
    if sealed != state.sealed:
        log.log(
            logging.ERROR if sealed else logging.INFO,
            "sealed" if sealed else "unsealed",
            extra={"data": {"why": sealed}},
        )
    state.sealed, state.seal_remedy = sealed, remedy


def _missing_data(context: ServiceContext, tx: ReadTransaction) -> str | None:
    check = signature_check(context.keys.list_keys(tx))
    checkpoints, strange = CheckpointFile(context.settings.checkpoint_path).newest(check)
    loss = detect_rollback(tx.conn, tx.revision, ArchiveManifests.read(tx.conn, check), checkpoints, strange)
    return None if loss is None else loss.sentence

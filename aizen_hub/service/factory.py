"""Construction of the service context from the settings."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping

from sqlalchemy import select

from aizen_hub import __version__
from aizen_hub.accounts.sessions.token_exchange import TokenExchange
from aizen_hub.accounts.users import bootstrap
from aizen_hub.audit.checkpoints.checkpoint_log import CheckpointLog
from aizen_hub.audit.checkpoints.checkpoint_table import CheckpointTable
from aizen_hub.audit.checkpoints.health import CheckpointHealth
from aizen_hub.audit.checkpoints.storage import open_checkpoints
from aizen_hub.audit.redaction import PURPOSE, SecretHasher
from aizen_hub.authorization.decisions.decision_service import DecisionService
from aizen_hub.catalogs.catalog import Catalog
from aizen_hub.catalogs.loader import load_catalog
from aizen_hub.hub_settings import MAIN_HUB
from aizen_hub.operations.runner import OperationRunner
from aizen_hub.rbac.identity import Identity
from aizen_hub.secret_files import SecretFileError
from aizen_hub.service.auth.authenticator import RequestAuthenticator
from aizen_hub.service.auth.browser_login import BrowserLogin, HubLocation
from aizen_hub.service.auth.hub_api import HUB_VARIABLES, HubApiClient
from aizen_hub.service.auth.hub_connection import HubConnection
from aizen_hub.service.auth.pod_reviews import PodReviews
from aizen_hub.service.auth.rate_limits import RateLimiter
from aizen_hub.service.context import ServiceContext
from aizen_hub.service.core.gateway import CoreGateway
from aizen_hub.service.core.parsed_commands import ParsedCommandCache
from aizen_hub.service.exposition import MetricsExposition
from aizen_hub.service.hub_revocations import HubRevocations
from aizen_hub.service.hub_variables import hub_variables
from aizen_hub.service.link_mailer import LinkMailer
from aizen_hub.service.operation_kinds import KINDS
from aizen_hub.service.readiness import ReadinessCheck
from aizen_hub.service.replicas import OwnReplica
from aizen_hub.service.runtime.async_store import AsyncStore
from aizen_hub.service.runtime.clock_check import ClockCheck, kernel_ntp_status
from aizen_hub.service.runtime.metrics import Metrics
from aizen_hub.service.runtime.parent_death import StartupError
from aizen_hub.service.runtime.thread_pools import Pools
from aizen_hub.service.seal import find_missing_data, update_seal
from aizen_hub.service.shared_secrets import SharedSecrets
from aizen_hub.service.state import ServiceState
from aizen_hub.settings import Settings
from aizen_hub.store import migrate, tables
from aizen_hub.store.actor import Actor, Channel
from aizen_hub.store.database import database_url
from aizen_hub.store.db_diagnosis import translate_for_operator
from aizen_hub.store.keystore import KeyStore
from aizen_hub.store.sql_store import Store
from aizen_hub.tokens.keys import KeyRing
from aizen_hub.tokens.role_token import RoleTokenVerifier
from aizen_hub.tracing import open_tracing

log = logging.getLogger(__name__)

DEFAULT_PREFIX = "/services/aizen/"
SERVICE_ACTOR = Actor(Identity.service_account("aizen-hub"), Channel.OPERATOR)


def build_context(settings: Settings, *, instance: str, environ: Mapping[str, str] | None = None) -> ServiceContext:
    """Open the store and build every part of a service.

    A fault that can be corrected while the service runs (keys, checkpoints) seals it; any other stops the start.

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
    if settings.is_further_hub:
        raise StartupError(
            "aizen.yaml is that of a further hub (`panel_url`), which uses the service of the main hub: start that one"
        )
    catalog = load_catalog(settings.catalog, settings.overlays)
    try:
        environ = hub_variables(settings, environ)
    except SecretFileError as error:
        raise StartupError(str(error)) from None
    shared_secrets = SharedSecrets.read(settings)
    missing = [name for name in HUB_VARIABLES if not environ.get(name)]
    if missing:
        log.warning(
            "panel and command line have no sign-in: set `hub` in aizen.yaml, see docs/separate-service.md",
            extra={"data": {"missing": missing}},
        )
    if not settings.uses_sqlite and migrate.create_if_empty(settings.database_url):
        log.info("created the tables in an empty database")
    with translate_for_operator(database_url(settings.database_url)):
        store = Store.open(settings, catalog)
    try:
        with store.write(SERVICE_ACTOR) as tx:
            link = bootstrap.bootstrap_installation(tx, settings)
        if link is not None:
            _save_activation_link(settings, link.path)
        was_signed = _has_keys(store)  # before the first start creates them
        context = _assemble(settings, catalog, store, instance, shared_secrets, environ)
        _warn_of_checkpoints(context.checkpoints, was_signed=was_signed)
        missing_data = find_missing_data(context)
        context.state.missing_data = None if missing_data is None else missing_data.sentence
        update_seal(context)
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
    shared_secrets: SharedSecrets,
    environ: Mapping[str, str],
) -> ServiceContext:
    prefix = panel_prefix(environ)
    deadline = settings.service.deadline_seconds
    tracing = open_tracing(settings.service.tracing, instance, __version__)
    metrics, state, clock = Metrics(), ServiceState(), ClockCheck(shared=not settings.uses_sqlite)
    pools = Pools(embedded=settings.uses_sqlite)
    async_store = AsyncStore(store, pools)
    checkpoints = open_checkpoints(settings)
    keys = KeyStore.open(settings, store)
    encryption = keys.encryption
    verifier = RoleTokenVerifier(KeyRing(), settings.service_url, settings.service_url)
    decisions = DecisionService(store, None if encryption is None else SecretHasher(encryption.derive(PURPOSE)))
    api_urls = {hub.id: hub.api_url for hub in settings.further_hubs} | {MAIN_HUB: environ.get("JUPYTERHUB_API_URL")}
    hubs = tuple(
        HubConnection(hub, secret, HubApiClient(api_urls[hub], _service_name(prefix), deadline))
        for hub, secret in shared_secrets.hubs.items()
    )
    # Panel and command line sign in at the main hub only: tokens of other hubs prove nothing here.
    hub_api = hubs[0].api
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
        hub_secrets=shared_secrets.hubs,
        core_credential=shared_secrets.core,
        pods=_open_pod_reviews(settings),
    )
    hub_location = browser_login.hub_location
    replica = OwnReplica(
        settings, instance, catalog.hash, checkpoints.location, hub_location, hubs, keys, store.database, clock
    )
    return ServiceContext(
        settings=settings,
        catalog=catalog,
        instance=instance,
        prefix=prefix,
        metrics_token=shared_secrets.metrics,
        metrics=metrics,
        tracing=tracing,
        state=state,
        clock=clock,
        store=store,
        pools=pools,
        async_store=async_store,
        keys=keys,
        verifier=verifier,
        checkpoints=checkpoints,
        checkpoint_health=CheckpointHealth(settings.checkpoint_grace_seconds, checkpoints.storage),
        decisions=decisions,
        parsed_commands=ParsedCommandCache(catalog),
        hubs=hubs,
        browser_login=browser_login,
        authenticator=authenticator,
        rate_limiter=RateLimiter(settings.rate, metrics.count_limited),
        core=CoreGateway(settings, catalog, store, pools, decisions, verifier, clock, metrics, tracing),
        operations=OperationRunner(store, KINDS, catalog.command_with_handler, lambda: state.sealed is not None),
        exchange=TokenExchange(store, keys, clock.check),
        hub_revocations=HubRevocations(hubs),
        link_mailer=LinkMailer(settings.alerts.mail, hub_location.panel_url),
        replica=replica,
        readiness=ReadinessCheck(catalog.hash, clock, None if settings.uses_sqlite else replica),
        exposition=MetricsExposition(metrics),
    )


def _open_pod_reviews(settings: Settings) -> PodReviews | None:
    if settings.pod_identity is None:
        return None
    try:
        # Half of the time of a request, so that the answer says what is missing.
        return PodReviews(settings.pod_identity, settings.service.deadline_seconds / 2)
    except OSError as error:
        raise StartupError(
            f"the certificates of the API server, `{settings.pod_identity.ca_file}`, cannot be used: {error}; "
            "correct `pod_identity.ca_file`"
        ) from None


def panel_prefix(environ: Mapping[str, str]) -> str:
    """Return the path of the service below the hub's proxy, with a slash at both ends."""
    return environ.get("JUPYTERHUB_SERVICE_PREFIX", DEFAULT_PREFIX)


def _service_name(prefix: str) -> str:
    return prefix.strip("/").rpartition("/")[2] or "aizen"


def _register_gauges(context: ServiceContext) -> None:
    add = context.metrics.add_gauge
    add("clock_offset_seconds", lambda: context.clock.offset)
    add("clock_synchronised", lambda: kernel_ntp_status()[0])
    add("clock_ntp_offset_seconds", lambda: kernel_ntp_status()[1])
    add("sealed", lambda: float(context.state.sealed is not None))
    add("checkpoint_age_seconds", lambda: context.checkpoint_health.age)
    add("decisions_pending", lambda: float(context.decisions.queue_length))
    add("db_tasks_pending", lambda: float(context.pools.busy))


def _save_activation_link(settings: Settings, path: str) -> None:
    # A link is a secret: it goes to a file that only this account reads, never to a log (R98).
    settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    file = settings.data_dir / "admin-activation-link"
    file.unlink(missing_ok=True)
    with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "w", encoding="ascii") as out:
        out.write(path + "\n")
    log.info(
        "first start: the admin user sets a password at the address, below the hub's, that this file contains; "
        "`aizen-hub recover-admin` prints another",
        extra={"data": {"file": str(file), "admin_user": settings.admin_user}},
    )


def _has_keys(store: Store) -> bool:
    with store.read() as tx:
        return tx.conn.scalar(select(tables.keys.c.kid).limit(1)) is not None


def _warn_of_checkpoints(checkpoints: CheckpointLog, *, was_signed: bool) -> None:
    # If the checkpoints are missing after the first start (a disk that is not mounted, a changed address), a database
    # that was set back would not be detected.
    storage = checkpoints.storage
    try:
        if was_signed and checkpoints.is_missing():
            log.warning(
                f"the audit was signed before, but its {storage.name} is missing or empty: a new one is begun",
                extra={"data": {"location": checkpoints.location}},
            )
        if isinstance(checkpoints, CheckpointTable) and checkpoints.rows.read_own_privileges().can_change:
            log.warning(
                "the role of `checkpoint_database` can change checkpoints: it must be able to select and insert only",
                extra={"data": {"location": checkpoints.location}},
            )
    except OSError as error:
        # The service is sealed until the checkpoints can be read.
        log.warning(f"the {storage.name} cannot be read", extra={"data": {"why": str(error)}})

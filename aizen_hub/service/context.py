"""The application context: the parts of one running service, built once by `factory.build_context`."""

from __future__ import annotations

from dataclasses import dataclass

from aizen_hub.accounts.sessions.token_exchange import TokenExchange
from aizen_hub.audit.checkpoints.checkpoint_log import CheckpointLog
from aizen_hub.audit.checkpoints.health import CheckpointHealth
from aizen_hub.authorization.decisions.decision_service import DecisionService
from aizen_hub.catalogs.catalog import Catalog
from aizen_hub.operations.runner import OperationRunner
from aizen_hub.service.auth.authenticator import RequestAuthenticator
from aizen_hub.service.auth.browser_login import BrowserLogin
from aizen_hub.service.auth.hub_connection import HubConnection
from aizen_hub.service.auth.rate_limits import RateLimiter
from aizen_hub.service.core.gateway import CoreGateway
from aizen_hub.service.core.parsed_commands import ParsedCommandCache
from aizen_hub.service.exposition import MetricsExposition
from aizen_hub.service.hub_revocations import HubRevocations
from aizen_hub.service.link_mailer import LinkMailer
from aizen_hub.service.readiness import ReadinessCheck
from aizen_hub.service.replicas import OwnReplica
from aizen_hub.service.runtime.async_store import AsyncStore
from aizen_hub.service.runtime.clock_check import ClockCheck
from aizen_hub.service.runtime.metrics import Metrics
from aizen_hub.service.runtime.thread_pools import Pools
from aizen_hub.service.state import ServiceState
from aizen_hub.settings import Settings
from aizen_hub.store.keystore import KeyStore
from aizen_hub.store.sql_store import Store
from aizen_hub.tokens.role_token import RoleTokenVerifier
from aizen_hub.tracing import Tracing


@dataclass(frozen=True, eq=False)
class ServiceContext:
    """The parts of a running service.

    The context itself never changes; what changes is in ``state``. Only the top level (application, server, route
    handlers, scheduled tasks) receives the context. Its parts receive the parts that they use.

    Attributes
    ----------
    prefix : str
        Path of the service below the hub's proxy, with a slash at both ends.
    instance : str
        Random id of this process, sent with every response.
    hubs : tuple of HubConnection
        The main hub first; panel and command line sign in there, and it reads the directories.
    metrics_token : str or None
        What a reader of the metrics must send; None: nothing.
    tracing : Tracing or None
        None: no traces are made.
    replica : OwnReplica
        This process among those that share the database.
    """

    settings: Settings
    catalog: Catalog
    instance: str
    prefix: str
    metrics_token: str | None
    metrics: Metrics
    tracing: Tracing | None
    state: ServiceState
    clock: ClockCheck
    store: Store
    pools: Pools
    async_store: AsyncStore
    keys: KeyStore
    verifier: RoleTokenVerifier
    checkpoints: CheckpointLog
    checkpoint_health: CheckpointHealth
    decisions: DecisionService
    parsed_commands: ParsedCommandCache
    hubs: tuple[HubConnection, ...]
    browser_login: BrowserLogin
    authenticator: RequestAuthenticator
    rate_limiter: RateLimiter
    core: CoreGateway
    operations: OperationRunner
    exchange: TokenExchange
    hub_revocations: HubRevocations
    link_mailer: LinkMailer
    replica: OwnReplica
    readiness: ReadinessCheck
    exposition: MetricsExposition

    @property
    def main_hub(self) -> HubConnection:
        """The hub at which people sign in to the panel."""
        return self.hubs[0]

    @property
    def can_read_directories(self) -> bool:
        """Whether this service can reach the main hub, which has the credentials of the directories."""
        return self.main_hub.api.is_configured

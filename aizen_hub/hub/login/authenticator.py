"""Authenticator of the hub: one login page for several providers, and a session for every server start."""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from jupyterhub.auth import Authenticator
from traitlets import Unicode, default

from aizen_hub.api_models.logins import HubUserModel, LoginOutcome
from aizen_hub.client.service_client import ServiceClient
from aizen_hub.hub.config_guard import enforce
from aizen_hub.hub.hub_groups import hub_group_names
from aizen_hub.hub.login import login_errors, reauthentication, registration_request
from aizen_hub.hub.login.auth_state import SavedLogin
from aizen_hub.hub.login.client_address import request_address
from aizen_hub.hub.login.directory_reading import reading_handler
from aizen_hub.hub.login.login_page import LoginPageHandler
from aizen_hub.hub.login.login_report import report_login, report_refresh
from aizen_hub.hub.login.oidc.handlers import OidcIdentity, oidc_handlers
from aizen_hub.hub.login.oidc.logout import OidcLogoutHandler
from aizen_hub.hub.login.oidc.provider import OidcProvider
from aizen_hub.hub.login.provider import (
    AccessDeniedError,
    AuthenticatedIdentity,
    LoginError,
    PasswordProvider,
    Provider,
    ProviderUnreachableError,
    ThrottledError,
    WrongCredentialsError,
    printable,
)
from aizen_hub.hub.login.provider_factory import build_providers, start_checks
from aizen_hub.hub.login.sign_out import SignOutProcessor
from aizen_hub.hub.panel_outage import PanelOutageHandler
from aizen_hub.hub.panel_redirect import PanelRedirectHandler
from aizen_hub.hub.registration_guard import registration_guards
from aizen_hub.hub.scope_guard import SERVICE_NAME
from aizen_hub.hub.spawn.handlers import spawn_handlers, token_handlers
from aizen_hub.hub.spawn.server_monitor import ServerMonitor
from aizen_hub.hub.spawn.server_session import SessionManager
from aizen_hub.secret_files import SecretFileError, read_or_create_secret, read_secret
from aizen_hub.settings import ConfigurationError, Settings


class AizenAuthenticator(Authenticator):
    """Authenticates users by the providers of aizen.yaml; the service decides which of them may sign in.

    A user is admitted by the registration at the service only. ``allowed_users`` and ``blocked_users`` of the hub
    apply in addition; ``allow_all`` has no effect. Administrators are not configured at the hub: its admin page is
    open to holders of the role AIZEN_ADMIN.
    """

    config_file = Unicode(
        "aizen.yaml",
        config=True,
        help="""
        The configuration file, read by the hub and by the service.

        Example: `c.AizenAuthenticator.config_file = "/etc/aizen/aizen.yaml"`; `configure(c, …)` sets it.
        """,
    )
    instance = Unicode(
        config=True,
        help="""
        The id that the hub gave to the service it started. Set by `configure`; do not change it. Warning: without it
        any process that listens on the service's port on this machine can impersonate the service.
        """,
    )

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        path = Path(self.config_file).absolute()
        self.aizen_settings = settings = Settings.load(path)
        try:
            # The service lists the secret of a further hub: one that was made here would be unknown there.
            read = read_secret if settings.is_further_hub else read_or_create_secret
            secret = read(settings.hub_secret_path)
        except SecretFileError as error:
            raise ConfigurationError(str(error)) from None
        self.service = ServiceClient(
            settings.service_url,
            secret,
            deadline=settings.service.deadline_seconds,
            instance=self.instance if settings.service.managed else None,
        )
        self.providers: dict[str, Provider] = build_providers(settings, self.service, path.parent)
        self.sessions = SessionManager(self.service, settings)
        self.denied_users: set[str] = set()
        self.hub_db_lock = asyncio.Lock()
        """Held while a login is written to the hub's database."""
        self._refresh_tasks: dict[str, asyncio.Task[dict[str, Any] | bool]] = {}
        self._monitor: ServerMonitor | None = None
        self._sign_outs: SignOutProcessor | None = None
        self._start_checks: list[asyncio.Task[None]] = []

    # Each of these is a protection; `config_guard` refuses to start if the operator's configuration disables one.
    @default("manage_groups")
    def _manage_groups(self) -> bool:
        return True

    @default("enable_auth_state")
    def _enable_auth_state(self) -> bool:
        return True

    @default("refresh_pre_spawn")
    def _refresh_pre_spawn(self) -> bool:
        return True

    @default("auth_refresh_strict")
    def _auth_refresh_strict(self) -> bool:
        return True

    @default("any_allow_config")
    def _any_allow_config(self) -> bool:
        return True

    @default("allow_existing_users")
    def _allow_existing_users(self) -> bool:
        return False

    def get_handlers(self, app: Any) -> list[tuple[Any, ...]]:
        """Check the hub's final configuration, start the background loops, and return the handlers."""
        try:
            enforce(app, self.aizen_settings)
        except ConfigurationError as error:
            self.log.critical("%s", error)
            app.exit(1)
        self._monitor = ServerMonitor(app, self)
        self._monitor.start()
        self._sign_outs = SignOutProcessor(app, self._monitor)
        # First, because the base class lists a login page of its own.
        handlers = [
            (r"/login", LoginPageHandler),
            *super().get_handlers(app),
            *token_handlers(app, self.aizen_settings.hub_secret_path, self._monitor, self._sign_outs),
            reading_handler(self.aizen_settings, self.providers, self.service),
            (r"/error/(\d+)", PanelOutageHandler, {"service": SERVICE_NAME}),
            (
                rf"/services/{SERVICE_NAME}/([A-Za-z0-9/_.~%+,:=@-]*)",
                PanelRedirectHandler,
                {"service": SERVICE_NAME, "panel_url": self.aizen_settings.panel_url},
            ),
        ]
        handlers += spawn_handlers() + registration_guards()
        for provider in self.providers.values():
            if isinstance(provider, OidcProvider):
                handlers += oidc_handlers(provider, app, self._monitor)
            self._start_checks += start_checks(provider)
        handlers += registration_request.registration_handlers()
        if not self.aizen_settings.is_further_hub:  # these lead back to the panel, and its sign-in is not here
            handlers += reauthentication.reauthentication_handlers(SERVICE_NAME)
        return [*handlers, (r"/logout", OidcLogoutHandler)]

    def servers_without_session(self, name: str) -> list[str]:
        """Return a user's servers that run without a session, as of the last heartbeat, for the home page."""
        return [] if self._monitor is None else self._monitor.servers_without_session(name)

    def local_provider_names(self) -> frozenset[str]:
        """Return the providers whose accounts the service stores; those may require one-time codes."""
        return frozenset(provider.name for provider in self.aizen_settings.providers if provider.kind == "local")

    @default("request_otp")
    def _request_otp(self) -> bool:
        return bool(self.local_provider_names())

    @default("otp_prompt")
    def _otp_prompt(self) -> str:
        return "One-time code or recovery code (if you use one):"

    def provider_labels(self) -> list[tuple[str, str]]:
        """Return name and label of each provider, for the login page."""
        return [(provider.name, provider.label) for provider in self.providers.values()]

    def password_provider_labels(self) -> list[tuple[str, str]]:
        """Return name and label of each provider that checks a password from the form."""
        return [
            (provider.name, provider.label)
            for provider in self.providers.values()
            if isinstance(provider, PasswordProvider)
        ]

    def redirect_provider_labels(self) -> list[tuple[str, str]]:
        """Return name and label of each provider that signs users in on its own pages."""
        return [
            (provider.name, provider.label)
            for provider in self.providers.values()
            if isinstance(provider, OidcProvider)
        ]

    # -- names -----------------------------------------------------------------------------------------------------

    def normalize_username(self, username: str) -> str:
        """Fold case only: a ``username_map`` could turn one registered user into another."""
        return username.casefold()

    def validate_username(self, username: str) -> bool:
        """Match the whole name; the hub's own check accepts a line feed at the end (R28)."""
        pattern = self.username_pattern.removesuffix("$")
        return (
            bool(super().validate_username(username))
            and username.isprintable()
            and (not pattern or re.fullmatch(pattern, username) is not None)
        )

    def check_allowed(self, username: str, authentication: dict[str, Any] | None = None) -> bool:
        """Apply ``allowed_users`` where it is configured, also when it is empty (R6, R25)."""
        configured = any(
            "allowed_users" in self.config[base.__name__] for base in type(self).mro() if _is_section(base)
        )
        return not configured or username in self.allowed_users

    # -- login -----------------------------------------------------------------------------------------------------

    async def authenticate(self, handler: Any, data: Any) -> dict[str, Any] | None:
        """Check a password and report the login to the service; see `Authenticator.authenticate`.

        Returns
        -------
        dict or None
            None for a wrong name or password.

        Raises
        ------
        LoginDeniedError
            With the reason for the login page.
        """
        source = self.client_address(handler)
        if isinstance(data, OidcIdentity):
            return await self._admit_identity(handler, self.providers[data.identity.provider], data.identity, source)
        fields = _text_fields(data)
        provider = self._select_password_provider(fields.get("provider"))
        name, password = fields.get("username"), fields.get("password")
        if provider is None or name is None or password is None:
            return None
        try:
            identity = await provider.authenticate(name, password, totp=fields.get("otp") or None, source=source)
        except WrongCredentialsError:
            return None
        except ThrottledError as error:
            raise login_errors.throttled(error) from None
        except AccessDeniedError as error:
            raise login_errors.access_denied(str(error), provider.label) from None
        except ProviderUnreachableError as error:
            raise login_errors.provider_unreachable(str(error)) from None
        return await self._admit_identity(handler, provider, identity, source)

    def client_address(self, handler: Any) -> str | None:
        """Return the client's network address, from ``X-Forwarded-For`` only where the proxy is trusted (R121)."""
        request = getattr(handler, "request", None)
        return None if request is None else request_address(request, self.aizen_settings.service.trusted_proxies)

    async def _admit_identity(
        self, handler: Any, provider: Provider, identity: AuthenticatedIdentity, source: str | None
    ) -> dict[str, Any]:
        try:
            response = await report_login(self.service, identity, source)
        except AccessDeniedError as error:
            raise login_errors.access_denied(str(error), provider.label) from None
        except ProviderUnreachableError as error:
            raise login_errors.provider_unreachable(str(error)) from None
        if not response.is_admitted or response.user is None:
            self.log.warning(
                "`%s` of provider `%s` is not admitted: %s", printable(identity.name), provider.name, response.outcome
            )
            if response.outcome is LoginOutcome.NOT_REGISTERED and handler is not None:
                registration_request.offer_registration(handler, identity)
            raise login_errors.login_denied(response, identity, provider.label)
        if handler is not None:
            handler.aizen_provider = provider.name
        if self._sign_outs is not None:
            await self._sign_outs.process_at_login(response.user, response.sign_out_revision)
        return self._auth_model(response.user, identity, response.hub_user, response.sign_out_revision)

    async def refresh_user(self, user: Any, handler: Any = None) -> dict[str, Any] | bool:
        """Check again who the user is and whether they may stay; see `Authenticator.refresh_user`.

        While a directory or the service does not respond, users stay signed in for ``group_max_age_seconds`` after the
        last success; a server start requires the service in any case.
        """
        task = self._refresh_tasks.get(user.name)
        if task is None:
            # One page load causes many concurrent calls, which share one query to the provider.
            task = asyncio.ensure_future(self._refresh(user))
            self._refresh_tasks[user.name] = task
            task.add_done_callback(lambda _: self._refresh_tasks.pop(user.name, None))
        result = await asyncio.shield(task)
        if result is False and handler is not None and not hasattr(handler, "_token_authenticated"):
            # JupyterHub 6.1.1 reads this attribute of every handler after a failed refresh but sets it for tokens only;
            # without it, a user with an expired login sees an error 500 instead of the login page.
            handler._token_authenticated = False
        return dict(result) if isinstance(result, dict) else result

    async def _refresh(self, user: Any) -> dict[str, Any] | bool:
        saved = await SavedLogin.load(user)
        provider = self.providers.get(saved.provider) if saved is not None else None
        if provider is None or saved is None:
            return False
        try:
            identity = await provider.refresh(saved.subject, saved.name, saved.provider_state)
            if identity is not None and identity.provider_state != saved.provider_state:
                # At once: a replaced refresh token is unusable, and the caller may not store the result.
                await user.save_auth_state(saved.to_auth_state(identity.provider_state))
            response = await report_refresh(self.service, saved.provider, saved.subject, identity)
        except AccessDeniedError as error:
            self.log.warning("`%s` may not stay signed in: %s", user.name, error)
            self.denied_users.add(user.name)
            return False
        except LoginError as error:
            if isinstance(error, ProviderUnreachableError) and error.provider_state is not None:
                await user.save_auth_state(saved.to_auth_state(error.provider_state))
            is_recent = time.time() - saved.checked_at < self.aizen_settings.group_max_age_seconds
            self.log.warning(
                "`%s` could not be refreshed (%s)%s", user.name, error, "" if is_recent else ": signed out"
            )
            return is_recent
        if identity is None or response is None or not response.is_admitted or response.user != user.name:
            self.log.warning("`%s` may not stay signed in: %s", user.name, response.outcome if response else "gone")
            self.denied_users.add(user.name)
            return False
        self.denied_users.discard(user.name)
        if not identity.auth_state:
            identity = replace(identity, auth_state=saved.other_entries)
        # A refresh is no login: a sign-out that the hub has not done yet still applies to this one.
        done = self._sign_outs.last_revision(user.name, saved) if self._sign_outs is not None else None
        return self._auth_model(user.name, identity, response.hub_user, done)

    def _select_password_provider(self, name: str | None) -> PasswordProvider | None:
        providers = [provider for provider in self.providers.values() if isinstance(provider, PasswordProvider)]
        return next((provider for provider in providers if not name or provider.name == name), None)

    async def handle_reauthentication(self, handler: Any, identity: AuthenticatedIdentity) -> None:
        """Report a repeated login in this browser as a recent login, or as the login to link; a normal login follows.

        Does nothing where no user is signed in.

        Raises
        ------
        LoginDeniedError
            The login belongs to another user than the one who is signed in, or it was not linked.
        """
        user, label = handler.current_user, self.providers[identity.provider].label
        if user is None:
            return
        if reauthentication.consume_link_intent(handler, identity.provider):
            error = await reauthentication.report_link(handler, identity)
            if error is not None:
                raise login_errors.reauthentication_failed(f"the login was not linked: {error}", label)
            return
        saved = await SavedLogin.load(user)
        if saved is not None:
            error = await reauthentication.report_recent_login(handler, saved, identity)
            if error is not None:
                raise login_errors.reauthentication_failed(error, label)

    async def provider_logout_url(self, user: Any, return_url: str) -> str | None:
        """Return the URL that ends the user's session at the provider too, or None."""
        saved = await SavedLogin.load(user)
        provider = self.providers.get(saved.provider) if saved is not None else None
        if not isinstance(provider, OidcProvider) or saved is None:
            return None
        return await provider.logout_url(saved.provider_state, return_url)

    def _auth_model(
        self, name: str, identity: AuthenticatedIdentity, info: HubUserModel | None, sign_out_revision: int | None
    ) -> dict[str, Any]:
        return {
            "name": name,
            # Explicit: an omitted value would never remove the flag, and the flag opens every server.
            "admin": False,
            "groups": hub_group_names(info or HubUserModel()),
            "auth_state": SavedLogin.from_identity(identity, sign_out_revision).to_auth_state(),
        }

    # -- servers ---------------------------------------------------------------------------------------------------

    async def pre_spawn_start(self, user: Any, spawner: Any) -> None:
        """Open the session of this start, however it was requested; see `SessionManager.open_session`."""
        await self.sessions.open_session(user, spawner)

    async def post_spawn_stop(self, user: Any, spawner: Any) -> None:
        """End the session of this server."""
        await self.sessions.end_session(user, spawner)


def _text_fields(data: Any) -> dict[str, str]:
    # The hub's password-for-token endpoint passes arbitrary JSON here.
    if not isinstance(data, dict):
        return {}
    return {key: value for key, value in data.items() if isinstance(key, str) and isinstance(value, str)}


def _is_section(kind: type) -> bool:
    return issubclass(kind, Authenticator)

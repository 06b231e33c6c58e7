"""The authenticator of the hub: one login page, several providers, and a session for every server start."""

from __future__ import annotations

import asyncio
import re
import time
from pathlib import Path
from typing import Any

from jupyterhub.auth import Authenticator
from traitlets import Unicode, default

from aizen_hub.client.responses import LoginAnswer, Projection
from aizen_hub.client.secret_file import SecretFileError, read_or_make_secret
from aizen_hub.client.service_client import HubRoad
from aizen_hub.hub.config_guard import enforce
from aizen_hub.hub.hub_groups import hub_groups
from aizen_hub.hub.login import login_errors as refusal
from aizen_hub.hub.login import reauthentication as again
from aizen_hub.hub.login.auth_state import KeptSignIn
from aizen_hub.hub.login.login_page import LoginPage
from aizen_hub.hub.login.oidc.handlers import Proven, handlers_of
from aizen_hub.hub.login.oidc.logout import OidcLogout
from aizen_hub.hub.login.oidc.provider import OidcProvider
from aizen_hub.hub.login.provider import (
    LoginFailed,
    NotLetIn,
    PasswordProvider,
    Proof,
    Provider,
    ProviderUnreachable,
    Throttled,
    WrongCredentials,
    show,
)
from aizen_hub.hub.login.provider_factory import build_providers
from aizen_hub.hub.spawn.batch_port import PortHandler
from aizen_hub.hub.spawn.revocation_handler import RevokeHandler
from aizen_hub.hub.spawn.server_monitor import ServerLife
from aizen_hub.hub.spawn.server_session import SessionKeeper
from aizen_hub.problems import Problem, Unavailable
from aizen_hub.settings import ConfigurationError, Settings
from aizen_hub.validation.client_address import source_of


class AizenAuthenticator(Authenticator):
    """Proves who somebody is by one of the providers of aizen.yaml; the service says who may come in.

    The registration at the service is the one thing that lets a person in. ``allowed_users`` and ``blocked_users`` of
    the hub hold in addition; ``allow_all`` has no effect, and nobody becomes an administrator of the hub by its own
    configuration: the role AIZEN_ADMIN does that, for as long as it is held.
    """

    config_file = Unicode(
        "aizen.yaml",
        config=True,
        help="""
        The one configuration file, read by the hub and by the service.

        Example: `c.AizenAuthenticator.config_file = "/etc/aizen/aizen.yaml"`; `configure(c, …)` sets it.
        """,
    )
    instance = Unicode(
        config=True,
        help="""
        The id that the hub gave to the service it started. Set by `configure`; leave it alone. Warning: without it any
        process that takes the service's port on this machine can pose as the service.
        """,
    )

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        path = Path(self.config_file).absolute()
        self.aizen_settings = settings = Settings.load(path)
        try:
            secret = read_or_make_secret(settings.hub_secret_path)
        except SecretFileError as error:
            raise ConfigurationError(str(error)) from None
        self.road = HubRoad(
            settings.service_url,
            secret,
            deadline=settings.service.deadline_seconds,
            instance=self.instance if settings.service.managed else None,
        )
        self.providers: dict[str, Provider] = build_providers(settings, self.road, path.parent)
        self.sessions = SessionKeeper(self.road, settings)
        self.turned_away: set[str] = set()
        self.one_by_one = asyncio.Lock()
        """Held by the sign-in that the hub's database is being told of."""
        self._refreshing: dict[str, asyncio.Task[dict[str, Any] | bool]] = {}
        self._life: ServerLife | None = None

    # Each of these is a protection; `protections` refuses to start if the operator's configuration undoes one.
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
        """Check the hub's final configuration, start the background loops, and add the revocation address."""
        try:
            enforce(app, self.aizen_settings)
        except ConfigurationError as error:
            self.log.critical("%s", error)
            app.exit(1)
        self._life = ServerLife(app, self)
        self._life.start()
        revoke = {"app": app, "secret_path": self.aizen_settings.hub_secret_path, "life": self._life}
        # Ours first: the base class lists a login page of its own.
        found = [(r"/login", LoginPage), *super().get_handlers(app), (r"/api/aizen/revoke", RevokeHandler, revoke)]
        # Before batchspawner's own, also where that is loaded later.
        found.append((r"/api/batchspawner", PortHandler))
        for one in self.providers.values():
            if isinstance(one, OidcProvider):
                found += handlers_of(one, app, self._life)
        return [*found, *again.handlers("aizen"), (r"/logout", OidcLogout)]

    def without_session(self, name: str) -> list[str]:
        """Return the servers of a person that run without a session, as of the last heartbeat, for the home page."""
        return [] if self._life is None else self._life.without(name)

    def local_names(self) -> frozenset[str]:
        """Return the providers whose accounts are kept by the service, which may ask for one-time codes."""
        return frozenset(one.name for one in self.aizen_settings.providers if one.kind == "local")

    @default("request_otp")
    def _request_otp(self) -> bool:
        return bool(self.local_names())

    @default("otp_prompt")
    def _otp_prompt(self) -> str:
        return "One-time code (if you use one):"

    def login_choices(self) -> list[tuple[str, str]]:
        """Return name and label of each provider, for the login page."""
        return [(one.name, one.label) for one in self.providers.values()]

    def password_choices(self) -> list[tuple[str, str]]:
        """Return name and label of each provider that takes a password in the form."""
        return [(one.name, one.label) for one in self.providers.values() if isinstance(one, PasswordProvider)]

    def button_choices(self) -> list[tuple[str, str]]:
        """Return name and label of each provider that signs in at its own pages."""
        return [(one.name, one.label) for one in self.providers.values() if isinstance(one, OidcProvider)]

    # -- names -----------------------------------------------------------------------------------------------------

    def normalize_username(self, username: str) -> str:
        """Fold case only: a ``username_map`` could make one registered person another."""
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
            "allowed_users" in self.config[kind.__name__] for kind in type(self).mro() if _is_section(kind)
        )
        return not configured or username in self.allowed_users

    # -- signing in ------------------------------------------------------------------------------------------------

    async def authenticate(self, handler: Any, data: Any) -> dict[str, Any] | None:
        """Prove a password and ask the service; see `Authenticator.authenticate`.

        Raises
        ------
        LoginRefused
            With the reason for the login page; None stands for a wrong name or password.
        """
        source = self.source(handler)
        if isinstance(data, Proven):
            return await self._admit(handler, self.providers[data.proof.provider], data.proof, source)
        fields = _text_fields(data)
        provider = self._chosen(fields.get("provider"))
        name, password = fields.get("username"), fields.get("password")
        if provider is None or name is None or password is None:
            return None
        try:
            proof = await provider.prove(name, password, totp=fields.get("otp") or None, source=source)
        except WrongCredentials:
            return None
        except Throttled as error:
            raise refusal.throttled(error) from None
        except NotLetIn as error:
            raise refusal.not_let_in(str(error), provider.label) from None
        except ProviderUnreachable as error:
            raise refusal.unreachable(str(error)) from None
        return await self._admit(handler, provider, proof, source)

    def source(self, handler: Any) -> str | None:
        """Return the network address that a request came from, as far as that can be believed (R121)."""
        request = getattr(handler, "request", None)
        if request is None:
            return None
        # Tornado's `remote_ip` believes `X-Real-Ip` of anybody, and so would let each guess come from a new address.
        context = getattr(getattr(request, "connection", None), "context", None)
        peer = str(getattr(context, "_orig_remote_ip", None) or request.remote_ip or "")
        forwarded = request.headers.get_list("X-Forwarded-For")
        return source_of(peer, forwarded, self.aizen_settings.service.trusted_proxies)

    async def _admit(self, handler: Any, provider: Provider, proof: Proof, source: str | None) -> dict[str, Any]:
        try:
            answer = await self._report(proof, source)
        except NotLetIn as error:
            raise refusal.not_let_in(str(error), provider.label) from None
        except ProviderUnreachable as error:
            raise refusal.unreachable(str(error)) from None
        if answer.outcome != "admitted" or answer.user is None:
            self.log.warning("`%s` by `%s` is not admitted: %s", show(proof.name), provider.name, answer.outcome)
            raise refusal.not_admitted(answer, proof, provider.label)
        if handler is not None:
            handler.aizen_provider = provider.name
        return self._model(answer.user, proof, answer.projection)

    async def refresh_user(self, user: Any, handler: Any = None) -> dict[str, Any] | bool:
        """Ask again who this is and whether they may be here; see `Authenticator.refresh_user`.

        A directory or service that does not answer leaves people in for ``group_max_age_seconds`` after the last
        success and no longer; a start of a server needs the service anyway.
        """
        task = self._refreshing.get(user.name)
        if task is None:
            # One page load asks many times at once; the directory is asked once.
            task = asyncio.ensure_future(self._refresh(user))
            self._refreshing[user.name] = task
            task.add_done_callback(lambda _: self._refreshing.pop(user.name, None))
        result = await asyncio.shield(task)
        if result is False and handler is not None and not hasattr(handler, "_token_authenticated"):
            # JupyterHub 6.1.1 reads this of every handler after a failed refresh and sets it for tokens only; without
            # it, a person with an expired sign-in sees an error 500 instead of the login page.
            handler._token_authenticated = False
        return dict(result) if isinstance(result, dict) else result

    async def _refresh(self, user: Any) -> dict[str, Any] | bool:
        known = await KeptSignIn.of_user(user)
        provider = self.providers.get(known.provider) if known is not None else None
        if provider is None or known is None:
            return False
        try:
            proof = await provider.look_up(known.subject, known.name, known.keep)
            if proof is not None and proof.keep != known.keep:
                # At once: a refresh token that was replaced is worth nothing, and whoever asked may not store the rest.
                await user.save_auth_state(known.state(proof.keep))
            answer = None if proof is None else await self._report(proof, None, refresh=True)
        except NotLetIn as error:
            self.log.warning("`%s` may not be here any more: %s", user.name, error)
            self.turned_away.add(user.name)
            return False
        except LoginFailed as error:
            if isinstance(error, ProviderUnreachable) and error.keep is not None:
                await user.save_auth_state(known.state(error.keep))
            fresh = time.time() - known.checked_at < self.aizen_settings.group_max_age_seconds
            self.log.warning("`%s` cannot be checked again (%s)%s", user.name, error, "" if fresh else ": signed out")
            return fresh
        if proof is None or answer is None or answer.outcome != "admitted" or answer.user != user.name:
            self.log.warning("`%s` may not be here any more: %s", user.name, answer.outcome if answer else "gone")
            self.turned_away.add(user.name)
            return False
        self.turned_away.discard(user.name)
        return self._model(str(answer.user), proof, answer.projection)

    async def _report(self, proof: Proof, source: str | None, *, refresh: bool = False) -> LoginAnswer:
        try:
            return await self.road.login(
                proof.provider,
                proof.subject,
                proof.name,
                display_name=proof.display_name,
                email=proof.email,
                groups=proof.groups,
                source=source,
                typed=proof.typed,
                refresh=refresh,
            )
        except Unavailable as error:
            self.log.error("login report: %s", error.detail)
            raise ProviderUnreachable(
                "your password was right, but the access service does not answer; try again in a moment"
            ) from None
        except Problem as error:
            self.log.error("login report for `%s`: %s", show(proof.name), error.detail)
            raise NotLetIn(f"the access service refused this sign-in: {error.detail}") from None

    def _chosen(self, name: str | None) -> PasswordProvider | None:
        found = [one for one in self.providers.values() if isinstance(one, PasswordProvider)]
        return next((one for one in found if not name or one.name == name), None)

    async def signed_in_again(self, handler: Any, proof: Proof) -> None:
        """Hear that the person at this browser has just proven again who they are; an ordinary sign-in follows.

        Where somebody is signed in already, it counts as their fresh sign-in, or links a login if they set out to.

        Raises
        ------
        LoginRefused
            It was somebody else, whom this browser must not become in passing; or the login was not linked.
        """
        user, label = handler.current_user, self.providers[proof.provider].label
        if user is None:
            return
        if again.linking(handler, proof.provider):
            fault = await again.report_link(handler, proof)
            if fault is not None:
                raise refusal.not_counted(f"the login was not linked: {fault}", label)
            return
        known = await KeptSignIn.of_user(user)
        if known is not None:
            fault = await again.report_fresh(handler, known, proof)
            if fault is not None:
                raise refusal.not_counted(fault, label)

    async def logout_address(self, user: Any, back: str) -> str | None:
        """Return where somebody who signs out goes to end their session at the provider too, or None."""
        known = await KeptSignIn.of_user(user)
        provider = self.providers.get(known.provider) if known is not None else None
        if not isinstance(provider, OidcProvider) or known is None:
            return None
        return await provider.logout_url(known.keep, back)

    def _model(self, name: str, proof: Proof, projection: Projection | None) -> dict[str, Any]:
        return {
            "name": name,
            # Explicit: an omitted value would never take the flag away again, and the flag opens every server.
            "admin": False,
            "groups": hub_groups(projection or Projection()),
            "auth_state": KeptSignIn.of_proof(proof).state(),
        }

    # -- servers ---------------------------------------------------------------------------------------------------

    async def pre_spawn_start(self, user: Any, spawner: Any) -> None:
        """Open the session of this start, whatever road it came by; see `SessionKeeper.open`."""
        await self.sessions.open(user, spawner)

    async def post_spawn_stop(self, user: Any, spawner: Any) -> None:
        """End the session of this server."""
        await self.sessions.close(user, spawner)


def _text_fields(data: Any) -> dict[str, str]:
    # The hub's password-for-token address passes JSON of any shape here.
    if not isinstance(data, dict):
        return {}
    return {key: value for key, value in data.items() if isinstance(key, str) and isinstance(value, str)}


def _is_section(kind: type) -> bool:
    return issubclass(kind, Authenticator)

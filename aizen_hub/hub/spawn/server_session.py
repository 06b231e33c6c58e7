"""Session of a server start: opened before every start, ended after every stop."""

from __future__ import annotations

import asyncio
import logging
import os
import pwd
import re
from collections.abc import Collection, Mapping
from html import escape
from typing import Any
from urllib.parse import urlencode

from jupyterhub.spawner import LocalProcessSpawner, SimpleLocalProcessSpawner, SpawnException
from markupsafe import Markup

from aizen_hub.api_models.sessions import OpenSessionResponse
from aizen_hub.client.service_client import ServiceClient
from aizen_hub.hub.service_outage import describe_outage
from aizen_hub.hub.spawn.resource_limits import ResourceLimits
from aizen_hub.problems import NotFound, Problem, Unavailable
from aizen_hub.settings import Settings
from aizen_hub.tokens.opaque_token import hash_credential
from aizen_hub.validation.printable import excerpt

log = logging.getLogger("aizen_hub.spawn")

MAX_PROJECT = 256
_NAME = re.compile(r"`([^`]*)`")


class SessionManager:
    """Opens and ends sessions at the service.

    Called from the authenticator, because `Spawner.pre_spawn_hook` and the options form can be replaced, or bypassed
    by a link, the API or stored options (F7, R34).
    """

    def __init__(self, service: ServiceClient, settings: Settings) -> None:
        self._service = service
        self._settings = settings
        self.heartbeat_idle = asyncio.Event()
        """Cleared during a heartbeat: a session opened then would be missing from its list, and would be ended."""
        self.heartbeat_idle.set()

    async def open_session(self, user: Any, spawner: Any) -> None:
        """Open the session, and set the server's token, environment, limits and the options that reach the spawner.

        Raises
        ------
        SpawnException
            The start is denied, with the reason (403), or the service does not respond (503).
        """
        project = selected_project(spawner.user_options)
        restrict_user_options(spawner, project, self._settings.spawn.user_options)
        requester = requester_of(spawner)
        if requester != user.name:
            raise spawn_error(
                f"a server of `{user.name}` can be started by `{user.name}` only: its notebooks act with their rights",
                "requester",
            )
        if not self._settings.insecure_same_uid:
            require_unprivileged_uid(user.name, spawner)
        await self.heartbeat_idle.wait()
        spawner.aizen_session_unanswered = False
        try:
            opened = await self._service.open_session(
                user.name, user.name, spawner.name, project, hash_credential(spawner.api_token)
            )
        except Unavailable as error:
            spawner.aizen_session_unanswered = True
            log.error("session for `%s`: %s", user.name, error.detail)
            raise spawn_error(
                f"{describe_outage(error)}; no server can start meanwhile",
                "access-service",
                status=503,
            ) from None
        except NotFound:
            raise spawn_error(
                f"there is no project `{project}` that you may enter",
                "project",
                "choose one from the list",
                why=why_address(spawner, project),
            ) from None
        except Problem as error:
            raise spawn_error(error.detail, error.slug, error.remedy, why=why_address(spawner, project)) from None
        require_usable_limits(opened.limits)
        self._configure_spawner(spawner, opened)
        log.info("session %s: `%s`, server `%s`, project `%s`", opened.session, user.name, spawner.name, project or "")

    async def end_session(self, user: Any, spawner: Any) -> None:
        """End the session; if that fails, the next heartbeat ends it.

        After a start that the service did not answer, only the heartbeat does: a second wait for it would take longer
        than the ten seconds after which JupyterHub answers the start itself, with an error that says nothing.
        """
        if getattr(spawner, "aizen_session_unanswered", False):
            return
        try:
            await self._service.end_session(user.name, spawner.name, "the server stopped")
        except Problem as error:
            log.warning(
                "the session of `%s`, server `%s`, will be ended later: %s", user.name, spawner.name, error.detail
            )

    def _configure_spawner(self, spawner: Any, opened: OpenSessionResponse) -> None:
        spawner.environment = {
            **spawner.environment,
            "AIZEN_URL": self._settings.service_url,
            "AIZEN_PROJECT": opened.project or "",
            **opened.environment,
            "AIZEN_TOKEN": opened.token,
        }
        spawner.aizen_roles = opened.roles  # for the page of the start
        pod_identity = self._settings.pod_identity
        spawner.aizen_pod_audience = None if pod_identity is None else pod_identity.audience_of(opened.session)
        if not hasattr(spawner, "aizen_limits"):
            spawner.aizen_limits = ResourceLimits(spawner)  # the object may be reused for later starts
        spawner.aizen_limits.set_ceilings(opened.limits.get("memory"), opened.limits.get("cpu"))


def selected_project(options: Any) -> str | None:
    """Return the project of a start, or None for a system session, which an empty name requests.

    Only ``user_options["project"]`` is read: a text, or the list with one text that a form sends.

    Raises
    ------
    SpawnException
        No project, several, or not text.
    """
    value = options.get("project") if isinstance(options, Mapping) else None
    if isinstance(value, list | tuple) and len(value) == 1:
        value = value[0]
    if value is None:
        raise spawn_error(
            "no project was chosen", "project-required", "start the server from its spawn page", status=400
        )
    if not isinstance(value, str) or len(value) > MAX_PROJECT or not value.isprintable():
        raise spawn_error("`project` must be the name of one project", "project", status=400)
    return value or None


def restrict_user_options(spawner: Any, project: str | None, permitted: Collection[str]) -> None:
    """Remove every option of the user except ``project`` and the permitted ones, also from the stored options (R138).

    Spawners trust these values: batchspawner puts each of them over its own setting ``req_…``, so that `options` and
    `prologue` would change the account of a batch job and run commands in it. They arrive here as the user sent them,
    by the form, a link, the API, or from the last start. This runs before any part of the spawner reads them.
    """
    options = spawner.user_options
    dropped = sorted(str(name) for name in options if name != "project" and name not in permitted)
    if dropped:
        log.warning(
            "options that a user may not set were dropped (`spawn.user_options` lists the permitted ones): %s",
            excerpt(", ".join(dropped)),
        )
    spawner.user_options = {name: options[name] for name in options if name in permitted} | {"project": project or ""}
    if getattr(spawner, "orm_spawner", None) is not None:
        # Used by a start without options, and by a hub that was restarted.
        spawner.orm_spawner.user_options = spawner.user_options


def requester_of(spawner: Any) -> str | None:
    """Return the name of the user who requested this start; None for services and automatic starts."""
    requester = getattr(spawner.handler, "current_user", None) if spawner.handler is not None else None
    # Names of hub services are in another name space (R30).
    return str(requester.name) if requester is not None and requester.kind == "user" else None


def require_unprivileged_uid(name: str, spawner: Any) -> None:
    """Deny a start whose kernels would run under the account of the hub, and so could read every secret."""
    is_batch_job = any(base.__name__ == "BatchSpawnerBase" for base in type(spawner).mro())  # may not be installed
    if not is_batch_job and (
        not isinstance(spawner, LocalProcessSpawner) or isinstance(spawner, SimpleLocalProcessSpawner)
    ):
        return
    try:
        uid = pwd.getpwnam(name).pw_uid
    except KeyError:
        raise spawn_error(f"there is no account `{name}` on this machine", "account") from None
    if uid in (0, os.geteuid()):
        raise spawn_error(
            f"the account `{name}` of this machine is root or that of the hub: notebooks cannot run under it", "account"
        )


def require_usable_limits(limits: Mapping[str, float | None]) -> None:
    """Deny a start without memory or cores: spawners read 0 as no limit."""
    for name, unit in (("memory", "memory"), ("cpu", "processor cores")):
        if limits.get(name) == 0:
            raise spawn_error(
                f"your limits allow no {unit} here, so no server can start",
                "limit",
                "ask an administrator of the project for a higher limit",
            )


def why_address(spawner: Any, project: str | None) -> str:
    """Return the path of the panel's page that explains whether the user may enter a project."""
    query = {"do": "enter:project", **({"in": project} if project else {})}
    return f"{panel_path(spawner)}why?{urlencode(query)}"


def panel_path(spawner: Any) -> str:
    """Return the path of the panel below the hub's address."""
    return f"{str(spawner.hub.base_url).removesuffix('hub/')}services/aizen/"


def spawn_error(
    message: str, reason: str, remedy: str | None = None, status: int = 403, *, why: str | None = None
) -> SpawnException:
    """Return the exception that the spawn page shows.

    Parameters
    ----------
    why : str, optional
        Path of the page that explains the refusal.
    """
    text = message[:1].upper() + message[1:]
    full_text = f"{text}. {remedy[:1].upper()}{remedy[1:]}." if remedy else f"{text}."
    html_text = _NAME.sub(r"<code>\1</code>", escape(full_text))
    if why is not None:
        full_text = f"{full_text} Why: {why}"
        html_text = f'{html_text} <a href="{escape(why)}">Why</a>'
    exception = SpawnException(full_text, reason=reason, message_html=html_text, status_code=status)
    # The spawn page shows this text where it is set, and otherwise the exception with its type and status.
    exception.jupyterhub_message = full_text
    exception.jupyterhub_html_message = Markup(html_text)  # noqa: S704 - escaped above
    return exception

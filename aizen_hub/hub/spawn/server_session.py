"""The session of one server start: opened before every start, ended after every stop."""

from __future__ import annotations

import asyncio
import logging
import os
import pwd
from collections.abc import Mapping
from html import escape
from typing import Any
from weakref import WeakKeyDictionary

from jupyterhub.spawner import LocalProcessSpawner, SimpleLocalProcessSpawner, SpawnException

from aizen_hub.client.responses import Opened
from aizen_hub.client.service_client import HubRoad
from aizen_hub.problems import NotFound, Problem, Unavailable
from aizen_hub.settings import Settings
from aizen_hub.tokens.opaque_token import hash_credential

log = logging.getLogger("aizen_hub.spawn")

MAX_PROJECT = 256


class SessionKeeper:
    """Opens and ends sessions at the service.

    The hub calls it from the authenticator, because `Spawner.pre_spawn_hook` and the options form can be replaced or
    gone round by a link, the API or stored options (F7, R34), and this cannot.
    """

    def __init__(self, road: HubRoad, settings: Settings) -> None:
        self._road = road
        self._settings = settings
        self._configured: WeakKeyDictionary[Any, tuple[float | None, float | None]] = WeakKeyDictionary()
        self.quiet = asyncio.Event()
        """Not set while a heartbeat is under way: a session opened then would be missing from its list, and end."""
        self.quiet.set()

    async def open(self, user: Any, spawner: Any) -> None:
        """Open the session, and give the server its token, environment and limits.

        Raises
        ------
        SpawnException
            The start is refused, with the reason in plain words (403), or the service does not answer (503).
        """
        project = chosen_project(spawner.user_options)
        requester = requester_of(spawner)
        if requester != user.name:
            raise refused(
                f"a server of `{user.name}` can be started by `{user.name}` only: its notebooks act with their rights",
                "requester",
            )
        if not self._settings.insecure_same_uid:
            check_uid(user.name, spawner)
        await self.quiet.wait()
        try:
            opened = await self._road.open_session(
                user.name, user.name, spawner.name, project, hash_credential(spawner.api_token)
            )
        except Unavailable as error:
            log.error("session for `%s`: %s", user.name, error.detail)
            raise refused(
                "the access service does not answer, so nobody can say what this server may do; try again in a moment",
                "access-service",
                status=503,
            ) from None
        except NotFound:
            raise refused(
                f"there is no project `{project}` that you may enter", "project", "choose one from the list"
            ) from None
        except Problem as error:
            raise refused(error.detail, error.slug, error.remedy) from None
        self._equip(spawner, opened)
        log.info("session %s: `%s`, server `%s`, project `%s`", opened.session, user.name, spawner.name, project or "")

    async def close(self, user: Any, spawner: Any) -> None:
        """End the session; if that fails, the next heartbeat does it."""
        try:
            await self._road.end_session(user.name, spawner.name, "the server stopped")
        except Problem as error:
            log.warning("the session of `%s`, server `%s`, ends later: %s", user.name, spawner.name, error.detail)

    def _equip(self, spawner: Any, opened: Opened) -> None:
        spawner.environment = {
            **spawner.environment,
            "AIZEN_URL": self._settings.service_url,
            "AIZEN_PROJECT": opened.project or "",
            **opened.environment,
            "AIZEN_TOKEN": opened.token,
        }
        # The spawner object may be used again, with other limits then: start from what was configured.
        memory, cores = self._configured.setdefault(spawner, (spawner.mem_limit, spawner.cpu_limit))
        spawner.mem_limit = strictest(memory, opened.limits.get("memory"), int)
        spawner.cpu_limit = strictest(cores, opened.limits.get("cpu"), float)


def chosen_project(options: Any) -> str | None:
    """Return the project of a start, or None for a system session, which is asked for by an empty name.

    Only ``user_options["project"]`` counts: text, or the list of one text that a form sends.

    Raises
    ------
    SpawnException
        Nothing chosen, several, or not text.
    """
    value = options.get("project") if isinstance(options, Mapping) else None
    if isinstance(value, list | tuple) and len(value) == 1:
        value = value[0]
    if value is None:
        raise refused("no project was chosen", "project-required", "start the server from its start page", status=400)
    if not isinstance(value, str) or len(value) > MAX_PROJECT or not value.isprintable():
        raise refused("`project` must be the name of one project", "project", status=400)
    return value or None


def requester_of(spawner: Any) -> str | None:
    """Return the name of the person who asked for this start; None for services and where nobody did."""
    current = getattr(spawner.handler, "current_user", None) if spawner.handler is not None else None
    # A service of the hub has a name too, from another name space (R30).
    return str(current.name) if current is not None and current.kind == "user" else None


def check_uid(name: str, spawner: Any) -> None:
    """Refuse a start whose kernels would run under the account of the hub, and so could read every secret."""
    if not isinstance(spawner, LocalProcessSpawner) or isinstance(spawner, SimpleLocalProcessSpawner):
        return
    try:
        uid = pwd.getpwnam(name).pw_uid
    except KeyError:
        raise refused(f"there is no account `{name}` on this machine", "account") from None
    if uid in (0, os.geteuid()):
        raise refused(
            f"the account `{name}` of this machine is the hub's own or root: no notebook runs as it", "account"
        )


def strictest(configured: float | None, limit: float | None, kind: type) -> Any:
    """Return the smaller of two limits, where None and 0 of the configured one mean no limit."""
    given = [value for value in (configured or None, limit) if value is not None]
    return kind(min(given)) if given else None


def refused(sentence: str, reason: str, remedy: str | None = None, status: int = 403) -> SpawnException:
    """Return the exception that the start page shows."""
    text = sentence[:1].upper() + sentence[1:]
    whole = f"{text}. {remedy[:1].upper()}{remedy[1:]}." if remedy else f"{text}."
    html = f"{escape(text)}.<br>{escape(remedy[:1].upper() + remedy[1:])}." if remedy else f"{escape(text)}."
    exception = SpawnException(whole, reason=reason, message_html=html, status_code=status)
    # The start page shows this where it is set, and otherwise the exception with its type and status.
    exception.jupyterhub_message = whole
    return exception

"""Progress of a server start, without internal addresses."""

from __future__ import annotations

import re
import string
from typing import Any

from jupyterhub.apihandlers.users import SpawnProgressAPIHandler

_ADDRESS = re.compile(
    r"""
    [a-z][a-z0-9+.-]{0,31}://[^\s'"<>`)]+                # a URL
    | \[[0-9a-f:.]{0,45}:[0-9a-f:.]{0,45}\](?::\d{1,5})?  # IPv6
    | (?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?::\d{1,5})?\b    # IPv4
    | (?<![\w.-])(?=[\w.-]{0,2000}[a-z])[\w.-]{1,2000}:\d{2,5}\b  # host:port
    """,
    re.IGNORECASE | re.VERBOSE,
)

MAX_TEXT = 2000
_ADDRESS_CHARACTERS = f"{string.ascii_letters}{string.digits}_.:/[]@%+-"


class ProgressHandler(SpawnProgressAPIHandler):
    """``GET /hub/api/users/…/progress``: the hub's event stream, which the page of a starting server shows.

    The last event of a failed start has the text of the exception, which names the address where the hub tried
    to reach the server. That is of no use to the user, and in the hub's log.
    """

    _sent_roles = False

    async def send_event(self, event: dict[str, Any]) -> None:
        if not self._sent_roles:
            self._sent_roles = True
            for role_event in self._role_events():
                await super().send_event(role_event)
        if event.get("failed"):
            event = {
                name: hide_addresses(value) if name in ("message", "html_message") else value
                for name, value in event.items()
            }
        await super().send_event(event)

    def _role_events(self) -> list[dict[str, Any]]:
        """Return what holds in the server, and where it comes from: before everything else."""
        user = self.find_user(self.path_args[0])
        server = self.path_args[1] if len(self.path_args) > 1 else ""
        spawner = None if user is None else user.spawners.get(server or "")
        project = "" if spawner is None else (spawner.user_options or {}).get("project") or "no project"
        return [
            {"progress": 5, "message": f"In {project}: {sentence}"} for sentence in getattr(spawner, "aizen_roles", ())
        ]


def hide_addresses(text: Any) -> str:
    """Return a text with every URL, IP address and ``host:port`` replaced.

    A long text is cut; the whole of it is in the log.
    """
    text = str(text)
    if len(text) > MAX_TEXT:
        # Without its last word, which may be the first half of an address.
        text = text[:MAX_TEXT].rstrip(_ADDRESS_CHARACTERS) + "…"
    return _ADDRESS.sub("an internal address", text)


def progress_handlers() -> list[tuple[Any, ...]]:
    """Return the handlers that replace those of the hub, for `Authenticator.get_handlers`."""
    return [
        (r"/api/users/([^/]+)/server/progress", ProgressHandler),
        (r"/api/users/([^/]+)/servers/([^/]*)/progress", ProgressHandler),
    ]

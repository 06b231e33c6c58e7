"""The name of a server for display: two hubs that share this service may each have one of the same name."""

from __future__ import annotations

from typing import Any

from aizen_hub.hub_settings import MAIN_HUB


def server_label(session: Any) -> str:
    """Return the name of the server of a session (a row), with its hub where that is a further one."""
    name = session.server or "default server"
    return name if session.hub == MAIN_HUB else f"{name} at {session.hub}"

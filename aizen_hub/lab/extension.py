"""What aizen-hub changes in a Jupyter server: its handlers, and a file less."""

from __future__ import annotations

import os
from typing import Any

from jupyter_server.utils import url_path_join

from aizen_hub.lab.allowed_calls import ALLOWED_CALLS
from aizen_hub.lab.handlers import ServiceCallHandler
from aizen_hub.lab.service_caller import ServiceCaller
from aizen_hub.notebook.errors import AizenError

PAGE_CONFIG_KEY = "aizen"
"""Tells the browser part that this server has a session; without it the extension stays silent."""


def omit_page_file(server_app: Any) -> None:
    """Let a server that aizen-hub started write no page for its own browser: it has none.

    The page holds the token of the server, which is its hub token, and its mode lets other accounts read it; only that
    of the folder keeps them out. There is no option for it.

    Parameters
    ----------
    server_app : jupyter_server.serverapp.ServerApp
    """
    if os.environ.get("AIZEN_URL"):
        server_app.no_browser_open_file = True


def add_handlers(server_app: Any) -> None:
    """Add the handlers to a Jupyter server that aizen-hub started, and to no other.

    Parameters
    ----------
    server_app : jupyter_server.serverapp.ServerApp
    """
    if not os.environ.get("AIZEN_URL"):
        return
    try:
        caller = ServiceCaller.from_environment()
    except AizenError as error:
        server_app.log.error("aizen: the Access panel is not available: %s", error)
        return
    web_app = server_app.web_app
    base_url = web_app.settings["base_url"]
    web_app.add_handlers(
        ".*$",
        [
            (url_path_join(base_url, "aizen", call.pattern), ServiceCallHandler, {"call": call, "caller": caller})
            for call in ALLOWED_CALLS
        ],
    )
    web_app.settings.setdefault("page_config_data", {})[PAGE_CONFIG_KEY] = True

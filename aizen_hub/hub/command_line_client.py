"""The OAuth client of ``aizen-hub login`` in ``c.JupyterHub.services``."""

from __future__ import annotations

from typing import Any

from aizen_hub.api_models.command_line import CLIENT_ID, DONE_PAGE, HUB_SERVICE, client_secret
from aizen_hub.hub.scope_guard import SERVICE_NAME, SERVICE_SCOPE


def add_client(c: Any, api_token: str) -> None:
    """Add the client, which is no service that runs, and has no rights at the hub."""
    base_url = str(c.JupyterHub.get("base_url", "/")).rstrip("/")
    c.JupyterHub.services.append(
        {
            "name": HUB_SERVICE,
            "oauth_client_id": CLIENT_ID,
            # A path, so that it also holds where the panel has a host of its own, to which the hub's host redirects.
            "oauth_redirect_uri": f"{base_url}/services/{SERVICE_NAME}/{DONE_PAGE}",
            "oauth_client_allowed_scopes": [SERVICE_SCOPE],
            # The panel asks before, and shows what the terminal shows.
            "oauth_no_confirm": True,
            "api_token": client_secret(api_token),
            "display": False,
        }
    )

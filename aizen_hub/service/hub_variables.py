"""The variables by which a service knows its hub: the hub sets them, or `hub` of aizen.yaml replaces them."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from aizen_hub.hub_settings import HubSettings
from aizen_hub.secret_files import read_secret
from aizen_hub.settings import Settings

_SERVICE = "aizen"


def hub_variables(settings: Settings, environ: Mapping[str, str]) -> Mapping[str, str]:
    """Return the variables of the process, completed from `hub` of aizen.yaml where that is set.

    Variables that are set win, so that a service that the hub starts has the hub's own values.

    Raises
    ------
    SecretFileError
        The file with the service's API token cannot be used.
    """
    hub = settings.hub
    if hub is None:
        return environ
    url, prefix = hub.url.rstrip("/"), f"{hub.base_url}services/{_SERVICE}/"
    values = {
        "JUPYTERHUB_API_URL": hub.api_url.rstrip("/"),
        "JUPYTERHUB_CLIENT_ID": hub.client_id,
        "JUPYTERHUB_BASE_URL": hub.base_url,
        "JUPYTERHUB_SERVICE_PREFIX": prefix,
        "JUPYTERHUB_PUBLIC_URL": _panel_host(hub) + prefix,
    }
    if hub.subdomains:
        values["JUPYTERHUB_HOST"] = url
    if not environ.get("JUPYTERHUB_API_TOKEN"):
        values["JUPYTERHUB_API_TOKEN"] = read_secret(settings.api_token_path)
    return values | {name: value for name, value in environ.items() if value}


def _panel_host(hub: HubSettings) -> str:
    """Return scheme and host of the panel: JupyterHub's default hook puts services at ``name--service``."""
    parts = urlsplit(hub.url)
    return (
        f"{parts.scheme}://{_SERVICE}--service.{parts.netloc}" if hub.subdomains else f"{parts.scheme}://{parts.netloc}"
    )

"""The files of a service that the hub does not start: settings, and the secrets that hub and replicas share."""

from __future__ import annotations

import json
from dataclasses import dataclass
from urllib.parse import urlsplit

from aizen_hub.secret_files import read_or_create_secret
from aizen_hub.settings import Settings
from aizen_hub.tokens.key_encryption import KeyEncryption

_HUB = """\
hub:
  # Address of the hub in browsers. `subdomains`: whether the hub has it as its `subdomain_host`.
  url: {hub_url}
  subdomains: {subdomains}
  # Address of the hub's API for the service.
  api_url: {api_url}
  # File with the service's token at the hub; both sides need it.
  api_token_file: aizen-data/service-api-token
"""
_BOTH, _REPLICAS = "the hub's machine and every replica", "every replica, and a backup apart from that of the database"


@dataclass(frozen=True, slots=True)
class ReplicaOptions:
    """What the settings of a separate service need.

    Attributes
    ----------
    hub_url : str
        The hub in browsers.
    api_url : str
        The hub's API for the service.
    service_url : str
        The service for hub, kernels and core.
    database : str
    """

    hub_url: str
    api_url: str
    service_url: str
    database: str


def replica_settings(example: str, options: ReplicaOptions, *, subdomains: bool) -> str:
    """Return the commented ``aizen.yaml`` of an installation whose service runs by itself."""
    hub = _HUB.format(hub_url=options.hub_url, subdomains=str(subdomains).lower(), api_url=options.api_url)
    start = example.index("# hub:\n")
    end = example.index("\n\n", start) + 1
    text = example[:start] + hub + example[end:]
    parts = urlsplit(options.service_url)
    host = "127.0.0.1" if parts.hostname in ("127.0.0.1", "localhost") else "0.0.0.0"  # noqa: S104 - behind a balancer
    for old, new in (
        ("# database: postgresql+psycopg://aizen@db.example.org/aizen", f"database: {json.dumps(options.database)}"),
        ("  host: 127.0.0.1\n", f"  host: {host}\n"),
        ("  # url: https://aizen.example.org", f"  url: {options.service_url}"),
        ("  # managed: true", "  managed: false"),
        ("# hub_secret_file:", "hub_secret_file:"),
        ("# key_encryption_file:", "key_encryption_file:"),
    ):
        if old not in text:
            raise ValueError(f"the example has no line `{old}`")
        text = text.replace(old, new, 1)
    return text


def create_shared_secrets(settings: Settings) -> list[tuple[str, str]]:
    """Create the secrets that hub and replicas share, and return each file with where it belongs; existing ones stay.

    Raises
    ------
    SecretFileError, KeyFileError
        An existing file cannot be used.
    """
    settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    read_or_create_secret(settings.hub_secret_path)
    read_or_create_secret(settings.api_token_path)
    KeyEncryption.create(settings.key_encryption_path)
    return [
        (str(settings.hub_secret_path), _BOTH),
        (str(settings.api_token_path), _BOTH),
        (str(settings.key_encryption_path), _REPLICAS),
    ]

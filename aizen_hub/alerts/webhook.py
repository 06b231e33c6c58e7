"""Delivery of one alert by HTTP POST to the configured URL; never to a URL from a user (T-52)."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import re
import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import SplitResult, urlsplit

_SECONDS = 10.0
SIGNATURE = "X-Aizen-Signature"
_PRINTABLE = re.compile("[!-~]+")


class WebhookError(Exception):
    """The alert was not accepted; the message never holds the address, which is often a secret."""


def send_webhook(url: str, secret: bytes | None, body: Mapping[str, Any]) -> None:
    """Post one JSON object; with a secret, its HMAC-SHA-256 is sent as ``X-Aizen-Signature: sha256=…``.

    Redirects are not followed. Blocks up to ten seconds per step, so never on an event loop.

    Raises
    ------
    WebhookError
        The address is invalid, or the response is not 2xx.
    OSError, http.client.HTTPException
        No connection, or no complete response in time.
    """
    parts = _parse_address(url)
    data = json.dumps(body, separators=(",", ":"), sort_keys=True).encode()
    headers = {"Content-Type": "application/json"}
    if secret:
        headers[SIGNATURE] = "sha256=" + hmac.new(secret, data, hashlib.sha256).hexdigest()
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        connection = http.client.HTTPSConnection(parts.netloc, timeout=_SECONDS, context=ssl.create_default_context())
    else:
        connection = http.client.HTTPConnection(parts.netloc, timeout=_SECONDS)
    try:
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("POST", target, body=data, headers=headers)
        response = connection.getresponse()
        response.read(1024)
        if not 200 <= response.status < 300:
            raise WebhookError(f"the webhook responded with status {response.status}")
    finally:
        connection.close()


def _parse_address(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises ValueError for what is no port
        # A name and password before the host are not sent, and would be taken for a part of the host.
        if (
            _PRINTABLE.fullmatch(url)
            and parts.scheme in ("http", "https")
            and parts.hostname
            and "@" not in parts.netloc
        ):
            return parts
    except ValueError:
        pass
    raise WebhookError("the address of the webhook is not a valid http or https address")

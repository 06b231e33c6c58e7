"""Delivery of one alert by HTTP POST to the configured URL; never to a URL from a user (T-52)."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

_SECONDS = 10.0
SIGNATURE = "X-Aizen-Signature"


def send_webhook(url: str, secret: bytes | None, body: Mapping[str, Any]) -> None:
    """Post one JSON object; with a secret, its HMAC-SHA-256 is sent as ``X-Aizen-Signature: sha256=…``.

    Redirects are not followed. Blocks up to ten seconds per step, so never on an event loop.

    Raises
    ------
    OSError, http.client.HTTPException
        No connection, no response in time, or a response that is not 2xx.
    """
    parts = urlsplit(url)
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
            raise http.client.HTTPException(f"the webhook responded with status {response.status}")
    finally:
        connection.close()

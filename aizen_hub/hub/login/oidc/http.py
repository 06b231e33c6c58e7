"""HTTP client for identity providers: https or loopback, no redirects, bounded responses (T-12)."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from tornado.httpclient import HTTPClientError, HTTPRequest, HTTPResponse

from aizen_hub.client.http_client import CertificateError, HttpClient, HttpError
from aizen_hub.hub.login.provider import printable
from aizen_hub.problems import Problem
from aizen_hub.validation import strict_json

MAX_RESPONSE = 1 << 20


class IdpError(Exception):
    """No valid response: network error, timeout, server error, redirect, too large, or invalid content."""


def url_fault(url: Any, *, loopback: bool = True) -> str | None:
    """Return what is wrong with a URL of an identity provider, or None.

    Parameters
    ----------
    loopback : bool
        Whether ``http`` on this machine is permitted; an issuer on the network must not refer to it.
    """
    if not isinstance(url, str) or not url.isascii() or not url.isprintable() or len(url) > 2048:
        return "is not a valid URL"
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "is not a valid URL"
    if not host or "\\" in url or " " in url:
        return "is not a valid URL"
    if parts.username is not None or parts.password is not None:
        return "contains a user name or password"
    if parts.fragment:
        return "contains a fragment (`#…`)"
    if parts.scheme == "https" or (parts.scheme == "http" and loopback and is_loopback(host)):
        return None
    return "is neither https nor (for tests) http on this machine"


def is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


class IdpClient:
    """A client for one identity provider, with the interface that oauthenticator expects (``http_client``).

    Parameters
    ----------
    timeout : float
        Seconds for one request; the provider applies one deadline to all requests of a login.
    loopback : bool
        See `address_fault`.
    tls : mapping
        ``ca_certs``, ``client_cert``, ``client_key``, ``validate_cert`` of `tornado.httpclient.HTTPRequest`.
    """

    def __init__(self, timeout: float, *, loopback: bool, tls: Mapping[str, Any] | None = None) -> None:
        self._loopback = loopback
        self._tls = {"validate_cert": True, **(tls or {})}
        self._http = HttpClient(timeout, MAX_RESPONSE)

    async def fetch(self, request: HTTPRequest | str, raise_error: bool = True, **options: Any) -> HTTPResponse:
        """Send one request.

        Raises
        ------
        HTTPClientError
            Status 4xx, if ``raise_error``.
        IdpError
            No valid response. A redirect is invalid: it would carry tokens to an address that is not configured.
        """
        if isinstance(request, str):
            request = HTTPRequest(request, **options)
        fault = url_fault(request.url, loopback=self._loopback)
        if fault:
            raise IdpError(f"`{printable(request.url, 200)}` {fault}")
        for name, value in self._tls.items():
            setattr(request, name, value)
        url = urlsplit(request.url)._replace(query="").geturl()
        try:
            response = await self._http.fetch(request)
        except CertificateError as error:
            raise IdpError(f"`{url}` has a certificate that was rejected ({error})") from None
        except HttpError as error:
            raise IdpError(f"`{url}` does not respond ({error})") from None
        if response.code >= 500 or response.code == 429:
            raise IdpError(f"`{url}` responds with status {response.code}")
        if raise_error and 300 <= response.code < 400:
            raise IdpError(f"`{url}` responds with a redirect")
        if raise_error and response.code >= 400:
            raise HTTPClientError(response.code, response=response)
        return response

    async def get_json(self, url: str) -> Any:
        """Read a JSON document.

        Raises
        ------
        IdpError
        """
        try:
            response = await self.fetch(HTTPRequest(url, headers={"Accept": "application/json"}))
        except HTTPClientError as error:
            raise IdpError(f"`{url}` responds with status {error.code}") from None
        return read_json(response.body or b"", url)

    def close(self) -> None:
        self._http.close()


def read_json(body: bytes, source: str) -> Any:
    """Parse a response of an identity provider.

    Raises
    ------
    IdpError
    """
    try:
        return strict_json.loads(body, max_bytes=MAX_RESPONSE)
    except Problem as error:
        raise IdpError(f"`{source}` sent a body that is not strict JSON: {error.detail}") from None

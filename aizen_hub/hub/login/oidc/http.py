"""How the hub talks to identity providers: https or loopback, no redirects, bounded answers (T-12)."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from tornado.httpclient import HTTPClientError, HTTPRequest, HTTPResponse

from aizen_hub.client.http_client import BoundedHttp, CertificateRefused, NoAnswer
from aizen_hub.hub.login.provider import show
from aizen_hub.problems import Problem
from aizen_hub.validation import strict_json

MAX_ANSWER = 1 << 20


class IdpFailed(Exception):
    """No usable answer: network, deadline, a server error, a redirect, too large, not JSON, or not what it must be."""


def address_fault(url: Any, *, loopback: bool = True) -> str | None:
    """Return what is wrong with an address of an identity provider, or None.

    Parameters
    ----------
    loopback : bool
        Whether ``http`` on this machine is good enough; an issuer on the network must not lead to it.
    """
    if not isinstance(url, str) or not url.isascii() or not url.isprintable() or len(url) > 2048:
        return "is not an address"
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "is not an address"
    if not host or "\\" in url or " " in url:
        return "is not an address"
    if parts.username is not None or parts.password is not None:
        return "holds a user name or password"
    if parts.fragment:
        return "holds a fragment (`#…`)"
    if parts.scheme == "https" or (parts.scheme == "http" and loopback and is_loopback(host)):
        return None
    return "is neither https nor, for tests, http on this machine"


def is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


class IdpClient:
    """A client for one identity provider, in the shape that oauthenticator calls (``http_client``).

    Parameters
    ----------
    seconds : float
        For one request; the provider puts one deadline over all requests of a sign-in.
    loopback : bool
        See `address_fault`.
    tls : mapping
        ``ca_certs``, ``client_cert``, ``client_key``, ``validate_cert`` of `tornado.httpclient.HTTPRequest`.
    """

    def __init__(self, seconds: float, *, loopback: bool, tls: Mapping[str, Any] | None = None) -> None:
        self._loopback = loopback
        self._tls = {"validate_cert": True, **(tls or {})}
        self._http = BoundedHttp(seconds, MAX_ANSWER)

    async def fetch(self, request: HTTPRequest | str, raise_error: bool = True, **more: Any) -> HTTPResponse:
        """Send one request.

        Raises
        ------
        HTTPClientError
            Status 4xx, if ``raise_error``.
        IdpFailed
            Everything else that is not an answer. A redirect is none: it would carry tokens to an address that nobody
            configured.
        """
        if isinstance(request, str):
            request = HTTPRequest(request, **more)
        fault = address_fault(request.url, loopback=self._loopback)
        if fault:
            raise IdpFailed(f"`{show(request.url, 200)}` {fault}")
        for name, value in self._tls.items():
            setattr(request, name, value)
        where = urlsplit(request.url)._replace(query="").geturl()
        try:
            answer = await self._http.fetch(request)
        except CertificateRefused as error:
            raise IdpFailed(f"`{where}` shows a certificate that was not accepted ({error})") from None
        except NoAnswer as error:
            raise IdpFailed(f"`{where}` does not answer ({error})") from None
        if answer.code >= 500 or answer.code == 429:
            raise IdpFailed(f"`{where}` answers {answer.code}")
        if raise_error and 300 <= answer.code < 400:
            raise IdpFailed(f"`{where}` answers with a redirect")
        if raise_error and answer.code >= 400:
            raise HTTPClientError(answer.code, response=answer)
        return answer

    async def get_json(self, url: str) -> Any:
        """Read a JSON document.

        Raises
        ------
        IdpFailed
        """
        try:
            answer = await self.fetch(HTTPRequest(url, headers={"Accept": "application/json"}))
        except HTTPClientError as error:
            raise IdpFailed(f"`{url}` answers {error.code}") from None
        return read_json(answer.body or b"", url)

    def close(self) -> None:
        self._http.close()


def read_json(body: bytes, where: str) -> Any:
    """Read what an identity provider answered.

    Raises
    ------
    IdpFailed
    """
    try:
        return strict_json.loads(body, max_bytes=MAX_ANSWER)
    except Problem as error:
        raise IdpFailed(f"`{where}` answers what is not strict JSON: {error.detail}") from None

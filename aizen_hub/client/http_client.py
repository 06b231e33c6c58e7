"""One HTTP client for secrets on the way: no redirects, one deadline, answers of a bounded size."""

from __future__ import annotations

import asyncio
import ssl

from tornado.httpclient import HTTPClientError, HTTPRequest, HTTPResponse
from tornado.simple_httpclient import SimpleAsyncHTTPClient

_MAX_CLIENTS = 64


class NoAnswer(Exception):
    """Nothing came, or not in time, or too much; the message says which, and nothing of what was sent."""


class CertificateRefused(NoAnswer):
    """The other side shows a certificate that was not accepted; the message is the reason."""


class BoundedHttp:
    """Sends requests.

    Parameters
    ----------
    seconds : float
        For one whole request, connecting included.
    most : int
        Bytes of an answer's body.
    """

    def __init__(self, seconds: float, most: int) -> None:
        self._seconds, self._most = seconds, most
        self._http: SimpleAsyncHTTPClient | None = None

    async def fetch(self, request: HTTPRequest) -> HTTPResponse:
        """Send one request and return its answer, whatever its status.

        Raises
        ------
        NoAnswer
        """
        # A redirect would carry the secret to an address that nobody configured.
        request.follow_redirects = False
        request.decompress_response = False
        request.connect_timeout = request.request_timeout = self._seconds
        try:
            return await asyncio.wait_for(self._client().fetch(request, raise_error=False), self._seconds + 0.5)
        except ssl.SSLError as error:
            raise CertificateRefused(error.reason) from None
        except (HTTPClientError, OSError, TimeoutError, ValueError) as error:
            raise NoAnswer(_reason(error)) from None

    def close(self) -> None:
        """Give back connections; the next request opens new ones."""
        if self._http is not None:
            self._http.close()
            self._http = None

    def _client(self) -> SimpleAsyncHTTPClient:
        # Made at the first call, since it binds to the loop that runs then; its own instance, since the hub may have
        # configured another class with other limits.
        if self._http is None:
            self._http = SimpleAsyncHTTPClient(force_instance=True, max_clients=_MAX_CLIENTS, max_body_size=self._most)
        return self._http


def _reason(error: BaseException) -> str:
    if isinstance(error, TimeoutError) or "imeout" in str(error):
        return "no answer within the deadline"
    return getattr(error, "strerror", None) or type(error).__name__

"""HTTP client for requests that carry secrets: no redirects, one deadline, bounded response size."""

from __future__ import annotations

import asyncio
import ssl

from tornado.httpclient import HTTPClientError, HTTPRequest, HTTPResponse
from tornado.simple_httpclient import HTTPStreamClosedError, HTTPTimeoutError, SimpleAsyncHTTPClient

_MAX_CLIENTS = 64


class HttpError(Exception):
    """No response, a late one, or one that is too large; the message says which, and quotes nothing of the request."""


class LostConnectionError(HttpError):
    """The connection failed, or ended before the response."""


class CertificateError(HttpError):
    """The server's certificate was rejected; the message is the reason."""


class HttpClient:
    """Sends requests with one deadline and one size limit.

    Parameters
    ----------
    timeout : float
        Seconds for one whole request, connecting included.
    max_body : int
        Bytes of a response body.
    """

    def __init__(self, timeout: float, max_body: int) -> None:
        self._timeout, self._max_body = timeout, max_body
        self._http: SimpleAsyncHTTPClient | None = None

    async def fetch(self, request: HTTPRequest) -> HTTPResponse:
        """Send one request and return the response, whatever its status.

        Raises
        ------
        HttpError
        """
        # A redirect would carry the secret to an address that is not configured.
        request.follow_redirects = False
        request.decompress_response = False
        request.connect_timeout = request.request_timeout = self._timeout
        try:
            response = await asyncio.wait_for(self._client().fetch(request, raise_error=False), self._timeout + 0.5)
        except ssl.SSLError as error:
            raise CertificateError(error.reason) from None
        except (HTTPClientError, OSError, TimeoutError, ValueError) as error:
            raise _classify(error) from None
        return response

    def close(self) -> None:
        """Close all connections; the next request opens new ones."""
        if self._http is not None:
            self._http.close()
            self._http = None

    def _client(self) -> SimpleAsyncHTTPClient:
        # Created at the first request, because it binds to the running event loop; an instance of its own, because the
        # hub may have configured another class with other limits.
        if self._http is None:
            self._http = SimpleAsyncHTTPClient(
                force_instance=True, max_clients=_MAX_CLIENTS, max_body_size=self._max_body
            )
        return self._http


def _classify(error: Exception) -> HttpError:
    is_late = isinstance(error, TimeoutError | HTTPTimeoutError)
    is_lost = isinstance(error, OSError | HTTPStreamClosedError) and not is_late
    return (LostConnectionError if is_lost else HttpError)(_reason(error))


def _reason(error: BaseException) -> str:
    if isinstance(error, TimeoutError) or "imeout" in str(error):
        return "no response within the deadline"
    return getattr(error, "strerror", None) or type(error).__name__

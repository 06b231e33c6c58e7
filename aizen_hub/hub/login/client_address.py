"""Network address of the client of a request to the hub."""

from __future__ import annotations

from typing import Any

from aizen_hub.validation.client_address import resolve_client_address


def request_address(request: Any, trusted_proxies: tuple[str, ...]) -> str:
    """Return the client's network address, from ``X-Forwarded-For`` only where the proxy is trusted (R121).

    Parameters
    ----------
    request : tornado.httputil.HTTPServerRequest
        A request to the hub.
    trusted_proxies : tuple of str
        See `ServiceSettings.trusted_proxies`.
    """
    # Tornado's `remote_ip` trusts `X-Real-Ip` of any client, so every guess could claim another address.
    context = getattr(getattr(request, "connection", None), "context", None)
    peer = str(getattr(context, "_orig_remote_ip", None) or request.remote_ip or "")
    return resolve_client_address(peer, request.headers.get_list("X-Forwarded-For"), trusted_proxies)

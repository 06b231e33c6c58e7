"""Protection of the panel against requests that other pages make a browser send.

Pages of user servers are hostile. Without ``subdomain_host`` they share our origin: what is here makes attacks from
there harder, and only another origin stops them all (docs/security/threat-model.md).
"""

from __future__ import annotations

from aiohttp.web import BaseRequest

from aizen_hub.problems import Denied
from aizen_hub.service.http.headers import Headers, joined_header
from aizen_hub.tokens.opaque_token import constant_time_equals

PRELOAD_HEADER = "Service-Worker-Navigation-Preload"
SERVICE_WORKER = "service-worker"
"""Reason of the refusal; its page tells the browser to remove all service workers of our origin."""
HTMX_REQUEST = "HX-Request"
"""Sent by htmx: our script asks for a fragment of a page."""


def is_htmx(headers: Headers) -> bool:
    """Return whether a request asks for a fragment, and not for a whole page."""
    return headers.get(HTMX_REQUEST) == "true" and "HX-History-Restore-Request" not in headers


def refuse_service_worker(request: BaseRequest) -> None:
    """Refuse what a service worker loads before its page is shown (R137, T-57).

    Where user servers share our origin, a page of one of them can install a worker for the whole origin. Its
    *navigation preload* is the user's own navigation, with ``Sec-Fetch-Mode: navigate`` and ``Sec-Fetch-Dest:
    document``, but the worker reads the response, XSRF token included. The belief that no script can make such a
    request, on which `check_csrf` relied alone, was wrong. The browser marks these requests with this field: the
    worker may choose its value, also an empty one, and cannot remove it. Requests of a worker with static routing
    (``race-network-and-fetch-handler``) are not marked: only an origin of our own, or a front proxy that removes
    ``Service-Worker-Allowed``, stops those.

    Raises
    ------
    Denied
    """
    if PRELOAD_HEADER in request.headers:
        raise Denied(
            "a service worker of another page, probably one of a user server, tried to read this page",
            remedy="open the page again; if this comes back, delete the data of this site in the browser's settings; "
            "tell your administrator whose server you opened before",
            extensions={"reason": SERVICE_WORKER},
        )


def check_csrf(request: BaseRequest, expected: str, sent: str | None, *, page: bool) -> None:
    """Refuse requests that another site, or a page of a user server, may have made the browser send (R115, R116).

    Parameters
    ----------
    expected : str
        The XSRF token of this browser session.
    sent : str or None
        The XSRF token of the request.
    page : bool
        Whether it is a page, which needs no token to be opened; all other requests need it, also for reading. So does
        a script that asks for a fragment of a page: only a script of our own pages has the token.

    Raises
    ------
    Denied
    """
    site, mode, dest = (joined_header(request.headers, f"Sec-Fetch-{name}") for name in ("Site", "Mode", "Dest"))
    if page and request.method == "GET":
        # A page of a user server can open this page, but its script cannot read it: see `refuse_service_worker`.
        is_opened = mode in ("", "navigate") and dest in ("", "document")
        if not is_opened and not (is_htmx(request.headers) and _is_own_script(site, sent, expected)):
            raise Denied(
                "this page can be opened in a browser, but not fetched by a script", extensions={"reason": "fetch"}
            )
        return
    if site not in ("", "same-origin", "none"):
        raise Denied("this request came from another site", extensions={"reason": "cross-site"})
    if sent is None or not constant_time_equals(sent, expected):
        raise Denied(
            "this request did not come from a page of this service, or the page is too old",
            remedy="open the page again",
            extensions={"reason": "xsrf"},
        )


def _is_own_script(site: str, sent: str | None, expected: str) -> bool:
    return site in ("", "same-origin") and sent is not None and constant_time_equals(sent, expected)

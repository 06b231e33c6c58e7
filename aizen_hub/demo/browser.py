"""Browser session without a browser: the login form, the spawn page and the API of a hub over HTTP.

``aizen-hub demo --check`` and the end-to-end tests use it; it sends only requests that a browser would send.
"""

from __future__ import annotations

import http.client
import http.cookiejar
import json
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import IO, Any
from urllib.parse import quote, urlencode, urljoin, urlsplit

from aizen_hub.demo.page import HtmlPage

CHECK_SECONDS = 6.0
_XSRF = "_xsrf"


class BrowserError(Exception):
    """A step failed; the message contains the error on the page, if there is one."""


class LoginRejectedError(BrowserError):
    """The login was rejected; the message is the error on the page."""


class SpawnRejectedError(BrowserError):
    """The server did not start; the message is the error on the page."""


class Browser:
    """The browser session of one user at one hub.

    Parameters
    ----------
    url : str
        The public address of the hub, e.g. ``http://127.0.0.1:8000``.
    deadline : float
        Time limit in seconds for one request.
    """

    def __init__(self, url: str, *, deadline: float = 20.0) -> None:
        self.url = url.rstrip("/")
        self.name: str | None = None
        self._deadline = deadline
        self._jar = http.cookiejar.CookieJar()
        # Proxy settings of the environment do not apply to the hub.
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}),
            urllib.request.HTTPCookieProcessor(self._jar),
            _SameOriginRedirects(self.url),
        )

    def get(self, path: str, **headers: str) -> HtmlPage:
        return self.request("GET", path, headers=headers)

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> HtmlPage:
        """Send one request with the cookies of this session and follow redirects within the hub's origin."""
        fields = {"Sec-Fetch-Mode": "navigate", "Accept": "text/html", **(headers or {})}
        request = urllib.request.Request(  # noqa: S310 - _SameOriginRedirects rejects all other schemes and hosts
            urljoin(self.url + "/", path), data=body, headers=fields, method=method
        )
        try:
            with self._opener.open(request, timeout=self._deadline) as response:
                return HtmlPage.read(response.status, response.url, response, response.headers)
        except urllib.error.HTTPError as error:
            with error:
                return HtmlPage.read(error.code, error.url or self.url, error, error.headers)
        except (OSError, http.client.HTTPException) as error:
            raise BrowserError(f"{method} {path}: {error}") from None

    def api(self, method: str, path: str, body: Any = None, *, at: str = "/hub/") -> HtmlPage:
        """Call a JSON API as a script on the page ``at`` would, with the XSRF token of that path."""
        data = None if body is None else json.dumps(body).encode()
        headers = {
            "Accept": "application/json",
            "Content-Type": "application/json",
            "Sec-Fetch-Mode": "cors",
            "X-XSRFToken": self.xsrf(at),
            "Referer": urljoin(self.url, at),
        }
        return self.request(method, path, data, headers)

    def xsrf(self, path: str) -> str:
        """Return the XSRF cookie with the longest path that covers ``path``; empty if there is none."""
        cookies = [cookie for cookie in self._jar if cookie.name == _XSRF and path.startswith(cookie.path)]
        return max(cookies, key=lambda cookie: len(cookie.path)).value or "" if cookies else ""

    def login(self, name: str, password: str, *, provider: str | None = None) -> HtmlPage:
        """Sign in through the form.

        Raises
        ------
        LoginRejectedError
        """
        form = self.get("/hub/login")
        fields = {"username": name, "password": password, _XSRF: _xsrf_of(form)}
        if provider is not None:
            fields["provider"] = provider
        page = self._submit("/hub/login", fields)
        if page.status >= 400 or urlsplit(page.url).path.endswith("/login"):
            raise LoginRejectedError(page.alert or f"status {page.status}")
        self.name = self.api("GET", "/hub/api/user").json()["name"]
        return page

    def reauthenticate(self, password: str) -> None:
        """Sign in again, as sensitive changes in the panel need.

        Raises
        ------
        LoginRejectedError
        """
        path = "/hub/aizen/confirm?page=account"
        page = self._submit(path, {"password": password, _XSRF: _xsrf_of(self.get(path))})
        if page.status >= 400:
            raise LoginRejectedError(page.alert or f"status {page.status}")

    def submit_panel_form(self, page: HtmlPage, action: str, **fields: str) -> HtmlPage:
        """Send a form of a page of the panel; ``action`` is its address below that of the page."""
        token = page.value("xsrf")
        if token is None:
            raise BrowserError(f"the page at {page.url} has no form (status {page.status}: {page.words[:200]})")
        return self._submit(f"{urlsplit(page.url).path}/{action}", {"xsrf": token, **fields})

    def logout(self) -> None:
        self.get("/hub/logout")
        self.name = None

    def offered_projects(self, server: str = "") -> list[str]:
        """Return the projects on the spawn page; the empty string is the system session."""
        page = self.get(self._spawn_path(server))
        offered = (field for field in page.fields if field.get("name") == "project")
        # The form of a request for access has a text field of this name.
        return [field.get("value", "") for field in offered if field.get("type") in ("radio", "hidden")]

    def spawn(self, project: str, server: str = "", *, seconds: float = 60.0) -> str:
        """Start a server through the spawn page, wait until it is ready, and return its path, ``/user/…/``.

        Raises
        ------
        SpawnRejectedError
        """
        path = self._spawn_path(server)
        self.get(path)
        page = self._submit(f"{path}?{urlencode({_XSRF: self.xsrf('/hub/')})}", {"project": project})
        if page.status >= 400:
            raise SpawnRejectedError(page.alert or f"status {page.status}")
        self.wait_ready(server, seconds)
        home = f"/user/{quote(self._user_name)}/" + (f"{quote(server)}/" if server else "")
        # The first visit goes through the hub's OAuth, which sets the cookies of the server.
        page_opened = self.get(home)
        if page_opened.status >= 400:
            raise SpawnRejectedError(f"the server started but does not respond: status {page_opened.status}")
        return home

    def wait_ready(self, server: str = "", seconds: float = 60.0) -> None:
        """Wait for a pending start.

        Raises
        ------
        SpawnRejectedError
            The start failed or took longer than ``seconds``.
        """
        start = time.monotonic()
        was_listed = False
        while time.monotonic() - start < seconds:
            state = self.server(server)
            if state is not None:
                was_listed = True
                if state["ready"]:
                    return
            # The hub refreshes the user before it lists the server, which can take as long as a directory request.
            elif was_listed or time.monotonic() - start > CHECK_SECONDS:
                page = self.get(
                    f"/hub/spawn-pending/{quote(self._user_name)}" + (f"/{quote(server)}" if server else "")
                )
                raise SpawnRejectedError(page.alert or "the server stopped during its start")
            time.sleep(0.2)
        raise SpawnRejectedError(f"the server was not ready within {seconds:g} seconds")

    def server(self, server: str = "") -> dict[str, Any] | None:
        """Return the hub's model of a server of the user, or None if it is not running."""
        page = self.api("GET", f"/hub/api/users/{quote(self._user_name)}")
        if page.status != 200:
            raise BrowserError(f"the hub does not show its user: status {page.status}")
        model = page.json()["servers"].get(server)
        return model if model and (model["ready"] or model["pending"]) else None

    def stop(self, server: str = "", *, seconds: float = 30.0) -> None:
        """Stop a server and wait until it has stopped."""
        part = f"servers/{quote(server)}" if server else "server"
        page = self.api("DELETE", f"/hub/api/users/{quote(self._user_name)}/{part}")
        if page.status not in (202, 204, 404):
            raise BrowserError(f"the server was not stopped: status {page.status}: {page.text[:200]}")
        end = time.monotonic() + seconds
        while self.server(server) is not None:
            if time.monotonic() > end:
                raise BrowserError(f"the server is still running after {seconds:g} seconds")
            time.sleep(0.1)

    def cookies_for(self, url: str) -> str:
        """Return the Cookie header of a request to ``url``."""
        request = urllib.request.Request(url)  # noqa: S310 - not sent
        self._jar.add_cookie_header(request)
        return request.get_header("Cookie") or ""

    @property
    def _user_name(self) -> str:
        if self.name is None:
            raise BrowserError("no user is signed in")
        return self.name

    def _spawn_path(self, server: str) -> str:
        return f"/hub/spawn/{quote(self._user_name)}" + (f"/{quote(server)}" if server else "")

    def _submit(self, path: str, fields: Mapping[str, str]) -> HtmlPage:
        return self.request(
            "POST",
            path,
            urlencode(fields).encode(),
            {"Content-Type": "application/x-www-form-urlencoded", "Origin": self.url},
        )


class _SameOriginRedirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects within the hub's origin only, so that cookies and forms are not sent elsewhere."""

    def __init__(self, url: str) -> None:
        self._origin = urlsplit(url)[:2]

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        if urlsplit(newurl)[:2] != self._origin:
            raise BrowserError(f"the hub redirects to another site: {newurl[:200]}")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _xsrf_of(page: HtmlPage) -> str:
    token = page.value(_XSRF)
    if token is None:
        raise BrowserError(f"the page at {page.url} has no form (status {page.status}: {page.words[:200]})")
    return token

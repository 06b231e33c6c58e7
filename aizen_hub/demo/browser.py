"""A person at a browser, without one: the real login form and the start page.

For ``aizen-hub demo --check`` and whole-journey tests: it takes exactly the roads that people take, and no other.
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

from aizen_hub.demo.page import Page

CHECK_SECONDS = 6.0
_XSRF = "_xsrf"


class BrowserError(Exception):
    """The journey did not go on; the message holds the sentence that the page showed, if there was one."""


class LoginRefused(BrowserError):
    """The login page came back with its reason."""


class SpawnRefused(BrowserError):
    """The server did not start; the message is the reason on the page."""


class Browser:
    """One person's browser session at one hub.

    Parameters
    ----------
    url : str
        The public address of the hub, e.g. ``http://127.0.0.1:8000``.
    deadline : float
        Seconds for one request.
    """

    def __init__(self, url: str, *, deadline: float = 20.0) -> None:
        self.url = url.rstrip("/")
        self.name: str | None = None
        self._deadline = deadline
        self._jar = http.cookiejar.CookieJar()
        # No proxy of the surroundings: the hub is where its address says.
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(self._jar), _SameOrigin(self.url)
        )

    def get(self, path: str, **headers: str) -> Page:
        return self.request("GET", path, headers=headers)

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Page:
        """Send one request with this session's cookies and follow redirects at the hub's own origin."""
        fields = {"Sec-Fetch-Mode": "navigate", "Accept": "text/html", **(headers or {})}
        request = urllib.request.Request(  # noqa: S310 - _SameOrigin refuses every other scheme and host
            urljoin(self.url + "/", path), data=body, headers=fields, method=method
        )
        try:
            with self._opener.open(request, timeout=self._deadline) as answer:
                return Page.read(answer.status, answer.url, answer, answer.headers)
        except urllib.error.HTTPError as error:
            with error:
                return Page.read(error.code, error.url or self.url, error, error.headers)
        except (OSError, http.client.HTTPException) as error:
            raise BrowserError(f"{method} {path}: {error}") from None

    def api(self, method: str, path: str, body: Any = None, *, at: str = "/hub/") -> Page:
        """Call a JSON address as a page's script would, with the XSRF token of the part of the site at ``at``."""
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
        found = [one for one in self._jar if one.name == _XSRF and path.startswith(one.path)]
        return max(found, key=lambda one: len(one.path)).value or "" if found else ""

    def login(self, name: str, password: str, *, provider: str | None = None) -> Page:
        """Sign in through the form.

        Raises
        ------
        LoginRefused
            The page came back; the message is the sentence on it.
        """
        form = self.get("/hub/login")
        fields = {"username": name, "password": password, _XSRF: _xsrf_of(form)}
        if provider is not None:
            fields["provider"] = provider
        page = self._submit("/hub/login", fields)
        if page.status >= 400 or urlsplit(page.url).path.endswith("/login"):
            raise LoginRefused(page.alert or f"status {page.status}")
        self.name = self.api("GET", "/hub/api/user").json()["name"]
        return page

    def logout(self) -> None:
        self.get("/hub/logout")
        self.name = None

    def choices(self, server: str = "") -> list[str]:
        """Return the values of the project picker, as the page offers them; empty text is the system session."""
        page = self.get(self._spawn_path(server))
        return [one.get("value", "") for one in page.fields if one.get("name") == "project"]

    def spawn(self, project: str, server: str = "", *, seconds: float = 60.0) -> str:
        """Start a server through the start page and wait until it is ready; returns its path, ``/user/…/``.

        Raises
        ------
        SpawnRefused
            The page shows why not.
        """
        path = self._spawn_path(server)
        self.get(path)
        page = self._submit(f"{path}?{urlencode({_XSRF: self.xsrf('/hub/')})}", {"project": project})
        if page.status >= 400:
            raise SpawnRefused(page.alert or f"status {page.status}")
        self.wait_ready(server, seconds)
        home = f"/user/{quote(self._who)}/" + (f"{quote(server)}/" if server else "")
        # The first visit goes through the hub's OAuth, which sets the cookies of the server.
        opened = self.get(home)
        if opened.status >= 400:
            raise SpawnRefused(f"the server started and does not answer: status {opened.status}")
        return home

    def wait_ready(self, server: str = "", seconds: float = 60.0) -> None:
        """Wait for a pending start.

        Raises
        ------
        SpawnRefused
            It failed or took longer.
        """
        start = time.monotonic()
        seen = False
        while time.monotonic() - start < seconds:
            state = self.server(server)
            if state is not None:
                seen = True
                if state["ready"]:
                    return
            # The hub checks the person again before it lists the server, which takes as long as a directory may take.
            elif seen or time.monotonic() - start > CHECK_SECONDS:
                page = self.get(f"/hub/spawn-pending/{quote(self._who)}" + (f"/{quote(server)}" if server else ""))
                raise SpawnRefused(page.alert or "the server ended while it started")
            time.sleep(0.2)
        raise SpawnRefused(f"the server was not ready within {seconds:g} seconds")

    def server(self, server: str = "") -> dict[str, Any] | None:
        """Return the hub's model of one of the person's servers, or None if it does not run."""
        page = self.api("GET", f"/hub/api/users/{quote(self._who)}")
        if page.status != 200:
            raise BrowserError(f"the hub does not show its user: status {page.status}")
        found = page.json()["servers"].get(server)
        return found if found and (found["ready"] or found["pending"]) else None

    def stop(self, server: str = "", *, seconds: float = 30.0) -> None:
        """Stop a server and wait until it is gone."""
        part = f"servers/{quote(server)}" if server else "server"
        page = self.api("DELETE", f"/hub/api/users/{quote(self._who)}/{part}")
        if page.status not in (202, 204, 404):
            raise BrowserError(f"the server was not stopped: status {page.status}: {page.text[:200]}")
        end = time.monotonic() + seconds
        while self.server(server) is not None:
            if time.monotonic() > end:
                raise BrowserError(f"the server still runs after {seconds:g} seconds")
            time.sleep(0.1)

    def cookies_for(self, url: str) -> str:
        """Return the Cookie header that a request to ``url`` would carry."""
        request = urllib.request.Request(url)  # noqa: S310 - not sent
        self._jar.add_cookie_header(request)
        return request.get_header("Cookie") or ""

    @property
    def _who(self) -> str:
        if self.name is None:
            raise BrowserError("nobody is signed in")
        return self.name

    def _spawn_path(self, server: str) -> str:
        return f"/hub/spawn/{quote(self._who)}" + (f"/{quote(server)}" if server else "")

    def _submit(self, path: str, fields: Mapping[str, str]) -> Page:
        return self.request(
            "POST",
            path,
            urlencode(fields).encode(),
            {"Content-Type": "application/x-www-form-urlencoded", "Origin": self.url},
        )


class _SameOrigin(urllib.request.HTTPRedirectHandler):
    """Follows redirects to the hub only: the session's cookies and forms go nowhere else."""

    def __init__(self, url: str) -> None:
        self._origin = urlsplit(url)[:2]

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        if urlsplit(newurl)[:2] != self._origin:
            raise BrowserError(f"the hub redirects to another site: {newurl[:200]}")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _xsrf_of(page: Page) -> str:
    found = page.value(_XSRF)
    if found is None:
        raise BrowserError(f"the page at {page.url} has no form (status {page.status}: {page.words[:200]})")
    return found

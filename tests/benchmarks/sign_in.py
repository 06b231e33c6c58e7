"""Signing in by a real directory: through us and through the plain ldapauthenticator, in turn on the same server."""

from __future__ import annotations

import re
import select
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aizen_hub.demo.browser import Browser, BrowserError, LoginRejectedError
from tests.benchmarks import servers
from tests.benchmarks.figure import Figure
from tests.fixtures.hub import running_hub
from tests.fixtures.identity.slapd import PASSWORDS, running_directory
from tests.fixtures.network.ports import free_port

ROUNDS = 40
IN_FLIGHT = 200
NAME = "alice"


def measure(folder: Path, *, rounds: int = ROUNDS) -> Iterator[Figure]:
    """Yield how long a sign-in takes, and how quick the hub stays while many people sign in."""
    for name in ("slapd", "ours"):
        (folder / name).mkdir()
    with (
        running_directory(folder / "slapd") as directory,
        plain(folder / "plain", directory) as theirs,
        running_hub(folder / "ours", _settings(directory), seed=_seed) as ours,
    ):
        times: dict[str, list[float]] = {theirs: [], ours.url: []}
        for url in (theirs, ours.url):
            sign_in(url)
        for _ in range(rounds):
            # In turn, so that whatever else the machine does meets both.
            for url, taken in times.items():
                taken.append(sign_in(url))
        plainly, through_us = (statistics.median(times[url]) for url in (theirs, ours.url))
        yes = "plain LDAPAuthenticator, one sign-in"
        yield Figure(yes, plainly * 1000, "ms")
        yield Figure("sign-in through us", through_us * 1000, "ms")
        yield Figure("sign-in to plain LDAPAuthenticator", through_us / plainly, "x", "at most 1.3", yes)
        slowest, done = flood(ours.url, hub_of(ours.folder))
        yield Figure(f"/hub/health, p99 with {IN_FLIGHT} sign-ins in flight", slowest * 1000, "ms", "at most 100")
        yield Figure(f"of {IN_FLIGHT} sign-ins in flight, answered", float(done), "", f"at least {IN_FLIGHT}")


def sign_in(url: str) -> float:
    """Return the seconds that the sign-in form takes; loading the page before it is not counted."""
    return submit(*open_login_page(url))


def open_login_page(url: str) -> tuple[Browser, str]:
    """Open the login page; returns the browser with the token of its form."""
    browser = Browser(url, deadline=60.0)
    form = browser.get("/hub/login")
    return browser, str(next(one["value"] for one in form.fields if one.get("name") == "_xsrf"))


def submit(browser: Browser, token: str) -> float:
    fields = {"username": NAME, "password": PASSWORDS[NAME], "provider": "lab", "_xsrf": token}
    start = time.perf_counter()
    page = browser._submit("/hub/login?next=%2Fhub%2Fhealth", fields)
    taken = time.perf_counter() - start
    if page.status >= 400:
        raise LoginRejectedError(page.alert or f"status {page.status}")
    return taken


def flood(url: str, hub: str) -> tuple[float, int]:
    """Sign many people in at once; return the p99 of the hub's health meanwhile, and how many were answered.

    The health is asked by a process of its own and past the proxy, so that neither counts as the hub.
    """

    def submit_form(form: tuple[Browser, str]) -> bool:
        try:
            submit(*form)
        except LoginRejectedError:
            return True  # the queue is bounded: a refusal is an answer
        except BrowserError:
            return False
        return True

    forms = [open_login_page(url) for _ in range(IN_FLIGHT)]
    command = [sys.executable, "-m", "tests.benchmarks.sign_in", hub]
    watching = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        with ThreadPoolExecutor(IN_FLIGHT) as pool:
            done = sum(pool.map(submit_form, forms))
        out, _ = watching.communicate("", timeout=60)
    finally:
        watching.kill()
        watching.wait()
    return float(out), done


def watch(hub: str) -> float:
    """Ask for the health until the standard input ends; return the p99 in seconds."""
    times: list[float] = []
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while not select.select([sys.stdin], [], [], 0.01)[0]:
        start = time.perf_counter()
        with opener.open(hub + "/hub/health", timeout=60) as answer:
            answer.read()
        times.append(time.perf_counter() - start)
    return statistics.quantiles(times, n=100)[-1]


@contextmanager
def plain(folder: Path, directory: Any) -> Iterator[str]:
    """A hub with LDAPAuthenticator as it comes, the same settings and as much checking of certificates."""
    folder.mkdir()
    port, hub_port, proxy_port = (free_port() for _ in range(3))
    given = directory.settings()
    lines = [
        "import ssl, sys",
        f'c.JupyterHub.bind_url = "http://127.0.0.1:{port}"',
        f"c.JupyterHub.hub_port = {hub_port}",
        f'c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{proxy_port}"',
        'c.ConfigurableHTTPProxy.command = [sys.executable, "-c", '
        '"from configurable_http_proxy.cli import main; main()"]',
        f'c.ConfigurableHTTPProxy.pid_file = "{folder / "proxy.pid"}"',
        'c.JupyterHub.spawner_class = "simple"',
        'c.JupyterHub.authenticator_class = "ldap"',
        *(f"c.LDAPAuthenticator.{key} = {value!r}" for key, value in given.items() if key != "tls_kwargs"),
        f'c.LDAPAuthenticator.tls_kwargs = {{"validate": ssl.CERT_REQUIRED, **{given["tls_kwargs"]!r}}}',
        'c.LDAPAuthenticator.tls_strategy = "before_bind"',
        'c.LDAPAuthenticator.lookup_dn_search_filter = "({login_attr}={login})"',
        'c.LDAPAuthenticator.lookup_dn_user_dn_attribute = "uid"',
        'c.LDAPAuthenticator.auth_state_attributes = ["mail", "memberOf", "displayName"]',
        "c.Authenticator.allow_all = True",
        f'c.JupyterHub.db_url = "sqlite:///{folder / "hub.sqlite"}"',
        f'c.JupyterHub.cookie_secret_file = "{folder / "cookie"}"',
        'c.Application.log_level = "WARN"',
    ]
    config = folder / "jupyterhub_config.py"
    config.write_text("\n".join(lines) + "\n", encoding="utf-8")
    command = [sys.executable, "-m", "jupyterhub", "-f", str(config)]
    with servers.server(command, port, "/hub/health", folder / "log", cwd=folder) as running:
        yield running.url


def hub_of(folder: Path) -> str:
    """Return the hub's own address, behind its proxy."""
    text = (folder / "jupyterhub_config.py").read_text(encoding="utf-8")
    return f"http://127.0.0.1:{re.search(r'hub_port = ([0-9]+)', text)[1]}"  # type: ignore[index]


def _settings(directory: Any) -> dict[str, Any]:
    lab = {"name": "lab", "kind": "ldap", "config": directory.settings(), "deadline_seconds": 20, "queue_size": 200}
    return {"providers": [lab, {"name": "local", "kind": "local"}]}


def _seed(tx: Any) -> None:
    from aizen_hub.accounts.users import registration

    registration.create_user(tx, NAME, provider="lab")


if __name__ == "__main__":
    print(watch(sys.argv[1]))

"""All ways to request a server start (F7)."""

from __future__ import annotations

import time
from urllib.parse import urlsplit

from aizen_hub.demo.browser import Browser
from aizen_hub.demo.page import HtmlPage
from tests.fixtures.hub import HubHandle
from tests.hub.credentials import create_hub_token, request_with_token


def wait_for_outcome(person: Browser, page: HtmlPage) -> HtmlPage:
    """Return the page with the outcome: JupyterHub redirects to another page if a start takes more than a second."""
    path = f"/hub/spawn-pending/{person.name}"
    end = time.monotonic() + 60
    while page.status < 400 and urlsplit(page.url).path == path:
        server = person.server()
        if server is not None and server["ready"]:
            break
        assert time.monotonic() < end, page.text
        time.sleep(0.1)
        page = person.get(path)
    return page


def by_form(person: Browser, hub: HubHandle, project: str) -> HtmlPage:
    path = f"/hub/spawn/{person.name}"
    person.get(path)
    return wait_for_outcome(person, person._submit(f"{path}?_xsrf={person.xsrf('/hub/')}", {"project": project}))


def by_link(person: Browser, hub: HubHandle, project: str) -> HtmlPage:
    return wait_for_outcome(person, person.get(f"/hub/spawn/{person.name}?opt-project={project}"))


def by_old_link(person: Browser, hub: HubHandle, project: str) -> HtmlPage:
    return wait_for_outcome(person, person.get(f"/hub/spawn/{person.name}?project={project}"))


def by_api(person: Browser, hub: HubHandle, project: str) -> HtmlPage:
    body = {"user_options": {"project": project}}
    return request_with_token(hub, create_hub_token(person), "POST", f"/hub/api/users/{person.name}/server", body)


def by_stored_options(person: Browser, hub: HubHandle, project: str) -> HtmlPage:
    # The hub stores requested options, allowed or not, and uses them where a start has none.
    if by_api(person, hub, project).status < 400:
        person.wait_ready()
        person.stop()
    return request_with_token(hub, create_hub_token(person), "POST", f"/hub/api/users/{person.name}/server")


SPAWN_VARIANTS = [by_form, by_link, by_old_link, by_api, by_stored_options]

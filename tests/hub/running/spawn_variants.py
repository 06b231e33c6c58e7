"""The roads that a start can take: F7."""

from __future__ import annotations

from aizen_hub.demo.browser import Browser
from aizen_hub.demo.page import Page
from tests.fixtures.hub import HubHandle
from tests.hub.roads import api_token, with_token


def by_form(person: Browser, hub: HubHandle, project: str) -> Page:
    path = f"/hub/spawn/{person.name}"
    person.get(path)
    return person._submit(f"{path}?_xsrf={person.xsrf('/hub/')}", {"project": project})


def by_link(person: Browser, hub: HubHandle, project: str) -> Page:
    return person.get(f"/hub/spawn/{person.name}?opt-project={project}")


def by_old_link(person: Browser, hub: HubHandle, project: str) -> Page:
    return person.get(f"/hub/spawn/{person.name}?project={project}")


def by_api(person: Browser, hub: HubHandle, project: str) -> Page:
    body = {"user_options": {"project": project}}
    return with_token(hub, api_token(person), "POST", f"/hub/api/users/{person.name}/server", body)


def by_stored_options(person: Browser, hub: HubHandle, project: str) -> Page:
    # The hub keeps what was asked for, allowed or not, and uses it where a start names nothing.
    if by_api(person, hub, project).status < 400:
        person.wait_ready()
        person.stop()
    return with_token(hub, api_token(person), "POST", f"/hub/api/users/{person.name}/server")


ROADS = [by_form, by_link, by_old_link, by_api, by_stored_options]

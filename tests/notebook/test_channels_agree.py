"""The same decision on every channel: kernel, HTTP with the role token, panel page, command line."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest

from aizen_hub.demo.browser import Browser
from aizen_hub.notebook.display.renderable import MIME
from tests.fixtures.hub import HubHandle, running_hub

SERVICE = "/services/aizen/"
AUTHORIZATION_CODE = "get_ipython()._aizen_extension.runner.client.token.authorization_header()"
SESSIONS = {"ada": "", "erin": "churn", "rita": "churn"}
"""Name and the project of the session; empty is the system session."""
COMMANDS = (
    "list projects", "list roles", "list roles for rita", "list users", "check license", "show project",
    "show project churn", "show project other", "delete project other", "list trainings", "start training churn",
    "delete training churn", "stop all", "grant role PROJECT_ADMIN to rita", "grant role AIZEN_ADMIN to ada",
    "alter project churn,config=none.json", "alter project other,config=none.json", "create project mine,config=x",
    "strat training churn", "start training churn; stop all", 'start training "churn', "start training churn\u200b",
)  # fmt: skip


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubHandle]:
    def seed(tx: Any) -> None:
        from aizen_hub.accounts.projects import lifecycle
        from aizen_hub.accounts.roles import assignments
        from aizen_hub.rbac.identity import Identity

        lifecycle.create_project(tx, "churn", owner=Identity.user("lead"))
        lifecycle.create_project(tx, "other", owner=Identity.user("lead"))
        assignments.grant_roles(tx, ["PROJECT_EXECUTOR"], "churn", Identity.user("erin"))
        assignments.grant_roles(tx, ["PROJECT_READER"], "churn", Identity.user("rita"))

    accounts = {"ada": "AIZEN_ADMIN", "lead": "", "erin": "", "rita": ""}
    with running_hub(tmp_path_factory.mktemp("channels"), accounts=accounts, seed=seed) as running:
        yield running


def token_of(browser: Browser) -> str:
    page = browser.api("POST", f"/hub/api/users/{browser.name}/tokens", {"note": "test", "expires_in": 600})
    return str(page.json()["token"])


class ChannelUser:
    """A user with a kernel, its role token, a page of the panel, and a token for the command line."""

    def __init__(self, hub: HubHandle, name: str, project: str) -> None:
        self.hub, self.project, self.browser = hub, project, hub.login(name)
        self.token = token_of(self.browser)
        home = self.browser.get(f"{SERVICE}me")
        self.xsrf = next(field["value"] for field in home.fields if field.get("name") == "xsrf")
        self.kernel = hub.kernel(self.browser, hub.spawn(self.browser, project))
        self.role_token = self.kernel.execute(f"print({AUTHORIZATION_CODE})").stream.strip()
        # The kernel reads files; the other channels send the same content.
        self.kernel.execute("import pathlib\nfor name in ('none.json', 'x'): pathlib.Path(name).write_text('[]')")

    def answers(self, text: str) -> dict[str, Any]:
        """Return the response of each channel."""
        elsewhere = {"project": self.project} if self.project else {}
        files = {"files": {name: "[]" for name in ("none.json", "x") if f"config={name}" in text}}
        body = {"text": text, **(files if files["files"] else {})}
        through_proxy = f"{self.hub.url}{SERVICE}api/v1/commands"
        headers = {"Content-Type": "application/json", "Accept": "application/json", "X-XSRF-Token": self.xsrf}
        headers |= {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors", "Origin": self.hub.url}
        page = self.browser.request("POST", through_proxy, json.dumps({**body, **elsewhere}).encode(), headers)
        return {
            "kernel": self._in_a_cell(text),
            "http": post(f"{self.hub.service_url}/api/v1/commands", body, self.role_token),
            "panel": page.json(),
            "command line": post(through_proxy, {**body, **elsewhere}, f"token {self.token}"),
        }

    def _in_a_cell(self, text: str) -> dict[str, Any]:
        cell = self.kernel.execute(f"get_ipython().run_line_magic('aizen', {text!r})")
        output = cell.data[-1][MIME]
        return {"decision": {"allowed": True}} if output["type"] == "result" else output


def post(url: str, body: Any, authorization: str) -> Any:
    headers = {"Content-Type": "application/json", "Authorization": authorization}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=20) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return json.load(error)


def comparable(answer: dict[str, Any]) -> tuple[Any, ...]:
    """Return the comparable part of a response; ids, times and revisions differ between decisions."""
    decision = answer["decision"]
    if decision["allowed"]:
        return (True,)
    fields = [decision.get(key) for key in ("reason", "sentence", "role", "assignment")]
    return (False, *fields, *(json.dumps(answer.get(key)) for key in ("title", "detail", "who_can_grant")))


def foreign_words(channel: str, remedy: str) -> list[str]:
    """Return what a remedy names that its reader does not have: commands of a notebook, or of the command line."""
    quoted = re.findall(r"`((?:aizen-hub|%aizen|list|set|show) [^`]*)`", remedy)
    allowed = {"kernel": ("%aizen", "list", "set", "show"), "http": ("%aizen", "list", "set", "show"), "panel": ()}
    return [text for text in quoted if not text.startswith(allowed.get(channel, ("aizen-hub",)))]


@pytest.mark.proves("R71", "R60", "R144")
def test_every_channel_returns_the_same_decision(hub: HubHandle) -> None:
    with ThreadPoolExecutor() as pool, ExitStack() as stack:
        users = dict(zip(SESSIONS, pool.map(lambda item: ChannelUser(hub, *item), SESSIONS.items()), strict=True))
        for user in users.values():
            stack.callback(user.kernel.close)
        differ, foreign, outcomes = [], [], set()
        for name, user in users.items():
            for text in COMMANDS:
                answers = user.answers(text)
                by_channel = {channel: comparable(answer) for channel, answer in answers.items()}
                for channel, answer in answers.items():
                    foreign += [(channel, text, found) for found in foreign_words(channel, answer.get("remedy") or "")]
                outcomes |= {value[:2] for value in by_channel.values()}
                if len(set(by_channel.values())) != 1:
                    differ.append((name, text, by_channel))
        assert differ == []
        assert foreign == []
        reasons = {reason for allowed, *rest in outcomes if not allowed for reason in rest}
        assert {"no-assignment", "unknown-project", "syntax", "unknown-command"} <= reasons
        assert (True,) in outcomes

        # A change is effective on all channels at once.
        assert {comparable(response) for response in users["rita"].answers("list trainings").values()} == {(True,)}
        lead = f"token {token_of(hub.login('lead'))}"
        revoke = {"text": "revoke role PROJECT_READER from rita", "project": "churn"}
        assert post(f"{hub.url}{SERVICE}api/v1/commands", revoke, lead)["decision"]["allowed"]
        after = {
            channel: comparable(response)[:2] for channel, response in users["rita"].answers("list trainings").items()
        }
        # Who names a project without a session is not told that it exists (R72); a session knows its own.
        told, hidden = (False, "no-assignment"), (False, "unknown-project")
        assert after == {"kernel": told, "http": told, "panel": hidden, "command line": hidden}

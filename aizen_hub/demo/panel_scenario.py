"""Part of the check that goes through the panel: unlocking, a credential, and a request that a grant settles."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from subprocess import CompletedProcess

from aizen_hub.cli.exit_codes import ExitCode
from aizen_hub.client.sync_client import SyncClient
from aizen_hub.demo.deployment import Deployment
from aizen_hub.demo.notebook_user import NotebookUser
from aizen_hub.demo.page import HtmlPage
from aizen_hub.demo.personas import ADMIN, EXECUTOR, LEAD, PROJECT, READER
from aizen_hub.demo.step_counter import StepCounter, expect

PANEL = "/services/aizen/"
ROBOT = "nightly"
_CHANGE = re.compile(rf'href="{PANEL}changes/([0-9a-f]+)">([^<]+)<')
_CREDENTIAL = re.compile(r'class="aizen-secret">\s*(aizen-sa-[\w-]+)\s*<')

CommandLine = Callable[..., "CompletedProcess[str]"]
"""Runs ``aizen-hub`` as a user, with the arguments that follow."""


def check_panel(
    deployment: Deployment, users: Mapping[str, NotebookUser], steps: StepCounter, run: CommandLine, locked: str
) -> None:
    """Run the parts in order.

    Parameters
    ----------
    run : callable
    locked : str
        A user that is locked and unlocked again.
    """
    steps.heading("the panel")
    admin = users[ADMIN.name]
    _check_unlock(admin, steps, run, locked)
    _check_credential(deployment, admin, steps, run)
    _check_request(users, steps, run)


def _check_unlock(admin: NotebookUser, steps: StepCounter, run: CommandLine, locked: str) -> None:
    with steps.step(f"{ADMIN.name} locks {locked}, and the lock is listed"):
        _expect_done(run(admin, "lock", "add", "identity", locked, "--reason", "check"))
        expect(locked in run(admin, "lock", "list").stdout, "the lock is not listed")
    with steps.step("unlocking waits for the panel, which wants a new sign-in and shows the change"):
        _expect_waiting(run(admin, "lock", "remove", "identity", locked, "--reason", "check"))
        page = _open_change(admin, f"unlock identity {locked}")
        expect('id="aizen-confirm"' not in page.text, "it can be confirmed without a new sign-in")
        admin.sign_in_again()
    with steps.step("after the confirmation the user is unlocked"):
        page = _confirm(admin, f"unlock identity {locked}")
        expect("Unlocked" in page.words, f"the page shows {page.words[:300]}")
        expect(locked not in run(admin, "lock", "list").stdout, "the lock is still listed")


def _check_credential(deployment: Deployment, admin: NotebookUser, steps: StepCounter, run: CommandLine) -> None:
    credential = ""
    with steps.step("the credential of a new service account is confirmed in the panel, which shows it"):
        _expect_done(run(admin, "service-account", "create", ROBOT))
        _expect_waiting(run(admin, "service-account", "issue", ROBOT))
        page = _confirm(admin, f"issue a credential for {ROBOT}")
        match = _CREDENTIAL.search(page.text)
        expect(match is not None, f"status {page.status}: {page.words[:300]}")
        credential = match[1] if match else ""
    if not credential:
        return
    with steps.step("the service account signs in with it"):
        me = SyncClient(deployment.ports.service_url, f"Bearer {credential}").get("/api/v1/me")
        expect(ROBOT in json.dumps(me), f"it returned {me}")


def _check_request(users: Mapping[str, NotebookUser], steps: StepCounter, run: CommandLine) -> None:
    lead, reader = users[LEAD.name], users[READER.name]
    with steps.step(f"{READER.name} requests a role, and {LEAD.name} sees the request"):
        _expect_done(run(reader, "request", "ask", EXECUTOR.role, "--project", PROJECT, "--reason", "check"))
        waiting = run(lead, "request", "list", "--to-decide").stdout
        expect(READER.name in waiting and EXECUTOR.role in waiting, f"the list shows {waiting}")
    with steps.step("a grant by command settles the request"):
        lead.run_allowed(f"grant role {EXECUTOR.role} to {READER.name}")
        left = run(lead, "request", "list", "--to-decide").stdout
        expect(EXECUTOR.role not in left, f"it still waits: {left}")
        mine = run(reader, "request", "list", "--mine").stdout
        expect(EXECUTOR.role in mine and "waiting" not in mine, f"the requester sees {mine}")
        lead.run_allowed(f"revoke role {EXECUTOR.role} from {READER.name}")


def _open_change(admin: NotebookUser, summary: str) -> HtmlPage:
    page = admin.browser.get(f"{PANEL}requests")
    changes = {text: change for change, text in _CHANGE.findall(page.text)}
    expect(summary in changes, f"status {page.status}: pending are {sorted(changes)}")
    return admin.browser.get(f"{PANEL}changes/{changes[summary]}")


def _confirm(admin: NotebookUser, summary: str) -> HtmlPage:
    page = _open_change(admin, summary)
    expect('id="aizen-confirm"' in page.text, f"it cannot be confirmed: {page.words[:300]}")
    return admin.browser.submit_panel_form(page, "confirm")


def _expect_done(result: CompletedProcess[str]) -> None:
    expect(result.returncode == ExitCode.DONE, f"exit {result.returncode}: {result.stdout} {result.stderr}")


def _expect_waiting(result: CompletedProcess[str]) -> None:
    text = f"{result.stdout} {result.stderr}"
    expect("waiting for confirmation" in text, f"exit {result.returncode}: {text}")

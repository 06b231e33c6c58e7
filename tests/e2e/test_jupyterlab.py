"""The extension in real JupyterLab and Notebook 7, in Chromium, at a real hub with a core."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from aizen_hub.cli.local_store import open_store, operator_actor
from aizen_hub.demo.browser import Browser
from aizen_hub.demo.config import SPAWN_SECONDS
from aizen_hub.demo.personas import LEAD, PROJECT, READER
from aizen_hub.settings import Settings
from tests.fixtures.demo import Demo

if TYPE_CHECKING:
    from tests.fixtures.lab_page import LabPage

pytestmark = [pytest.mark.needs("browser", "axe"), pytest.mark.slow]
EXECUTOR_ROLE = "PROJECT_EXECUTOR"
OURS = ("#aizen-access", ".aizen-status", ".aizen-output")
REFUSAL, JOB = "application/vnd.aizen.refusal+json", "application/vnd.aizen.job+json"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("l")


@pytest.fixture(scope="module")
def demo(folder: Path) -> Iterator[Demo]:
    running = Demo(folder)
    yield running
    assert running.end() == 0


@pytest.fixture(scope="module")
def rita(demo: Demo, chromium: Any) -> Iterator[LabPage]:
    from playwright.sync_api import expect

    from tests.fixtures.lab_page import LabPage

    expect.set_options(timeout=60_000)
    credentials = (READER.name, demo.password(READER.name))
    browser = Browser(demo.url)
    browser.login(*credentials)
    browser.spawn(PROJECT, seconds=SPAWN_SECONDS)
    page = LabPage(chromium, demo.url, *credentials)
    page.page.goto(page.home + "lab")
    page.page.wait_for_selector(".aizen-status")
    yield page
    page.context.close()


def grant_for_seconds(folder: Path, role: str, seconds: float) -> None:
    from aizen_hub.accounts.roles import assignments
    from aizen_hub.rbac.assignment import Interval
    from aizen_hub.rbac.identity import Identity

    with open_store(Settings.load(folder / "aizen.yaml", {})) as store, store.write(operator_actor()) as tx:
        interval = Interval(None, tx.now + timedelta(seconds=seconds))
        assignments.grant_roles(tx, [role], PROJECT, Identity.user(READER.name), interval=interval, reason="one run")


def approve_request(demo: Demo, role: str, comment: str) -> None:
    """Approve the waiting request for a role in the panel, as the lead of the project."""
    paul = Browser(demo.url)
    paul.login(LEAD.name, demo.password(LEAD.name))
    addresses = dict.fromkeys(re.findall(r"requests/[0-9a-f]{32}", paul.get("/services/aizen/requests").text))
    pages = [paul.get(f"/services/aizen/{address}") for address in addresses]
    [page] = [page for page in pages if page.value("give") == role]
    assert paul.submit_panel_form(page, "approve", until="8h", give=role, note=comment).status == 200


def test_status_and_panel_show_the_session(rita: LabPage) -> None:
    from playwright.sync_api import expect

    rita.open_lab()
    expect(rita.status).to_contain_text("churn · PROJECT_READER")
    expect(rita.panel).to_contain_text("rita, project churn")
    expect(rita.panel.get_by_role("listitem").first).to_contain_text("PROJECT_READER")
    expect(rita.panel).to_contain_text("no end")
    href = rita.panel.get_by_role("link", name="My access").get_attribute("href")
    assert href is not None
    assert href.endswith("/services/aizen/me")
    assert rita.violations(*OURS) == []
    cards = rita.page.locator(".jp-Launcher-section:has-text('Aizen') .jp-LauncherCard")
    expect(cards).to_have_count(4)
    assert "eyJ" not in rita.page.content(), "no token is in the page"
    assert rita.own_complaints() == []


def test_from_a_refusal_to_a_running_job_that_survives_a_reload(demo: Demo, rita: LabPage) -> None:
    """Refusal, request by its button, approval, notification, command, reload, and stopping from the output."""
    from playwright.sync_api import expect

    rita.write_notebook("work.ipynb")
    rita.open_lab("work.ipynb")
    rita.run_cell("start training slow")
    refusal = rita.notebook.locator(".aizen-refusal")
    expect(refusal).to_contain_text("Not allowed")
    expect(refusal.get_by_role("link", name="Why?")).to_have_attribute("href", re.compile("/services/aizen/why"))
    assert rita.violations(*OURS) == []
    refusal.get_by_role("button", name="Ask for PROJECT_EXECUTOR…").click()
    form = rita.page.locator(".aizen-form")
    expect(form.get_by_label("Project")).to_have_value(PROJECT)
    expect(form.get_by_label("Role")).to_have_value(EXECUTOR_ROLE)
    expect(form.get_by_label("Why you need it")).to_have_value("to run: start training slow")
    assert rita.violations(".aizen-form") == []
    form.get_by_label("For").select_option("7 days")
    rita.page.get_by_role("button", name="Send the request").click()
    expect(rita.toast("was sent")).to_be_visible()
    expect(rita.panel).to_contain_text("waiting")

    approve_request(demo, EXECUTOR_ROLE, "One run, please.")
    approved = rita.toast("Your request was approved: PROJECT_EXECUTOR in churn")
    expect(approved).to_contain_text("One run, please.")
    expect(rita.status).to_contain_text("PROJECT_EXECUTOR, 7 h 59 min left")

    rita.run_cell("start training slow")
    expect(rita.status).to_contain_text("1 job")
    job = rita.notebook.locator(".aizen-job")
    expect(job).to_have_attribute("data-state", "running")
    rita.save_notebook("work.ipynb", JOB)
    rita.page.reload()
    rita.page.wait_for_selector(".aizen-status")
    expect(job).to_have_attribute("data-state", "running")
    shown = job.inner_text()
    expect(job).not_to_have_text(shown)
    assert rita.toast("approved").count() == 0, "what was shown before the reload is not shown again"

    job.get_by_role("button", name="Stop").click()
    expect(rita.page.locator(".jp-Dialog")).to_contain_text("start training slow")
    rita.page.get_by_role("button", name="Stop it").click()
    expect(job).to_have_attribute("data-state", "stopped")
    expect(rita.panel).to_contain_text("stopped")
    assert rita.own_complaints() == []


def test_a_role_that_ends_is_announced_and_its_end_is_told(folder: Path, rita: LabPage) -> None:
    from playwright.sync_api import expect

    rita.open_lab()
    grant_for_seconds(folder, "PROJECT_ADMIN", 25)
    rita.page.reload()
    rita.page.wait_for_selector(".aizen-status")
    expect(rita.toast("PROJECT_ADMIN in churn ends in")).to_be_visible()
    ended = rita.toast("PROJECT_ADMIN in churn has ended.")
    expect(ended).to_be_visible()
    expect(rita.panel).not_to_contain_text("PROJECT_ADMIN")
    ended.get_by_role("button", name="Ask again…").click()
    expect(rita.page.locator(".aizen-form").get_by_label("Role")).to_have_value("PROJECT_ADMIN")
    rita.page.get_by_role("button", name="Cancel").click()


def test_outputs_of_another_author_do_nothing_by_themselves(rita: LabPage) -> None:
    """Links lead to the panel or are not shown; a job that is not the user's cannot be stopped."""
    from playwright.sync_api import expect

    refusal = {
        "title": "Not allowed",
        "sentence": "<img src=x onerror=alert(1)>",
        "line": "x",
        "role": EXECUTOR_ROLE,
        "who_can_grant": ["paul"],
        "why_url": "https://evil.example/services/aizen/why",
        "ask_url": "javascript:alert(1)",
    }
    job = {"job_id": "0" * 32, "line": "start training slow", "state": "running", "percent": 40}
    rita.write_notebook(
        "foreign.ipynb",
        [
            {"output_type": "display_data", "metadata": {}, "data": {mime: data, "text/plain": "plain"}}
            for mime, data in ((REFUSAL, refusal), (JOB, job))
        ],
    )
    rita.open_lab("foreign.ipynb")
    shown = rita.notebook.locator(".aizen-refusal")
    expect(shown).to_contain_text("<img src=x onerror=alert(1)>")
    expect(shown.get_by_role("link")).to_have_count(0)
    stale = rita.notebook.locator(".aizen-job")
    expect(stale).to_contain_text("not among your jobs")
    expect(stale.get_by_role("button")).to_have_count(0)
    assert rita.own_complaints() == []


def test_notebook_7_has_status_panel_and_outputs(rita: LabPage) -> None:
    from playwright.sync_api import expect

    rita.write_notebook("classic.ipynb")
    rita.open_notebook("classic.ipynb")
    expect(rita.status).to_contain_text("churn ·")
    rita.status.click()
    expect(rita.panel).to_contain_text("rita, project churn")
    rita.run_cell("delete training churn")
    expect(rita.notebook.locator(".aizen-refusal")).to_contain_text("Not allowed")
    assert rita.violations(*OURS) == []
    assert rita.own_complaints() == []


def test_the_dark_theme_has_contrast_too(rita: LabPage) -> None:
    from playwright.sync_api import expect

    rita.write_notebook("dark.ipynb")
    rita.open_lab("dark.ipynb")
    rita.run_cell("delete training churn")
    rita.notebook.locator(".aizen-refusal").wait_for()
    rita.execute_command("Use Theme: JupyterLab Dark")
    expect(rita.page.locator("body")).to_have_attribute("data-jp-theme-light", "false")
    expect(rita.panel).to_contain_text("Roles here")
    assert rita.violations(*OURS) == []

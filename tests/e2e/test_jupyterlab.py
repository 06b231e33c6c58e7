"""The extension in real JupyterLab and Notebook 7, in Chromium, at a real hub with a core."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from aizen_hub.cli.local_store import open_store, operator_actor
from aizen_hub.demo.browser import Browser
from aizen_hub.demo.config import SPAWN_SECONDS
from aizen_hub.demo.personas import LEAD, PROJECT, READER
from aizen_hub.settings import Settings
from tests.fixtures.demo import Demo
from tests.fixtures.security.jwts import find_jwts

if TYPE_CHECKING:
    from tests.fixtures.browser.lab_page import LabPage

pytestmark = [pytest.mark.needs("browser", "axe"), pytest.mark.slow]
EXECUTOR_ROLE = "PROJECT_EXECUTOR"
OURS = ("#aizen-access", ".aizen-status", ".aizen-output")
SESSION_READING = re.compile(r"/aizen/session(\?.*)?")
MAX_BACKOFF_SECONDS = 121
ENDED = re.compile("session ended|server stopped")  # the server is stopped a minute later
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

    from tests.fixtures.browser.lab_page import LabPage

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


def add_project(folder: Path, name: str) -> None:
    """Create a project in which rita may read."""
    from aizen_hub.accounts.projects import lifecycle
    from aizen_hub.accounts.roles import assignments
    from aizen_hub.rbac.identity import Identity

    with open_store(Settings.load(folder / "aizen.yaml", {})) as store, store.write(operator_actor()) as tx:
        lifecycle.create_project(tx, name, owner=Identity.user(LEAD.name))
        assignments.grant_roles(tx, ["PROJECT_READER"], name, Identity.user(READER.name), reason="second project")


def delete_project(folder: Path, name: str) -> None:
    from aizen_hub.accounts.projects import lifecycle

    with open_store(Settings.load(folder / "aizen.yaml", {})) as store, store.write(operator_actor()) as tx:
        lifecycle.delete_project(tx, name)


def decide_request(demo: Demo, role: str, decision: str, **fields: str) -> None:
    """Approve or deny the waiting request for a role in the panel, as the lead of the project."""
    paul = Browser(demo.url)
    paul.login(LEAD.name, demo.password(LEAD.name))
    addresses = dict.fromkeys(re.findall(r"requests/[0-9a-f]{32}", paul.get("/services/aizen/requests").text))
    pages = [paul.get(f"/services/aizen/{address}") for address in addresses]
    [page] = [page for page in pages if page.value("give") == role]
    assert paul.submit_panel_form(page, decision, **fields).status == 200


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
    assert find_jwts(rita.page.content()) == [], "no token is in the page"
    assert rita.own_complaints() == []


def test_from_a_refusal_to_a_running_job_that_survives_a_reload(demo: Demo, rita: LabPage) -> None:
    """Refusal, request by its button, approval, notification, command, reload, stopping from the output, attaching."""
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

    decide_request(demo, EXECUTOR_ROLE, "approve", until="8h", give=EXECUTOR_ROLE, note="One run, please.")
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

    rita.run_cell("%aizen --background start training slow")
    expect(rita.status).to_contain_text("1 job")
    rita.execute_command("Attach to Job…")
    attached = rita.notebook.locator(".jp-Cell:has-text('%aizen attach') .aizen-job")
    expect(attached).to_have_attribute("data-state", "running")
    attached.get_by_role("button", name="Stop").click()
    rita.page.get_by_role("button", name="Stop it").click()
    expect(attached).to_have_attribute("data-state", "stopped")
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


def test_the_project_is_switched_and_kernel_and_panel_agree(folder: Path, rita: LabPage) -> None:
    """From the palette to a second project, from the launcher back; the running kernel follows."""
    from playwright.sync_api import expect

    def expect_project(name: str) -> None:
        expect(rita.status).to_contain_text(f"{name} ·")
        expect(rita.panel).to_contain_text(f"rita, project {name}")
        rita.run_cell("whoami")
        expect(rita.notebook.locator(".jp-OutputArea-output").first).to_contain_text(name)
        assert kernel_id() == kernel

    def kernel_id() -> str:
        [found] = [session["kernel"]["id"] for session in rita.get("api/sessions") if session["path"] == "switch.ipynb"]
        return str(found)

    add_project(folder, "pricing")
    rita.write_notebook("switch.ipynb")
    rita.open_lab("switch.ipynb")
    rita.run_cell("whoami")
    expect(rita.notebook.locator(".jp-OutputArea-output").first).to_contain_text(PROJECT)
    kernel = kernel_id()
    rita.execute_command("Switch Project…")
    rita.switch_project("pricing")
    expect(rita.toast("The project of this server is pricing.")).to_be_visible()
    expect_project("pricing")
    rita.execute_command("New Launcher")
    rita.page.locator(".jp-LauncherCard:has-text('Switch Project')").last.click()
    rita.switch_project(PROJECT)
    expect(rita.status).to_contain_text(f"{PROJECT} ·")
    rita.open_lab("switch.ipynb")
    expect_project(PROJECT)
    assert rita.own_complaints() == []


def test_a_session_that_will_stop_is_announced(rita: LabPage) -> None:
    """Once, with the time left and the reason; panel and status keep saying it."""
    from playwright.sync_api import expect

    ends_at = (datetime.now(UTC) + timedelta(minutes=9, seconds=30)).isoformat()

    def add_end(route: Any) -> None:
        response = route.fetch()
        document = response.json() | {"ends_at": ends_at, "ends_because": "your last role in `churn` ends"}
        route.fulfill(response=response, json=document)

    rita.page.route(SESSION_READING, add_end)
    rita.open_lab()
    notice = rita.toast("Your session will stop in")
    expect(notice).to_contain_text("save your work. Reason: your last role in churn ends.")
    expect(rita.panel).to_contain_text("This session will stop")
    expect(rita.status).to_contain_text("session stops in")
    assert rita.violations(*OURS) == []
    rita.page.reload()
    expect(rita.status).to_contain_text("session stops in")
    assert notice.count() == 0, "what was shown before the reload is not shown again"
    rita.page.unroute(SESSION_READING)


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


def test_notebook_7_has_status_panel_outputs_and_notifications(demo: Demo, rita: LabPage) -> None:
    """Also the way from a refusal to the decision on a request, here a denial."""
    from playwright.sync_api import expect

    rita.write_notebook("classic.ipynb")
    rita.open_notebook("classic.ipynb")
    expect(rita.status).to_contain_text("churn ·")
    rita.status.click()
    expect(rita.panel).to_contain_text("rita, project churn")
    rita.run_cell("delete training churn")
    refusal = rita.notebook.locator(".aizen-refusal")
    expect(refusal).to_contain_text("Not allowed")
    assert rita.violations(*OURS) == []
    ask = refusal.get_by_role("button", name=re.compile("^Ask for"))
    role = ask.inner_text().removeprefix("Ask for ").removesuffix("…")
    ask.click()
    expect(rita.page.locator(".aizen-form").get_by_label("Role")).to_have_value(role)
    rita.page.get_by_role("button", name="Send the request").click()
    expect(rita.toast("was sent")).to_be_visible()
    decide_request(demo, role, "deny", comment="Trainings are kept.")
    expect(rita.toast(f"Your request was denied: {role} in churn")).to_contain_text("Trainings are kept.")
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


def test_while_the_service_is_away_it_is_asked_at_bounded_intervals(rita: LabPage) -> None:
    from playwright.sync_api import expect

    page = rita.open_page_with_clock()
    page.open_lab()
    expect(page.status).to_contain_text("churn ·")
    asked = []
    problem = {"title": "The service does not answer", "detail": "no connection", "code": "unreachable", "status": 503}

    def refuse(route: Any) -> None:
        asked.append(route.request.url)
        route.fulfill(status=503, json=problem, content_type="application/problem+json")

    page.page.route(SESSION_READING, refuse)
    for readings in range(1, 7):
        page.move_clock(MAX_BACKOFF_SECONDS)
        page.wait_until(lambda: len(asked) >= readings)  # noqa: B023
    expect(page.panel).to_contain_text("The service does not answer")
    expect(page.panel).to_contain_text("What is shown below was true at")
    expect(page.status).to_contain_text("churn ·")
    page.page.unroute(SESSION_READING)
    page.move_clock(MAX_BACKOFF_SECONDS)
    # The clock may have moved before the page planned its next reading, which then comes in real time.
    expect(page.panel).not_to_contain_text("The service does not answer", timeout=2_000 * MAX_BACKOFF_SECONDS)
    assert page.page.locator(".Toastify__toast--error").count() == 0
    page.page.close()


def test_the_end_of_the_session_is_told_once_and_the_server_started_again(
    folder: Path, demo: Demo, rita: LabPage
) -> None:
    """Its project is deleted: one notice, no more questions to the service, and the way back to a session."""
    from playwright.sync_api import expect

    add_project(folder, "doomed")
    page = rita.open_page_with_clock()
    page.open_lab()
    page.post("aizen/project", {"project": "doomed"})
    page.move_clock(20)
    expect(page.status).to_contain_text("doomed ·")
    asked: list[str] = []
    page.page.on("request", lambda request: asked.append(request.url) if "/aizen/" in request.url else None)
    # Once the server is stopped as well, JupyterLab says so in a dialog of its own.
    page.page.add_locator_handler(
        page.page.locator(".jp-Dialog"), lambda dialog: dialog.locator(".jp-mod-reject").first.click()
    )
    delete_project(folder, "doomed")
    page.move_clock(20)
    expect(page.status).to_have_text(ENDED)
    notice = page.page.locator(".Toastify__toast:has-text('Start again…')")
    expect(notice).to_contain_text("at the hub")
    notice.get_by_role("button", name="Why?").click()
    expect(page.panel.get_by_role("alert")).to_contain_text(re.compile("the project was deleted|not run any more"))
    assert page.violations(*OURS) == []

    page.page.wait_for_timeout(1_000)
    asked.clear()
    for _ in range(4):
        page.move_clock(2 * MAX_BACKOFF_SECONDS)
        page.page.wait_for_timeout(1_000)
    assert asked == []
    expect(notice).to_have_count(1)
    with page.context.expect_page() as hub_page:
        notice.get_by_role("button", name="Start again…").click()
    hub_page.value.wait_for_url("**/hub/home")
    hub_page.value.close()
    expect(notice).to_have_count(1)

    browser = Browser(demo.url)
    browser.login(READER.name, demo.password(READER.name))
    browser.stop()
    browser.spawn(PROJECT, seconds=SPAWN_SECONDS)
    page.panel.get_by_role("button", name="Look again").click()
    expect(page.status).to_contain_text("reload the page")
    page.panel.get_by_role("button", name="Reload", exact=True).click()
    expect(page.status).to_contain_text("churn ·")
    asked.clear()
    page.move_clock(MAX_BACKOFF_SECONDS)
    page.wait_until(lambda: bool(asked))
    page.page.close()

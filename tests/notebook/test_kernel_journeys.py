"""What people do in a notebook, in real kernels at a real hub with the sample core."""

from __future__ import annotations

import ast
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from aizen_hub.demo.browser import Browser
from aizen_hub.demo.kernel import CellResult, Kernel
from aizen_hub.notebook.display.progress import JOB_MIME
from aizen_hub.notebook.display.renderable import MIME
from tests.fixtures.hub import HubHandle, running_hub
from tests.fixtures.network.ports import free_port
from tests.fixtures.sample_core import running_core

CELL_SECONDS = 180.0
CLIENT = "get_ipython()._aizen_extension.runner.client"
# Some tests wait for what a user would not wait for: this machine may be slow.
PATIENT = (
    "import aizen_hub.notebook.command_runner as runner, aizen_hub.notebook.completion as completion\n"
    "runner.RETRY_SECONDS, completion.NAMES_SECONDS = 300.0, 20.0"
)
# The hub starts a service that has ended again: here soon, but not as long as a file forbids it.
HOLD = "do-not-start-the-service"
RESTART = f"""
import os
from jupyterhub.services.service import _ServiceSpawner
_ServiceSpawner.poll_interval = 1
_poll_and_notify = _ServiceSpawner.poll_and_notify
async def _poll_unless_held(self):
    if not os.path.exists({HOLD!r}):
        return await _poll_and_notify(self)
_ServiceSpawner.poll_and_notify = _poll_unless_held
"""
PEOPLE = ("lead", "erin", "rita", "nina", "gina")
"""The first three have a server; the last is in the group ``data``."""


class NotebookKernel(Kernel):
    """A kernel whose outputs can be read while a cell runs.

    Attributes
    ----------
    shown : list of dict
        Every state of every output of the last cell, by media type.
    """

    shown: list[dict[str, Any]]

    def run(self, code: str) -> CellResult:
        """Run a cell to its end."""
        self.shown = []
        cell = self.execute(code, seconds=CELL_SECONDS)
        assert cell.status != "timeout", cell.text
        return cell

    def show(self, line: str) -> Mapping[str, Any]:
        """Run a line and return what it shows, by media type."""
        cell = self.run(line)
        assert cell.data, cell.text
        return cell.data[-1]

    def value(self, expression: str) -> Any:
        """Return the value of an expression of literals."""
        cell = self.run(f"print(repr({expression}))")
        assert cell.status == "ok", cell.text
        return ast.literal_eval(cell.stream.strip())

    def complete(self, code: str) -> list[str]:
        """Return the completions at the end of a cell, as a front end asks for them."""
        message_id = self._send("complete_request", {"code": code, "cursor_pos": len(code)})
        self._socket.settimeout(CELL_SECONDS)
        while True:
            message = json.loads(self._socket.recv())
            if message["parent_header"].get("msg_id") == message_id and message["msg_type"] == "complete_reply":
                return list(message["content"]["matches"])

    def interrupt(self) -> None:
        self._browser.api("POST", f"{self._home}api/kernels/{self.id}/interrupt", at=self._home)

    @contextmanager
    def running(self, code: str) -> Iterator[Callable[[], CellResult]]:
        """Run a cell during the block, which calls what is yielded for its end."""
        with ThreadPoolExecutor(1) as pool:
            future = pool.submit(self.run, code)
            yield future.result

    def wait_for(self, is_there: Callable[[Mapping[str, Any]], bool]) -> Mapping[str, Any]:
        """Wait until the running cell has shown something, and return it."""
        deadline = time.monotonic() + CELL_SECONDS
        while time.monotonic() < deadline:
            for bundle in list(self.shown):
                if is_there(bundle):
                    return bundle
            time.sleep(0.05)
        raise AssertionError(self.shown)

    def _collect(self, result: CellResult, message: Mapping[str, Any]) -> set[str]:
        if message["msg_type"] in ("display_data", "update_display_data", "execute_result"):
            self.shown.append(message["content"]["data"])
        return super()._collect(result, message)


class Place:
    """A hub with a project, and a server of each user, with as many kernels as are asked for."""

    def __init__(self, hub: HubHandle, homes: Mapping[str, tuple[Browser, str]], stack: ExitStack) -> None:
        self.hub, self._homes, self._stack = hub, homes, stack
        self._kernels: dict[str, NotebookKernel] = {}
        self._lock = threading.Lock()

    def kernel(self, name: str) -> NotebookKernel:
        """Return the kernel of a user; a second one is named ``erin/2``."""
        with self._lock:
            if name not in self._kernels:
                kernel = NotebookKernel(*self._homes[name.partition("/")[0]])
                self._stack.callback(kernel.close)
                cell = kernel.run(f"{PATIENT}\n{CLIENT}.get_catalog()")
                assert cell.status == "ok", cell.text
                self._kernels[name] = kernel
            return self._kernels[name]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    def seed(tx: Any) -> None:
        from aizen_hub.accounts.groups import management, membership
        from aizen_hub.accounts.projects import lifecycle
        from aizen_hub.accounts.roles import assignments
        from aizen_hub.rbac.identity import Identity

        lifecycle.create_project(tx, "churn", owner=Identity.user("lead"))
        management.create_group(tx, "data")
        membership.add_member(tx, "data", Identity.user("gina"))
        assignments.grant_roles(tx, ["PROJECT_EXECUTOR"], "churn", Identity.user("erin"))
        assignments.grant_roles(tx, ["PROJECT_READER"], "churn", Identity.user("rita"))

    folder, port = tmp_path_factory.mktemp("journeys"), free_port()
    with ExitStack() as stack:
        core = stack.enter_context(running_core(folder, f"http://127.0.0.1:{port}"))
        hub = stack.enter_context(
            running_hub(
                folder,
                {"service": {"port": port}, "core": core},
                accounts=PEOPLE,
                seed=seed,
                config_after=RESTART,
            )
        )

        def start(name: str) -> tuple[Browser, str]:
            browser = hub.login(name)
            return browser, hub.spawn(browser, "churn")

        with ThreadPoolExecutor() as pool:
            names = PEOPLE[:3]
            homes = dict(zip(names, pool.map(start, names), strict=True))
        place = Place(hub, homes, stack)
        erin = place.kernel("erin")
        for line in ("churn epochs=3 pause=0", "short epochs=40 pause=0.05", "long epochs=100000 pause=0.05"):
            output = erin.show(f"configure training {line}")
            assert output[MIME]["type"] == "result", output
        yield place


@pytest.mark.slow
class TestJobs:
    def test_what_start_returns_is_a_job(self, place: Place) -> None:
        erin = place.kernel("erin")
        erin.run("job = %aizen start training churn")
        assert erin.value("(job.state, job.result.data['epochs'], job.records[0]['epochs'])") == ("done", 3, 3)
        assert erin.value("job.wait() is job.result")
        assert "rows to learn from" in erin.value("job.log")[-1]
        assert len(erin.value("job.id")) > 8
        assert "has ended already: done" in erin.run("job.stop()").error

    def test_a_job_is_listed_attached_to_and_stopped(self, place: Place) -> None:
        erin, other = place.kernel("erin"), place.kernel("erin/2")
        erin.run("job = %aizen --background start training short")
        id = erin.value("job.id")
        other.run("jobs = %aizen jobs")
        assert id in other.value("[job.id for job in jobs]")
        other.run(f"job = %aizen attach {id[-8:]}")
        assert other.value("(job.id, job.state, job.result.data['epochs'])") == (id, "done", 40)
        assert erin.value("job.wait().data['epochs']") == 40
        erin.run("job = %aizen --background start training long")
        assert erin.value("(job.state, job.result)") == ("running", None)
        assert erin.value("job.stop().state") == "stopped"

    @pytest.mark.proves("R144")
    def test_the_display_of_a_job_says_how_to_attach(self, place: Place) -> None:
        """As it is saved with the notebook, and shown again after the page was loaded again."""
        erin = place.kernel("erin")
        with erin.running("start training long") as end:
            running = erin.wait_for(lambda bundle: bundle.get(JOB_MIME, {}).get("percent") is not None)
            erin.interrupt()
            cell = end()
        id = running[JOB_MIME]["job_id"]
        assert f"%aizen attach {id[-8:]}</code> shows it again" in running["text/html"]
        assert id[-8:] in running["text/plain"]
        assert f"`start training long` goes on as job {id[-8:]}" in cell.error
        assert cell.data[-1][JOB_MIME]["state"] == "running"
        assert place.kernel("erin/2").show(f"%aizen stop {id[-8:]}")[MIME]["state"] == "stopped"


@pytest.mark.slow
class TestQuestions:
    def test_what_may_be_done(self, place: Place) -> None:
        rita, lead = place.kernel("rita"), place.kernel("lead")
        answer = rita.show("can i delete training?")
        assert (answer[MIME]["type"], answer[MIME]["allowed"]) == ("answer", False)
        assert rita.show("can i list trainings")[MIME]["allowed"] is True
        assert "not by: role PROJECT_READER" in rita.show("why delete training")["text/plain"]
        assert "can i do" not in rita.show("what can i do")["text/plain"].splitlines()[0]
        assert dict(rita.value("_.rows"))["trainings"] == "list, listconfig"
        whoami = rita.show("whoami")[MIME]
        assert whoami["data"]["project"] == "churn"
        assert "PROJECT_READER" in [row[0] for row in whoami["rows"]]
        usage, example, verdict = rita.show("start training?")["text/plain"].splitlines()[:3]
        assert "start training" in usage
        assert example == "for example: `start training churn epochs=5`"
        assert verdict.startswith("you may not")
        assert "by the role PROJECT_" in lead.show("start training?")["text/plain"]

    def test_the_whole_line_wins_over_the_magic_of_the_same_word(self, place: Place) -> None:
        lead = place.kernel("lead")
        output = lead.show("who can start training")[MIME]
        assert {"user:lead", "user:erin"} <= {row[0] for row in output["rows"]}
        lead.run("a_name_of_mine = 1")
        assert "a_name_of_mine" in lead.run("who").stream.split()

    def test_what_python_takes_stays_its_own(self, place: Place) -> None:
        rita = place.kernel("rita")
        cell = rita.run("help")
        assert "help()" in cell.data[-1]["text/plain"]
        assert cell.stream.splitlines()[-1] == "aizen: `help` is Python here; the command is %aizen help"
        cell = rita.run("plot")
        assert cell.error.startswith("NameError")
        assert "the command is %aizen plot" in cell.stream
        cell = rita.run("plot = 41\nplot + 1")
        assert (cell.data[-1]["text/plain"], cell.stream) == ("42", "")

    @pytest.mark.proves("R144")
    def test_a_role_is_requested_and_given_for_hours(self, place: Place) -> None:
        rita, lead = place.kernel("rita"), place.kernel("lead")
        refused = rita.show("start training churn")[MIME]
        assert refused["decision"]["role"] == "PROJECT_EXECUTOR"
        asked = rita.show('request PROJECT_EXECUTOR for 4h because "on call"')[MIME]
        assert asked["type"] == "result", asked
        lead.run(f"pending = {CLIENT}.request_json('/api/v1/requests?which=to-decide', 60)['rows']")
        assert lead.value("pending[0][1:5]") == ["user:rita", "PROJECT_EXECUTOR", "churn", "on call"]
        lead.run(f"{CLIENT}.post_json(f'/api/v1/requests/{{pending[0][0]}}/approve', {{}})")
        rita.run("job = %aizen start training churn")
        assert rita.value("job.state") == "done"
        [role] = [row for row in rita.show("whoami")[MIME]["rows"] if row[0] == "PROJECT_EXECUTOR"]
        left = datetime.fromisoformat(role[2]) - datetime.now(UTC)
        assert timedelta(hours=3) < left <= timedelta(hours=4)


@pytest.mark.slow
def test_a_role_is_given_until_a_day_for_days_and_to_a_group(place: Place) -> None:
    lead = place.kernel("lead")
    day = (datetime.now().astimezone() + timedelta(days=20)).date()
    for line in (
        f"grant role PROJECT_READER to erin until {day}",
        "grant role PROJECT_READER to nina for 7 days",
        "grant role PROJECT_READER to group:data",
    ):
        output = lead.show(line)[MIME]
        assert output["type"] == "result", output
    held = {}
    for name in ("erin", "nina"):
        lead.run(f"roles = %aizen list roles for {name}")
        held[name] = {record["role"]: record["until"] for record in lead.value("roles.records")}
    assert held["erin"]["PROJECT_EXECUTOR"] is None
    # A day still counts, in the zone of the kernel.
    ends = datetime.fromisoformat(held["erin"]["PROJECT_READER"]).astimezone()
    assert ends.date() == day + timedelta(days=1)
    left = datetime.fromisoformat(held["nina"]["PROJECT_READER"]) - datetime.now(UTC)
    assert timedelta(days=6, hours=12) < left <= timedelta(days=8)
    assert "user:gina" in {row[0] for row in lead.show("who can list trainings")[MIME]["rows"]}


@pytest.mark.slow
class TestDisplay:
    def test_a_refusal(self, place: Place) -> None:
        shown = place.kernel("rita").show("delete training churn")
        verdict, way_out = shown["text/plain"].splitlines()
        assert verdict.startswith("Not allowed: ")
        assert way_out.startswith("→ ")
        assert "lead" in way_out
        assert "request PROJECT_ADMIN in churn" in way_out
        html = shown["text/html"]
        before, details = html.split("<details")
        assert "<code>request PROJECT_ADMIN in churn</code>" in before
        assert "`" not in html
        assert shown[MIME]["decision"]["id"] in details
        assert "me/ask?role=PROJECT_ADMIN&amp;project=churn" in before
        assert ">Ask</a>" in before
        assert ">Why</a>" in before

    def test_tables(self, place: Place) -> None:
        lead = place.kernel("lead")
        lead.run("trainings = %aizen list trainings\nimport sys\nsys.modules['pandas'] = None")
        assert "churn" in [next(iter(record.values())) for record in lead.value("trainings.records")]
        cell = lead.run("trainings.df")
        assert cell.error.endswith("`.df` needs pandas, which is not installed here; `.records` has the rows")
        shown = lead.show("show project")
        assert "<table" in shown["text/html"]
        assert "lead" in shown["text/html"]
        assert "{" not in shown["text/plain"] + shown["text/html"]


@pytest.mark.slow
def test_names_are_completed(place: Place) -> None:
    lead = place.kernel("lead")
    assert "churn" in lead.complete("start training ch")
    assert "rita" in lead.complete("%aizen grant role PROJECT_READER to ri")
    assert "PROJECT_EXECUTOR" in lead.complete("request PROJECT_EX")
    assert "churn" in lead.complete("show project ch")


@pytest.mark.slow
def test_a_refused_cell_stops_the_notebook(place: Place) -> None:
    rita = place.kernel("rita")
    cell = rita.run("%aizen --strict delete training churn")
    assert (cell.status, cell.error.partition(":")[0]) == ("error", "AizenDenied")
    rita.run(
        "import nbformat, subprocess, sys\n"
        "strict = '%%aizen --strict\\nlist trainings\\ndelete training churn'\n"
        "cells = ['list trainings', strict, 'print(\"rea\" + \"ched\")']\n"
        "book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])\n"
        "nbformat.write(book, 'all.ipynb')\n"
        "command = [sys.executable, '-m', 'nbconvert', '--to', 'notebook', '--execute', '--stdout', 'all.ipynb']\n"
        "done = subprocess.run(command, capture_output=True, text=True)"
    )
    code, out, err = rita.value("(done.returncode, done.stdout, done.stderr)")
    assert code != 0, out
    assert "Not allowed: " in err
    assert "reached" not in out


@pytest.mark.slow
def test_what_only_reads_waits_for_a_service_that_starts_again(place: Place) -> None:
    erin, hub = place.kernel("erin"), place.hub
    service, hold = hub.service_process(), hub.folder / HOLD
    hold.touch()
    service.kill()
    with erin.running("list trainings") as end:
        try:
            line = erin.wait_for(lambda bundle: "trying again" in str(bundle.get("text/plain")))
        finally:
            hold.unlink()
        cell = end()
    assert "cannot be reached" in line["text/plain"]
    assert "interrupt the cell to stop" in line["text/plain"]
    assert "Idempotency" not in json.dumps(erin.shown)
    assert cell.data[-1][MIME]["type"] == "result", cell.data[-1]
    assert "churn" in [row[0] for row in cell.data[-1][MIME]["rows"]]
    assert hub.service_process().pid != service.pid

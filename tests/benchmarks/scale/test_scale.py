"""The measurement of many sessions works, and loses nothing that it has measured."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks.scale import __main__ as scale
from tests.benchmarks.scale import installation, request_load
from tests.benchmarks.scale.capacity import BUSY, Intervals, Use, carried
from tests.benchmarks.scale.cost import Cost
from tests.benchmarks.scale.measurement import Measurement, Scale
from tests.benchmarks.scale.prepared_requests import write_requests
from tests.benchmarks.scale.request_load import RequestLoad

ROOT = Path(__file__).parents[3]
TINY = Scale(sessions=12, starts=4, passwords=1, heartbeats=1, pages=6, connections=2, step_seconds=4, steady_seconds=3)


def cost(service_ms: float, database_ms: float = 1.0, rows: float = 1.0) -> Cost:
    return Cost("x", 1, 1.0, 1.0, 1.0, 1.0, service_ms, database_ms, rows, 1000.0, 0.0)


def test_the_sessions_that_a_core_carries_follow_from_the_costs() -> None:
    free = cost(0.0, 0.0, 0.0)
    costs = dict.fromkeys(("login", "start", "renewal", "decision", "page", "heartbeat"), free)
    use = Use("one decision a second", decisions=3600, pages=0, starts=0)
    found = carried({**costs, "decision": cost(2.0, 1.0)}, use, Intervals(270, 10))
    # Each session needs 2 ms of a replica and 1 ms of PostgreSQL in every second.
    assert found.sessions_of_replica == pytest.approx(BUSY / 0.002)
    assert found.sessions_of_database == pytest.approx(BUSY / 0.001)
    assert found.rows == pytest.approx(3600)
    renewing = carried({**costs, "renewal": cost(2.7)}, use, Intervals(270, 10))
    assert renewing.sessions_of_replica == pytest.approx(BUSY / (0.0027 / 270))


def test_an_idle_session_renews_and_is_reported() -> None:
    costs = dict.fromkeys(("login", "start", "renewal", "decision", "page", "heartbeat"), cost(1.0))
    idle = Use("none", decisions=0, pages=0, starts=0)
    assert carried(costs, idle, Intervals(360, 36)).rows == pytest.approx(10 + 100)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == "/slow":
            time.sleep(0.2)
        body = json.dumps({"token": self.path}).encode()
        self.send_response(503 if self.path == "/refused" else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: Any) -> None:
        """Say nothing."""


@contextmanager
def serving() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join(30)


def test_every_request_is_sent_once_and_refusals_are_counted(tmp_path: Path) -> None:
    paths = [f"/{number}" for number in range(20)] + ["/refused"]
    requests = [{"method": "GET", "path": path, "head": [], "body": ""} for path in paths]
    with serving() as port, serving() as other:
        load = RequestLoad(
            [port, other], write_requests(tmp_path, "some", requests), 4, "token", 30.0, once=True, collect="token",
            collected=str(tmp_path / "collected"),
        )  # fmt: skip
        outcome = request_load.run(load)
    assert (outcome.answers, outcome.refused) == (20, {"503": 1})
    assert (tmp_path / "collected").read_text().split("\n") == [*paths[:-1], ""]


def test_what_is_due_and_not_sent_in_time_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_load, "BACKLOG_SECONDS", 0.0)
    requests = [{"method": "GET", "path": "/slow", "head": [], "body": ""}]
    with serving() as port:
        load = RequestLoad([port], write_requests(tmp_path, "slow", requests), 1, "token", 3.0, rate=50.0)
        outcome = asyncio.run(request_load._Generator(load).run())
    assert outcome.refused["late"] > 0
    assert outcome.answers + outcome.refused["late"] == 150


def test_a_load_without_a_good_answer_is_an_error(tmp_path: Path) -> None:
    requests = [{"method": "GET", "path": "/refused", "head": [], "body": ""}]
    with serving() as port:
        load = RequestLoad([port], write_requests(tmp_path, "bad", requests), 1, "token", 30.0, once=True)
        with pytest.raises(RuntimeError, match="no good answer: 503"):
            request_load.run(load)


def test_what_was_measured_before_a_failure_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def nothing(*_arguments: Any) -> Iterator[None]:
        yield None

    def run(measurement: Measurement) -> None:
        measurement._report.costs["login"] = cost(2.0)
        measurement._fact("MB", 120.0)
        raise RuntimeError("the database is gone")

    monkeypatch.setattr(installation, "running_installation", nothing)
    monkeypatch.setattr(Measurement, "run", run)
    report, complete = scale.measure(TINY, tmp_path / "out.json")
    assert not complete
    written = json.loads((tmp_path / "out.json").read_text())
    assert (written["complete"], written["facts"]) == (False, {"MB": 120.0})
    assert written["costs"]["login"]["service_ms"] == 2.0
    assert "MB: 120" in scale.describe(report, TINY)


def test_the_tables_go_into_the_page(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text((ROOT / "deploy" / "SCALING.md").read_text(encoding="utf-8"), encoding="utf-8")
    scale.fill_in(page, "| new |")
    text = page.read_text(encoding="utf-8")
    assert text.count("| new |") == 1
    assert "service CPU ms" not in text, "the former tables are replaced"
    assert text.startswith("# Scaling")
    assert "## Several hubs" in text
    page.write_text("no place for it")
    with pytest.raises(SystemExit, match="measured: begin"):
        scale.fill_in(page, "| new |")


def test_nothing_is_started_where_a_program_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["scale"])
    monkeypatch.setattr(scale, "missing", lambda: "no postgres on the search path")
    monkeypatch.setattr(scale, "measure", lambda *_arguments: pytest.fail("it was measured"))
    with pytest.raises(SystemExit, match="no postgres on the search path"):
        scale.main()


@pytest.mark.slow
@pytest.mark.needs("postgres")
def test_a_small_measurement_is_complete(tmp_path: Path) -> None:
    """Two real replicas on a real PostgreSQL; an answer that is not the expected one is counted as refused."""
    report, complete = scale.measure(TINY, tmp_path / "out.json")
    assert complete
    assert set(scale.CARRIED_BY) <= set(report.costs)
    renewals = report.costs["renewal"]
    assert renewals.count + sum(renewals.refused.values()) == TINY.sessions
    # No row, no answer.
    assert min(report.costs[name].rows for name in ("login", "start", "renewal", "decision")) >= 1
    text = scale.describe(report, TINY)
    assert "sessions one core of replicas carries" in text

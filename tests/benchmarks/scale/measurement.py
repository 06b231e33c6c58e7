"""The measurement of `make bench-scale`, step by step; what is known is passed on at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from aizen_hub.settings import Settings
from tests.benchmarks.scale import prepared_requests, request_load
from tests.benchmarks.scale.capacity import Intervals
from tests.benchmarks.scale.cost import Cost, cost_of
from tests.benchmarks.scale.installation import ScaleInstallation
from tests.benchmarks.scale.request_load import LoadOutcome, RequestLoad
from tests.benchmarks.scale.usage import Usage

PAGES = {"home": "panel page home", "people": "panel page people", "audit": "panel page audit"}
DECISIONS_AN_HOUR = 60
FEW = 100
"""Sessions that decide again and again, from what the replicas keep of them."""


@dataclass(frozen=True)
class Scale:
    """How much is measured; every step ends after its seconds, whatever it has reached.

    Attributes
    ----------
    starts : int
        Of servers, and sign-ins.
    step_seconds : float
        Of each step at full speed.
    steady_seconds : float
        Of the last one, in which the sessions do what people do.
    deadline_seconds : float
        Of a request, as the replicas have it.
    """

    sessions: int = 10_000
    starts: int = 1_000
    passwords: int = 30
    heartbeats: int = 5
    pages: int = 60
    connections: int = 8
    step_seconds: float = 20.0
    steady_seconds: float = 60.0
    deadline_seconds: float = Settings().service.deadline_seconds


@dataclass
class Report:
    """What is known so far.

    Attributes
    ----------
    costs : dict
        By the name that `capacity.carried` uses, or another one.
    facts : dict
        Single figures, by their description with the unit.
    machine : str
        What was measured on.
    """

    costs: dict[str, Cost] = field(default_factory=dict)
    facts: dict[str, float] = field(default_factory=dict)
    machine: str = ""


class Measurement:
    """Measures an installation into a report.

    Parameters
    ----------
    changed : callable
        Called after each step, with the report as it is then.
    """

    def __init__(self, here: ScaleInstallation, scale: Scale, report: Report, changed: Callable[[], None]) -> None:
        self._here, self._scale, self._report, self._changed = here, scale, report, changed

    def run(self) -> None:
        """Take all steps.

        Raises
        ------
        RuntimeError
            A step had no good answer, or a session that was renewed was not allowed what its role allows.
        """
        here, scale = self._here, self._scale
        self._fact("MB of memory of a replica after its start", self._peak_megabytes())
        self._measure_idle()
        logins = self._prepare("logins", prepared_requests.logins(here))
        self._run(self._load(logins, '"admitted"', once=True))  # the first sign-in of a person stores more
        self._step("login", "sign-in by a directory, 5 groups", self._load(logins, '"admitted"', once=True))
        passwords = self._prepare("passwords", prepared_requests.passwords(here, scale.passwords))
        self._step(
            "password", "check of a local password", self._load(passwords, '"verified"', once=True, connections=2)
        )
        starts = self._prepare("starts", prepared_requests.starts(here))
        self._step("start", "session start", self._load(starts, '"token"', once=True))
        tokens = self._measure_renewals()
        decisions = self._prepare("decisions", prepared_requests.decisions(tokens))
        load = self._load(decisions, '"allowed":true')
        # One of each session, if the time suffices: what a replica keeps of a person is of little use then.
        self._step("decision", f"decision, {scale.sessions:,} sessions", replace(load, once=True))
        few = self._prepare("few-decisions", prepared_requests.decisions(tokens[:FEW]))
        self._step("decision of few", f"decision, {FEW} sessions", replace(load, requests=few))
        self._step(
            "decision of one", "the same at one replica alone", replace(load, requests=few, ports=here.ports[:1])
        )
        self._fact(f"MB of memory of a replica, {scale.sessions:,} sessions", self._peak_megabytes())
        heartbeats = self._prepare("heartbeats", prepared_requests.heartbeats(here))
        self._measure_heartbeats(heartbeats)
        self._measure_pages()
        self._measure_steadily(tokens, decisions, heartbeats)

    def _measure_idle(self) -> None:
        seconds = min(5.0, self._scale.step_seconds)
        before = self._here.meter.before()
        time.sleep(seconds)
        used = self._here.meter.after() - before
        replicas = len(self._here.ports)
        self._fact("% of a core of an idle replica", 100 * used.service_seconds / seconds / replicas)
        self._fact(f"% of a core of PostgreSQL, {replicas} idle replicas", 100 * used.database_seconds / seconds)

    def _measure_renewals(self) -> list[str]:
        """Renew every session once, and return the tokens of those that were."""
        renewals = self._prepare("renewals", prepared_requests.renewals(self._here))
        file = self._here.folder / "tokens"
        load = self._load(renewals, "access_token", once=True)
        # All have to be renewed, whatever that takes on this machine.
        load = replace(load, collect="access_token", collected=str(file), seconds=15 * self._scale.step_seconds)
        self._step("renewal", "renewal of a role token", load)
        tokens = [token for token in file.read_text(encoding="ascii").splitlines() if token]
        self._fact("sessions that were renewed", len(tokens))
        return tokens

    def _measure_heartbeats(self, heartbeats: str) -> None:
        """Of one listed server, so that it can be computed for any number; what it keeps is nothing."""
        load = self._load(heartbeats, '"stop":[]', connections=1)
        load = replace(load, rate=1.0, seconds=self._scale.heartbeats - 0.5)
        whole = self._measure("heartbeat of the hub", load, paced=True)
        servers = self._scale.sessions
        self._report.costs["heartbeat"] = replace(
            whole,
            name=f"server in a heartbeat of {servers:,}",
            service_ms=whole.service_ms / servers,
            database_ms=whole.database_ms / servers,
            rows=0.0,
            table_bytes=0.0,  # old versions of rows are replaced: tables do not grow with time
            wal_bytes=whole.wal_bytes / servers,
        )
        self._changed()

    def _measure_pages(self) -> None:
        cookie = prepared_requests.sign_in(self._here)
        seconds = self._scale.pages / len(PAGES) / 2
        measured = []
        for page, name in PAGES.items():
            file = self._prepare(f"page-{page}", prepared_requests.pages(cookie, page))
            # No faster than one person may ask: all are the pages of one.
            load = replace(self._load(file, "</html>", connections=2), rate=2.0, seconds=seconds)
            measured.append(self._step(page, name, load, paced=True))
        self._report.costs["page"] = max(measured, key=lambda cost: cost.service_ms)
        self._changed()

    def _measure_steadily(self, tokens: list[str], decisions: str, heartbeats: str) -> None:
        """Let all sessions renew, decide and be reported as often as they are where people work."""
        scale, intervals = self._scale, Intervals()
        renewals = str(self._here.folder / "renewals.jsonl")
        loads = {
            "steady renewal": replace(self._load(renewals, "access_token"), rate=scale.sessions / intervals.renewal),
            "steady decision": replace(
                self._load(decisions, '"allowed":true'), rate=len(tokens) * DECISIONS_AN_HOUR / 3600
            ),
            "steady heartbeat": replace(
                self._load(heartbeats, '"stop":[]', connections=1), rate=1 / intervals.heartbeat
            ),
        }
        loads = {name: replace(load, seconds=scale.steady_seconds) for name, load in loads.items()}
        before = self._here.meter.before()
        started = time.perf_counter()
        processes = {name: request_load.start(load) for name, load in loads.items()}
        outcomes: dict[str, LoadOutcome] = {}
        try:
            for name, process in processes.items():
                outcomes[name] = request_load.finish(process, loads[name])
        finally:
            for process in processes.values():
                process.kill()
                process.wait()
        seconds = time.perf_counter() - started
        used = self._here.meter.after() - before
        nothing = Usage(0, 0, 0, 0, 0)  # what each of them uses cannot be told apart here
        for name, outcome in outcomes.items():
            self._report.costs[name] = cost_of(
                name.removeprefix("steady ") + ", all at once", outcome, nothing, paced=True
            )
        self._fact("cores of all replicas, all at once", used.service_seconds / seconds)
        self._fact("cores of PostgreSQL, all at once", used.database_seconds / seconds)
        self._fact("rows a second, all at once", used.rows / seconds)
        self._fact("kB of WAL a second, all at once", used.wal_bytes / seconds / 1000)

    def _load(self, requests: str, expect: str, *, once: bool = False, connections: int | None = None) -> RequestLoad:
        scale = self._scale
        return RequestLoad(
            self._here.ports, requests, connections or scale.connections, expect, scale.step_seconds, once
        )

    def _prepare(self, name: str, requests: Iterable[dict[str, Any]]) -> str:
        return prepared_requests.write_requests(self._here.folder, name, requests)

    def _run(self, load: RequestLoad) -> LoadOutcome:
        return request_load.run(load)

    def _measure(self, name: str, load: RequestLoad, *, paced: bool = False) -> Cost:
        before = self._here.meter.before()
        outcome = request_load.run(load)
        return cost_of(name, outcome, self._here.meter.after() - before, paced=paced)

    def _step(self, key: str, name: str, load: RequestLoad, *, paced: bool = False) -> Cost:
        cost = self._report.costs[key] = self._measure(name, load, paced=paced)
        self._changed()
        return cost

    def _fact(self, name: str, value: float) -> None:
        self._report.facts[name] = value
        self._changed()

    def _peak_megabytes(self) -> float:
        return max(replica.peak_megabytes for replica in self._here.replicas)

"""A policy that changes 20,000 assignments, and the decisions of others while it is planned and applied."""

from __future__ import annotations

import json
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from aizen_hub.accounts.roles import assignments
from aizen_hub.rbac.identity import Identity
from aizen_hub.settings import Settings
from aizen_hub.store.actor import Actor, Channel
from aizen_hub.store.sql_store import Store
from tests.benchmarks import install, service
from tests.benchmarks.figure import Figure
from tests.benchmarks.install import Size
from tests.benchmarks.load import Load, Outcome, run
from tests.benchmarks.servers import Running, post_json

CHANGES = 20_000
PROJECTS = 500
ROLE = "PROJECT_READER"
PAUSE = 0.02
"""Seconds between the decisions of each of the others: some hundred decisions a second in all."""
ROUND_SECONDS = 2.0
ADMIN = "u1"
"""The user who applies the policy."""
OPERATOR = Actor(Identity.service_account("operator"), Channel.OPERATOR)


def measure(folder: Path, settings: Settings, size: Size, kind: str) -> Iterator[Figure]:
    """Yield how long a plan and its application take, and the slowest hundredth of the decisions meanwhile."""
    policy = _policy(settings, size)
    with service.service(folder, settings) as (running, secret):
        admin = service.open_session(running, secret, 1, size)
        others = [service.open_session(running, secret, user, size) for user in range(2, 2 + service.CONNECTIONS)]
        alone = run(_load(running, others))
        yield Figure(f"slowest hundredth of the same decisions with nothing beside them, {kind}", alone.p99, "ms")
        for name, headers in (("plan", {"Prefer": "dry-run"}), ("application", {})):
            began = time.monotonic()
            with _decisions(running, others) as outcomes:
                operation = _finish(
                    running,
                    admin,
                    post_json(
                        f"{running.url}/api/v1/policy",
                        {"Authorization": f"Bearer {admin}", **headers},
                        {"policy": policy},
                    ),
                )
                taken = time.monotonic() - began
            if operation["state"] != "succeeded":
                raise RuntimeError(f"the {name} ended as {operation['state']}: {operation['problem']}")
            title = f"{name} of a policy, {CHANGES:,} assignments, {kind}"
            yield Figure(title, taken, "s", "at most 20")
            worst = max(outcome.p99 for outcome in outcomes)
            yield Figure(f"slowest hundredth of others' decisions during the {name}, {kind}", worst, "ms", "at most 50")


def _policy(settings: Settings, size: Size) -> dict[str, Any]:
    """Make the user admin of many projects, and return a policy that gives others a role in each of them."""
    projects = [f"p{number}" for number in range(min(PROJECTS, size.projects))]
    store = Store.open(settings, install.catalog(), log_warnings=False)
    try:
        with store.write(OPERATOR) as tx:
            for project in projects:
                assignments.unauthorized_write_assignment(tx, "PROJECT_ADMIN", project, Identity.user(ADMIN))
    finally:
        store.close()
    entries = []
    user = 100
    while len(entries) < CHANGES:
        user += 1
        held = {project for project, _ in size.held(user)}
        for number in range(user, user + 60):
            project = projects[number * 7 % len(projects)]
            if project not in held:
                held.add(project)
                entries.append({"role": ROLE, "scope": project, "identity": f"user:u{user}"})
    return {"projects": projects, "assignments": entries[:CHANGES]}


def _finish(running: Running, token: str, operation: Any) -> Any:
    while operation["state"] in ("waiting", "running"):
        time.sleep(0.2)
        address = f"{running.url}/api/v1/operations/{operation['id']}"
        request = urllib.request.Request(address, headers={"Authorization": f"Bearer {token}"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            operation = json.loads(answer.read())
    return operation


def _load(running: Running, tokens: list[str]) -> Load:
    return replace(service.decisions(running, tokens, ROUND_SECONDS), pause=PAUSE, warm_up=0.2)


@contextmanager
def _decisions(running: Running, tokens: list[str]) -> Iterator[list[Outcome]]:
    """Let others decide in rounds until the block ends; yields the list of the outcomes, complete afterwards."""
    outcomes: list[Outcome] = []
    failed: list[BaseException] = []
    ended = threading.Event()
    load = _load(running, tokens)

    def decide() -> None:
        try:
            while not ended.is_set():
                outcome = run(load)
                # A round that went on after the end would make the figure better than it is.
                if not ended.is_set() or not outcomes:
                    outcomes.append(outcome)
        except BaseException as error:  # noqa: BLE001 - raised by the thread that waits
            failed.append(error)

    thread = threading.Thread(target=decide)
    thread.start()
    try:
        yield outcomes
    finally:
        ended.set()
        thread.join()
    if failed:
        raise failed[0]

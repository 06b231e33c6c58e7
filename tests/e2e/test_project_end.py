"""A project is deleted from one of its notebooks: what that notebook and the others of the project are told."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.hub import HubHandle, running_hub

pytestmark = pytest.mark.slow

GRACE_SECONDS = 6
DEADLINE_SECONDS = 30


def seed(tx: Any) -> None:
    from aizen_hub.accounts.projects import lifecycle
    from aizen_hub.accounts.roles import assignments
    from aizen_hub.rbac.identity import Identity

    for project in ("churn", "fraud"):
        lifecycle.create_project(tx, project, owner=Identity.user("lead"))
    assignments.grant_roles(tx, ["PROJECT_EXECUTOR"], "churn", Identity.user("bob"), reason="test")


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubHandle]:
    settings = {"session": {"heartbeat_seconds": 1, "project_end_grace_seconds": GRACE_SECONDS}}
    folder: Path = tmp_path_factory.mktemp("end")
    with running_hub(folder, settings, accounts={"lead": "", "bob": ""}, seed=seed) as running:
        yield running


@pytest.mark.proves("R48", "R144")
def test_the_notebook_goes_on_and_the_others_are_told_why(hub: HubHandle) -> None:
    lead, bob = hub.login("lead"), hub.login("bob")
    lead_home, bob_home = hub.spawn(lead, "churn"), hub.spawn(bob, "churn")
    with hub.kernel(lead, lead_home) as mine, hub.kernel(bob, bob_home) as other:
        assert "churn" in other.execute("list projects").text
        result = mine.execute("delete project churn")
        assert "this server goes on without a project" in result.text.lower()
        assert mine.execute("import os; print(repr(os.environ['AIZEN_PROJECT']))").text.strip() == "''"
        assert "fraud" in mine.execute("list projects").text
        told = other.execute("list projects").text
        assert "`lead` ended your server's session at" in told
        assert "the project was deleted" in told
        assert f"the server stops {GRACE_SECONDS} seconds later" in told
        assert bob.server() is not None, "it still runs, so that work can be saved"
        deadline = time.monotonic() + DEADLINE_SECONDS
        while bob.server() is not None:
            assert time.monotonic() < deadline
            time.sleep(0.5)
        assert lead.server() is not None
        assert "fraud" in mine.execute("set project fraud").text
        assert "fraud" in mine.execute("show project").text

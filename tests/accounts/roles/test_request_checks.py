"""Checks of access requests when they are made."""

from __future__ import annotations

import pytest

from aizen_hub.accounts.dry_run import dry_run
from aizen_hub.accounts.roles import access_requests
from aizen_hub.problems import BadInput
from tests.accounts.harness import AccountsHarness


@pytest.mark.proves("R72")
def test_a_dry_run_of_a_request_tells_no_project(harness: AccountsHarness) -> None:
    answers = set()
    for project in ("p1", "nowhere"):
        with pytest.raises(BadInput) as caught:
            dry_run(
                harness.store,
                harness.actor("tim"),
                lambda tx, project=project: access_requests.request_access(tx, "PROJECT_READER", project),  # type: ignore[misc]
            )
        answers.add(str(caught.value.to_json()))
    assert len(answers) == 1
    assert "cannot be tried out" in answers.pop()

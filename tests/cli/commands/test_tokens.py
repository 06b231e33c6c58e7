"""``aizen-hub tokens revoke``: the requests that it sends."""

from __future__ import annotations

from typing import Any

import click
import pytest

from tests.cli.conftest import RecordingServer


@pytest.mark.parametrize(
    ("options", "body"),
    [
        (("--user", "alice"), {"target": "user", "name": "alice", "reason": ""}),
        (("--project", "churn", "--reason", "x"), {"target": "project", "name": "churn", "reason": "x"}),
        (("--all",), {"target": "all", "reason": ""}),
    ],
)
def test_the_target_is_sent(recording_server: RecordingServer, options: tuple[str, ...], body: dict[str, Any]) -> None:
    answer = recording_server.run("tokens", "revoke", *options)
    assert answer.return_value == 0, answer.exception
    assert recording_server.requests == [("POST", "tokens/revoke", body)]
    assert "done" in answer.stderr


@pytest.mark.parametrize("options", [(), ("--user", "a", "--project", "b"), ("--user", "a", "--all")])
def test_exactly_one_target_is_required(recording_server: RecordingServer, options: tuple[str, ...]) -> None:
    answer = recording_server.run("tokens", "revoke", *options)
    assert isinstance(answer.exception, click.UsageError)
    assert recording_server.requests == []

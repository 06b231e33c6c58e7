"""``alter`` commands send exactly the given options, and can empty every field."""

from __future__ import annotations

from typing import Any

import click
import pytest

from tests.cli.conftest import RecordingServer


@pytest.mark.parametrize(
    ("options", "alerts"),
    [
        (["--alerts"], {"email": True}),
        (["--no-alerts"], {"email": False}),
        (["--phone-alerts"], {"phone": True}),
        (["--no-phone-alerts", "--alerts"], {"phone": False, "email": True}),
    ],
)
def test_one_alert_channel_does_not_change_the_other(
    recording_server: RecordingServer, options: list[str], alerts: dict[str, bool]
) -> None:
    answer = recording_server.run("user", "alter", "ada", *options)
    assert answer.return_value == 0, answer.output
    assert recording_server.requests == [("PATCH", "users/ada", {"alerts": alerts})]


@pytest.mark.parametrize(
    ("options", "body"),
    [
        (["-p", "read:audit"], {"permissions": ["read:audit"]}),
        (["--no-permissions"], {"permissions": []}),
        (["--limit", "jobs=2"], {"limits": {"jobs": 2.0}}),
        (["--no-limits", "-p", "read"], {"limits": {}, "permissions": ["read"]}),
        (["--description", ""], {"description": ""}),
    ],
)
def test_a_role_can_be_emptied(recording_server: RecordingServer, options: list[str], body: dict[str, Any]) -> None:
    answer = recording_server.run("role", "alter", "AUDITOR", *options)
    assert answer.return_value == 0, answer.output
    assert recording_server.requests == [("PATCH", "roles/AUDITOR", body)]


@pytest.mark.parametrize("options", [["-p", "read", "--no-permissions"], ["--limit", "jobs=1", "--no-limits"], []])
def test_contradicting_or_missing_options_are_rejected(recording_server: RecordingServer, options: list[str]) -> None:
    answer = recording_server.run("role", "alter", "AUDITOR", *options)
    assert isinstance(answer.exception, click.UsageError)
    assert recording_server.requests == []

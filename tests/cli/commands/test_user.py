"""What ``alter`` sends: exactly what was said, so that nothing else changes, and everything can be taken away."""

from __future__ import annotations

from typing import Any

import click
import pytest

from tests.cli.conftest import Counter


@pytest.mark.parametrize(
    ("options", "alerts"),
    [
        (["--alerts"], {"email": True}),
        (["--no-alerts"], {"email": False}),
        (["--phone-alerts"], {"phone": True}),
        (["--no-phone-alerts", "--alerts"], {"phone": False, "email": True}),
    ],
)
def test_one_way_of_alerts_leaves_the_other_alone(
    counter: Counter, options: list[str], alerts: dict[str, bool]
) -> None:
    answer = counter.run("user", "alter", "ada", *options)
    assert answer.return_value == 0, answer.output
    assert counter.asked == [("PATCH", "users/ada", {"alerts": alerts})]


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
def test_a_role_can_be_emptied(counter: Counter, options: list[str], body: dict[str, Any]) -> None:
    answer = counter.run("role", "alter", "AUDITOR", *options)
    assert answer.return_value == 0, answer.output
    assert counter.asked == [("PATCH", "roles/AUDITOR", body)]


@pytest.mark.parametrize("options", [["-p", "read", "--no-permissions"], ["--limit", "jobs=1", "--no-limits"], []])
def test_what_contradicts_itself_or_says_nothing_is_not_sent(counter: Counter, options: list[str]) -> None:
    answer = counter.run("role", "alter", "AUDITOR", *options)
    assert isinstance(answer.exception, click.UsageError)
    assert counter.asked == []

"""``aizen-hub tokens revoke``: what it sends, and what it does not."""

from __future__ import annotations

from typing import Any

import click
import pytest

from tests.cli.conftest import Counter


@pytest.mark.parametrize(
    ("words", "body"),
    [
        (("--user", "alice"), {"target": "user", "name": "alice", "reason": ""}),
        (("--project", "churn", "--reason", "x"), {"target": "project", "name": "churn", "reason": "x"}),
        (("--all",), {"target": "all", "reason": ""}),
    ],
)
def test_whose_tokens_end(counter: Counter, words: tuple[str, ...], body: dict[str, Any]) -> None:
    answer = counter.run("tokens", "revoke", *words)
    assert answer.return_value == 0, answer.exception
    assert counter.asked == [("POST", "tokens/revoke", body)]
    assert "done" in answer.stderr


@pytest.mark.parametrize("words", [(), ("--user", "a", "--project", "b"), ("--user", "a", "--all")])
def test_exactly_one_is_named(counter: Counter, words: tuple[str, ...]) -> None:
    answer = counter.run("tokens", "revoke", *words)
    assert isinstance(answer.exception, click.UsageError)
    assert counter.asked == []

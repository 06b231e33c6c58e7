"""Short ids: a beginning that no other id has."""

from __future__ import annotations

import click
import pytest

from aizen_hub.cli.short_ids import choose_id

IDS = [("0f5a11", "user:ann churn"), ("0f5a22", "user:bob churn"), ("ab34cd", "user:eve fraud")]


@pytest.mark.parametrize(
    ("text", "chosen"),
    [("ab34", "ab34cd"), ("AB34", "ab34cd"), ("0f5a2", "0f5a22"), ("0f5a11", "0f5a11"), ("ffff", "ffff")],
)
def test_a_beginning_stands_for_an_id(text: str, chosen: str) -> None:
    assert choose_id(text, IDS, "requests") == chosen


def test_several_candidates_are_listed() -> None:
    with pytest.raises(click.UsageError) as refused:
        choose_id("0f5a", IDS, "requests")
    message = refused.value.format_message()
    assert message.startswith("2 requests begin with `0f5a`")
    assert "0f5a11  user:ann churn" in message
    assert "user:eve" not in message


def test_a_short_beginning_is_refused_and_a_whole_id_is_not() -> None:
    with pytest.raises(click.UsageError, match="at least 4"):
        choose_id("ab", IDS, "requests")
    assert choose_id("abc", [("abc", "x"), ("abcd", "y")], "rows") == "abc"

"""What grants did, in words."""

from __future__ import annotations

from typing import Any

import pytest

from aizen_hub.service.panel.grant_sentences import describe_grants, name_some


@pytest.mark.parametrize(
    ("names", "text"),
    [
        ((), ""),
        (("user:rita",), "rita"),
        (("user:rita", "group:crew"), "rita and group crew"),
        (("user:a", "user:b", "user:c"), "a, b and c"),
        (("user:a", "user:b", "user:c", "user:d", "user:e"), "a, b, c and 2 more"),
    ],
)
def test_names(names: tuple[str, ...], text: str) -> None:
    assert name_some(names) == text


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ({"granted": ["user:a"]}, "a has READER in churn."),
        ({"granted": ["user:a", "user:b"]}, "a and b have READER in churn."),
        ({"unchanged": ["user:a"]}, "a had it already."),
        ({"pending_ids": ["1"]}, "1 waits for confirmation by a second person."),
    ],
)
def test_sentences(data: dict[str, Any], text: str) -> None:
    assert describe_grants({"granted": [], "unchanged": [], "pending_ids": [], **data}, "READER", "churn") == text

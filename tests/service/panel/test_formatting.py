"""Values as the pages show them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from aizen_hub.rbac.identity import Identity
from aizen_hub.service.panel import formatting

NOW = datetime(2026, 11, 30, 9, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("delta", "text"),
    [
        (timedelta(seconds=59), "now"),
        (timedelta(seconds=60), "1 min ago"),
        (timedelta(minutes=59, seconds=59), "59 min ago"),
        (timedelta(hours=47), "47 h ago"),
        (timedelta(days=3, hours=1), "3 days ago"),
        (-timedelta(minutes=5), "in 5 min"),
        (-timedelta(days=9), "in 9 days"),
    ],
)
def test_how_long_ago(delta: timedelta, text: str) -> None:
    assert formatting.format_ago(NOW - delta, NOW) == text


@pytest.mark.parametrize(
    ("name", "letters"),
    [
        ("Rita Sandoval", "RS"),
        ("rita", "R"),
        ("data-science", "DS"),
        ("a b c", "AC"),
        ("", "?"),
        ("-", "?"),
        ("é", "É"),
    ],
)
def test_initials(name: str, letters: str) -> None:
    assert formatting.initials(name) == letters


def test_a_name_has_one_of_six_colours_always_the_same() -> None:
    hues = {name: formatting.hue(name) for name in map(str, range(200))}
    assert set(hues.values()) == {1, 2, 3, 4, 5, 6}
    assert all(formatting.hue(name) == hue for name, hue in hues.items())
    assert formatting.hue("\udcff") in range(1, 7)


@pytest.mark.parametrize(
    ("text", "result"),
    [("no", "No."), ("No.", "No."), ("is it?", "Is it?"), ("", "."), ("so…", "So…"), (" x ", "X.")],
)
def test_a_sentence(text: str, result: str) -> None:
    assert formatting.sentence(text) == result


@pytest.mark.parametrize(
    ("parts", "query", "page"),
    [
        (("people", "a/b"), {}, "people/a%2Fb"),
        (("people", "é ?"), {}, "people/%C3%A9%20%3F"),
        (("why",), {"who": "rita", "do": "start training", "in_": "churn"}, "why?who=rita&do=start+training&in=churn"),
        (("people",), {"q": None, "state": "", "sort": "name"}, "people?sort=name"),
        ((), {}, ""),
    ],
)
def test_an_address(parts: tuple[str, ...], query: dict[str, str | None], page: str) -> None:
    assert formatting.page_path(*parts, **query) == page
    assert formatting.make_url("/services/aizen/")(*parts, **query) == f"/services/aizen/{page}"


@pytest.mark.parametrize(
    ("identity", "path", "shown", "typed"),
    [
        (Identity.user("rita"), "people/rita", "rita", "rita"),
        ("group:a b", "groups/a%20b", "group a b", "group:a b"),
        ("service-account:n", "service-accounts/n", "service-account n", "service-account:n"),
    ],
)
def test_an_identity(identity: object, path: str, shown: str, typed: str) -> None:
    assert formatting.identity_path(identity) == path
    assert formatting.format_identity(identity) == shown
    assert formatting.name_of(identity) == typed


def test_filters_are_kept_and_replaced() -> None:
    assert formatting.with_query("x", {"q": "a b", "sort": "n"}, sort="-n", after=None) == "x?q=a+b&sort=-n"
    assert formatting.with_query("x", {}) == "x"


@pytest.mark.parametrize(
    ("name", "text"), [("READER", "READER"), ("A_<b>_LONG_ROLE_OF_MANY", "A_<wbr>&lt;b&gt;_<wbr>")]
)
def test_a_role_is_broken_after_underscores_only(name: str, text: str) -> None:
    assert str(formatting.break_role(name)).startswith(text)


@pytest.mark.parametrize(("value", "text"), [(0.0004, "0 ms"), (0.021, "21 ms"), (0.9994, "999 ms"), (2.84, "2.8 s")])
def test_short_times(value: float, text: str) -> None:
    assert formatting.format_seconds(value) == text

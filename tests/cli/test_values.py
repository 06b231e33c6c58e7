"""Times, durations and sizes as people write them."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import click
import pytest
from click.testing import CliRunner

from aizen_hub.cli.values import (
    Meaning,
    end_options,
    local_timestamp,
    parse_duration,
    parse_moment,
    parse_size,
    timestamp,
)

NOW = datetime(2026, 12, 1, 15, 30, tzinfo=UTC)  # 16:30 in Berlin


@pytest.fixture(autouse=True)
def berlin() -> Iterator[None]:
    """The machine is in Berlin: UTC+1 in winter, UTC+2 in summer."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = "Europe/Berlin"
    time.tzset()
    yield
    if before is None:
        del os.environ["TZ"]
    else:
        os.environ["TZ"] = before
    time.tzset()


@pytest.mark.parametrize(
    ("text", "meaning", "moment"),
    [
        ("now", Meaning.START, "2026-12-01T15:30:00+00:00"),
        ("7d", Meaning.END, "2026-12-08T15:30:00+00:00"),
        ("2h30m", Meaning.START, "2026-12-01T18:00:00+00:00"),
        ("2h", Meaning.PAST, "2026-12-01T13:30:00+00:00"),
        ("1w", Meaning.PAST_END, "2026-11-24T15:30:00+00:00"),
        ("eod", Meaning.END, "2026-12-01T23:00:00+00:00"),
        ("EOD", Meaning.START, "2026-12-01T23:00:00+00:00"),
        ("today", Meaning.PAST, "2026-11-30T23:00:00+00:00"),
        ("today", Meaning.END, "2026-12-01T23:00:00+00:00"),
        ("yesterday", Meaning.PAST, "2026-11-29T23:00:00+00:00"),
        ("yesterday", Meaning.PAST_END, "2026-11-30T23:00:00+00:00"),
        ("tomorrow", Meaning.START, "2026-12-01T23:00:00+00:00"),
        ("2026-12-31", Meaning.START, "2026-12-30T23:00:00+00:00"),
        ("2026-12-31", Meaning.END, "2026-12-31T23:00:00+00:00"),  # the day still counts, as in the panel
        ("2027-07-01", Meaning.START, "2027-06-30T22:00:00+00:00"),  # in summer, though it is winter now
        ("2026-12-31T18:00", Meaning.END, "2026-12-31T17:00:00+00:00"),
        ("2026-12-31T18:00Z", Meaning.END, "2026-12-31T18:00:00+00:00"),
        ("2026-12-31T18:00:05+03:00", Meaning.PAST, "2026-12-31T15:00:05+00:00"),
    ],
)
def test_a_moment(text: str, meaning: Meaning, moment: str) -> None:
    assert timestamp(parse_moment(text, meaning, NOW)) == moment


@pytest.mark.parametrize("text", ["", "soon", "7", "d", "2026-13-01", "31.12.2026", "-7d", "7d7d", "0x7d"])
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the text of the standard library is never shown
        parse_moment(text, Meaning.END, NOW)


@pytest.mark.parametrize(
    ("text", "duration"),
    [("90s", timedelta(seconds=90)), ("5min", timedelta(minutes=5)), ("2w3d", timedelta(days=17)), ("5", None)],
)
def test_a_duration(text: str, duration: timedelta | None) -> None:
    assert parse_duration(text) == duration


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("2", 2),
        ("0.5", 0.5),
        ("8GiB", 8 * 2**30),
        ("8Gi", 8 * 2**30),
        ("8GB", 8e9),
        ("8g", 8e9),
        ("1.5 TiB", 1.5 * 2**40),
    ],
)
def test_a_size(text: str, number: float) -> None:
    assert parse_size(text) == number


@pytest.mark.parametrize("text", ["", "-1", "8XB", "GiB", "8 8", "1e9", "nan", "inf"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a number or a size"):
        parse_size(text)


def test_an_end_is_a_moment_or_a_duration_and_not_both() -> None:
    @click.command()
    @end_options()
    def command(ends: datetime | None) -> None:
        click.echo("none" if ends is None else timestamp(ends))

    def run(*arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(command, arguments)
        return result.exit_code, result.output

    assert run() == (0, "none\n")
    assert run("--until", "2026-12-31T18:00Z") == (0, "2026-12-31T18:00:00+00:00\n")
    code, text = run("--for", "7d")
    assert code == 0
    assert timedelta(days=7) - abs(datetime.fromisoformat(text.strip()) - datetime.now(UTC)) < timedelta(minutes=5)
    assert run("--for", "0d")[0] == 2
    assert run("--for", "7d", "--until", "eod")[0] == 2


def test_an_end_is_sent_with_the_zone_of_this_machine() -> None:
    end = parse_moment("2026-12-31", Meaning.END, NOW)
    assert local_timestamp(end) == "2027-01-01T00:00:00+01:00"
    assert timestamp(end) == "2026-12-31T23:00:00+00:00"

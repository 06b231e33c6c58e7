"""Days in commands become times in the zone of the caller."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from aizen_hub.catalogs.loader import load_catalog
from aizen_hub.commands.local_ends import with_local_ends
from aizen_hub.commands.parser import parse_command
from aizen_hub.problems import BadInput

CATALOG = load_catalog("aizen")
NOW = datetime(2026, 12, 1, 15, 30, tzinfo=UTC)
ENDS = {"2026-12-31": datetime.fromisoformat("2027-01-01T00:00:00+01:00")}


@pytest.mark.proves("R83")
def test_the_canonical_text_names_the_time_and_can_be_parsed_again() -> None:
    command = with_local_ends(parse_command("grant role R to rita until 2026-12-31", CATALOG), ENDS, NOW)
    assert command.canonical == "grant role R to rita until 2027-01-01T00:00+01:00"
    assert parse_command(command.canonical, CATALOG).arguments == command.arguments


@pytest.mark.parametrize(
    "line",
    [
        "grant role R to rita until 2027-01-31",
        "grant role R to rita because 2026-12-31",
        "grant role R to rita",
        "start training 2026-12-31",
    ],
)
def test_only_ends_that_are_named_change(line: str) -> None:
    command = parse_command(line, CATALOG)
    assert with_local_ends(command, ENDS, NOW) is command


def test_a_time_that_is_no_end_of_that_day_is_refused() -> None:
    command = parse_command("grant role R to rita until 2026-12-31", CATALOG)
    with pytest.raises(BadInput, match="in no time zone"):
        with_local_ends(command, {"2026-12-31": datetime(2028, 1, 1, tzinfo=UTC)}, NOW)

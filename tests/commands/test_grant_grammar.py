"""Grants with an end, to users and groups, in the grammar of every catalog."""

from __future__ import annotations

import pytest

from aizen_hub.catalogs.loader import load_catalog
from aizen_hub.commands.command import identity_of_argument
from aizen_hub.commands.parser import parse_command
from aizen_hub.problems import CommandSyntaxError


@pytest.mark.parametrize("catalog", ["aizen", "aihub", "xat", "zenml"])
@pytest.mark.parametrize(
    ("text", "arguments", "canonical"),
    [
        ("to rita", {}, "to rita"),
        ("to rita until 2026-12-31", {"until": "2026-12-31"}, "to rita until 2026-12-31"),
        ("to rita until 2026-12-31T18:00Z", {"until": "2026-12-31T18:00Z"}, "to rita until 2026-12-31T18:00Z"),
        ("to rita for 7 days", {"duration": "7days"}, "to rita for 7days"),
        ("to rita for 7d", {"duration": "7d"}, "to rita for 7d"),
        ("to group:data for 4h", {"user": "group:data", "duration": "4h"}, "to group:data for 4h"),
        ('to rita for 1 week because "on call"', {"duration": "1week", "reason": "on call"}, None),
        ('to rita because "on call"', {"reason": "on call"}, 'to rita because "on call"'),
        # Whether both may be given is decided where the role is granted.
        ("to rita until eod for 7d", {"until": "eod", "duration": "7d"}, "to rita until eod for 7d"),
    ],
)
def test_a_grant_may_have_an_end(catalog: str, text: str, arguments: dict[str, str], canonical: str | None) -> None:
    loaded = load_catalog(catalog)
    command = parse_command(f"grant role R,S {text}", loaded)
    assert dict(command.arguments) == {"roles": ("R", "S"), "user": "rita", **arguments}
    assert canonical is None or command.canonical == f"grant role R,S {canonical}"
    assert parse_command(command.canonical, loaded).arguments == command.arguments


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("for 7", "`7` is not a duration"),
        ("for soon", "`soon` is not a duration"),
        ("for 7 parsecs", "`7 parsecs` is not a duration"),
        ("for", "a value for `duration` is missing"),
        ("until tomorrow", "`tomorrow` is not a time"),
        ("until 2026-02-30", "`2026-02-30` is not a time"),
        ("because", "a value for `reason` is missing"),
    ],
)
def test_what_is_no_end_is_refused_with_an_example(text: str, says: str) -> None:
    with pytest.raises(CommandSyntaxError) as caught:
        parse_command(f"grant role R to rita {text}", load_catalog("aizen"))
    assert says in caught.value.detail


@pytest.mark.parametrize(
    ("text", "identity"),
    [
        ("rita", "user:rita"),
        ("group:data", "group:data"),
        ("service-account:nightly", "service-account:nightly"),
        ("user:rita", "user:rita"),
    ],
)
def test_the_identity_of_an_argument(text: str, identity: str) -> None:
    assert str(identity_of_argument(text)) == identity

"""Names typed into one field."""

from __future__ import annotations

import pytest

from aizen_hub.service.panel.fields.names import closest_name, split_names


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", ()),
        (" , ;\n", ()),
        ("rita", ("rita",)),
        ("rita, sam;uma\nrita\r\nbea\t", ("rita", "sam", "uma", "bea")),
        ("group:data science, sam", ("group:data science", "sam")),
    ],
)
def test_names_are_separated(text: str, names: tuple[str, ...]) -> None:
    assert split_names(text) == names


@pytest.mark.parametrize(("name", "closest"), [("pual", "paul"), ("rtia", "rita"), ("zzz", None), ("", None)])
def test_the_closest_name(name: str, closest: str | None) -> None:
    assert closest_name(name, ["paul", "rita", "sam"]) == closest

"""What can come next in a command line, for every command of every catalog."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aizen_hub.catalogs.loader import load_catalog
from aizen_hub.commands.completion import CompletionKind, next_word
from tests.fixtures.timing import cpu_seconds

CATALOG = load_catalog("aizen")


@pytest.mark.parametrize(
    ("text", "words", "kinds", "stem"),
    [
        ("", {"start", "list", "grant"}, [], ""),
        ("sta", {"start", "status"}, [], "sta"),
        ("start tr", {"training"}, [], "tr"),
        ("start training ", set(), [CompletionKind.OBJECT, CompletionKind.KEY], ""),
        ("start training ch", set(), [CompletionKind.OBJECT, CompletionKind.KEY], "ch"),
        ("start training churn ", set(), [CompletionKind.KEY], ""),
        ("start training churn ep", set(), [CompletionKind.KEY], "ep"),
        ("start training churn epochs=", set(), [], ""),
        ("start training churn epochs=3 ", set(), [CompletionKind.KEY], ""),
        ("set project ch", set(), [CompletionKind.PROJECT], "ch"),
        ("create project ", set(), [CompletionKind.PROJECT], ""),
        ("create project x,", {"config="}, [], ""),
        ("create project x,config=", set(), [], ""),
        ("grant role ", set(), [CompletionKind.ROLE], ""),
        ("grant role A,PRO", set(), [CompletionKind.ROLE], "PRO"),
        ("grant role A ", {"to"}, [], ""),
        ("grant role A to ri", set(), [CompletionKind.IDENTITY], "ri"),
        ("grant role A to group:da", set(), [CompletionKind.IDENTITY], "group:da"),
        ("list roles ", {"for"}, [], ""),
        ("list roles for ", set(), [CompletionKind.USER], ""),
        ('grant role A to x because "say \\"', set(), [], ""),
        ("delete users a,", set(), [CompletionKind.USER], ""),
        ("alter users ", set(), [], ""),
        ('start training "chu', set(), [], "chu"),
        ("grant role A from ", set(), [], ""),
        ("no such command ", set(), [], ""),
    ],
)
def test_the_next_word(text: str, words: set[str], kinds: list[CompletionKind], stem: str) -> None:
    place = next_word(text, CATALOG)
    assert words <= {word for word, _ in place.words}
    assert words or not place.words
    assert (list(place.kinds), place.stem, place.start) == (kinds, stem, len(text) - len(stem))


@pytest.mark.parametrize("name", ["aizen", "aihub", "xat", "zenml"])
def test_every_command_of_every_catalog_can_be_completed_to_its_end(name: str) -> None:
    catalog = load_catalog(name)
    for words, entry in catalog.commands.items():
        for cut in range(len(words) + 1):
            place = next_word(words[:cut], catalog)
            assert any(
                f"{words[: place.start]}{word}" == words[: place.start + len(word)] for word, _ in place.words
            ), words[:cut]
        assert next_word(f"{words} ", catalog).entry is entry


@given(
    st.text(max_size=80) | st.lists(st.sampled_from(["grant role", "to", ",", "=", '"', " ", "x", "a,b"])).map("".join)
)
@settings(max_examples=300, deadline=None)
def test_any_text_has_a_next_word_that_begins_with_its_stem(text: str) -> None:
    place = next_word(text, CATALOG)
    assert text[place.start :] == place.stem
    assert all(word.startswith(place.stem) for word, _ in place.words)


@pytest.mark.parametrize(
    "text", ["start training churn " + "a=1 " * 450, "start training " + "a" * 8000 + "= ", '"\\' * 4000]
)
def test_a_long_line_costs_no_time(text: str) -> None:
    assert cpu_seconds(lambda: next_word(text, CATALOG), repeat=5) < 0.05

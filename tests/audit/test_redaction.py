"""Secret arguments: recognisable, never readable."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aizen_hub.audit.redaction import SecretHasher
from aizen_hub.catalogs.catalog import EVERY_PAIR
from aizen_hub.commands.parser import read
from tests.store.world import catalog

KEY, OTHER = bytes(range(32)), bytes(range(1, 33))


@pytest.mark.proves("R98")
@given(st.text(min_size=4))
def test_a_hash_shows_nothing_and_recognises_the_value(value: str) -> None:
    sealed = SecretHasher(KEY).seal(value)
    assert value not in sealed
    assert sealed == SecretHasher(KEY).seal(value)
    assert sealed != SecretHasher(OTHER).seal(value)
    assert sealed != SecretHasher(KEY).seal(value + "x")


@pytest.mark.proves("R2")
def test_a_short_key_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        SecretHasher(b"x" * 31)
    assert repr(SecretHasher(KEY)) == "SecretHasher(…)"


@pytest.mark.proves("R98")
def test_a_command_is_recorded_without_its_secrets() -> None:
    command = read("configure datasource db password=hunter2 host=db.example", catalog())
    entry = replace(command.entry, secret=frozenset({"password"}))
    text = SecretHasher(KEY).text(replace(command, entry=entry))
    assert "hunter2" not in text
    assert "host=db.example" in text
    assert SecretHasher(KEY).seal("hunter2") in text
    every = SecretHasher(KEY).text(replace(command, entry=replace(command.entry, secret=frozenset({EVERY_PAIR}))))
    assert "hunter2" not in every
    assert "host=db.example" not in every

"""Redaction of secret arguments."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aizen_hub.audit.redaction import SecretHasher
from aizen_hub.catalogs.catalog import ALL_KEY_VALUES
from aizen_hub.commands.parser import parse_command
from tests.store.store_rows import catalog

KEY, OTHER = bytes(range(32)), bytes(range(1, 33))


@pytest.mark.proves("R98")
@given(st.text(min_size=4))
def test_equal_secrets_have_equal_hashes_that_reveal_nothing(value: str) -> None:
    redacted = SecretHasher(KEY).hash_secret(value)
    # Hypothesis takes values from literals of the code, of which this prefix is one.
    assert value not in redacted.removeprefix("hmac-")
    assert redacted == SecretHasher(KEY).hash_secret(value)
    assert redacted != SecretHasher(OTHER).hash_secret(value)
    assert redacted != SecretHasher(KEY).hash_secret(value + "x")


@pytest.mark.proves("R2")
def test_a_short_key_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        SecretHasher(b"x" * 31)
    assert repr(SecretHasher(KEY)) == "SecretHasher(…)"


@pytest.mark.proves("R98")
def test_a_command_is_recorded_without_its_secrets() -> None:
    command = parse_command("configure datasource db password=hunter2 host=db.example", catalog())
    entry = replace(command.entry, secret=frozenset({"password"}))
    text = SecretHasher(KEY).redact(replace(command, entry=entry))
    assert "hunter2" not in text
    assert "host=db.example" in text
    assert SecretHasher(KEY).hash_secret("hunter2") in text
    without_values = SecretHasher(KEY).redact(
        replace(command, entry=replace(command.entry, secret=frozenset({ALL_KEY_VALUES})))
    )
    assert "hunter2" not in without_values
    assert "host=db.example" not in without_values

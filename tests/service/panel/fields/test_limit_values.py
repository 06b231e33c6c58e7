"""Values of limits as they are typed and shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aizen_hub.rbac.role import LimitKind
from aizen_hub.service.panel.fields.limit_values import limit_text, parse_limit
from aizen_hub.service.panel.form_errors import FieldError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None), (" ", None), ("8589934592", 2**33), ("8 GiB", 2**33), ("8gib", 2**33), ("8Gi", 2**33),
        ("8 GB", 8e9), ("8G", 8e9), ("1,5 MiB", 1.5 * 2**20), ("512 bytes", 512), ("512b", 512),
    ],
)  # fmt: skip
def test_memory_has_a_unit_or_is_in_bytes(text: str, value: float | None) -> None:
    assert parse_limit(text, LimitKind.MEMORY, field="value") == value


@pytest.mark.parametrize(
    ("text", "kind"),
    [("many", "jobs"), ("3 GiB", "jobs"), ("-1", "jobs"), ("nan", "cpu"), ("8 GiBs", "memory"), ("9" * 400, "cpu")],
)
def test_what_is_no_value(text: str, kind: str) -> None:
    with pytest.raises(FieldError) as caught:
        parse_limit(text, kind, field="value")
    assert caught.value.faults[0].pointer == "/value"


@given(value=st.integers(0, 2**50) | st.integers(0, 64).map(lambda gib: gib * 2**30))
def test_what_is_shown_is_read_again(value: int) -> None:
    assert parse_limit(limit_text(value, LimitKind.MEMORY), LimitKind.MEMORY, field="value") == value


def test_whole_units_are_shown_as_units() -> None:
    assert limit_text(2**33, LimitKind.MEMORY) == "8 GiB"
    assert (limit_text(4, LimitKind.JOBS), limit_text(0.5, LimitKind.CPU), limit_text(None, "jobs")) == ("4", "0.5", "")

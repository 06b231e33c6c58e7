"""The bound of text that people write: it is stored whole, or refused."""

from __future__ import annotations

import pytest

from aizen_hub.problems import TextTooLong
from aizen_hub.validation.prose import MAX_PROSE, check_prose


@pytest.mark.proves("R141")
def test_text_is_kept_or_refused() -> None:
    text = "ä" * MAX_PROSE
    assert check_prose(text, "reason") is text
    with pytest.raises(TextTooLong, match=r"the reason has 1001 characters, and 1000 at most are stored"):
        check_prose(text + "!", "reason")

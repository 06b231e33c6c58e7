"""Web addresses: what cannot be taken apart is refused with a remedy, and without the address."""

from __future__ import annotations

import pytest

from aizen_hub.validation.web_address import check_address, split_address

_HTTP = "http:" + "//"  # apart, since these are no addresses
BROKEN = [
    f"{_HTTP}[x",
    f"{_HTTP}[::1",
    f"{_HTTP}hooks.example.org:port/x",
    f"{_HTTP}hooks.example.org:99999/",
    f"{_HTTP}[1.2]/",
]


@pytest.mark.parametrize("url", BROKEN)
def test_what_is_no_address(url: str) -> None:
    assert split_address(url) is None
    with pytest.raises(ValueError, match="write it as `https://host:port/path`") as caught:
        check_address(url)
    assert "hooks" not in str(caught.value)


@pytest.mark.parametrize("url", ["https://hooks.example.org/a?b", "http://[::1]:8080/", "http://127.0.0.1", "nothing"])
def test_what_can_be_taken_apart(url: str) -> None:
    assert check_address(url) == url

"""Static files: each is served with its type, and none asks for anything that is not there."""

from __future__ import annotations

import re

import pytest

from aizen_hub.service.panel.static_files import _FILES
from tests.service.conftest import Driver
from tests.service.panel.window import PREFIX


@pytest.mark.parametrize("name", sorted(_FILES))
async def test_a_file_is_served_to_browsers_that_are_not_signed_in(hub_service: Driver, name: str) -> None:
    answer = await hub_service.call("GET", f"{PREFIX}static/{name}")
    assert answer.status == 200
    assert answer.headers["Content-Type"] == _FILES[name][1]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "max-age" in answer.headers["Cache-Control"]
    if name.endswith(".css"):
        assert "@import" not in answer.body.decode()
        assert re.findall(r"url\((?!\"?data:)[^)]*\)", answer.body.decode()) == [], "a file that would answer 404"


async def test_any_other_name_is_refused(hub_service: Driver) -> None:
    for name in ("nothing.css", "htmx.min.js", "htmx.LICENSE.txt", "..%2Fpanel.js"):
        assert (await hub_service.call("GET", f"{PREFIX}static/{name}")).status in (400, 404)

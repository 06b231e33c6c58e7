"""The documentation is served to everyone, below the panel, with a policy that allows what its pages contain."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from aizen_hub.service.panel import documentation, documentation_folder
from aizen_hub.service.panel.navigation import help_page
from tests.service.conftest import Driver
from tests.service.panel.window import PREFIX, Window


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(documentation_folder, "FOLDER", tmp_path / "documentation")
    _forget()
    yield tmp_path / "documentation"
    _forget()


def _forget() -> None:
    for function in (documentation._files, documentation._read_file, documentation._headers):
        function.cache_clear()


def write_pages(folder: Path) -> None:
    for name in (
        documentation_folder.START,
        documentation.PROBLEMS,
        "docs/reference/catalogs/aizen.html",
        "_static/a.css",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name, encoding="utf-8")
    (folder / "secret.key").write_text("no type that is served", encoding="utf-8")
    (folder / documentation.INLINE_HASHES).write_text(json.dumps({"script-src": ["sha256-A="], "style-src": []}))
    (folder.parent / "outside.html").write_text("outside", encoding="utf-8")


async def test_pages_and_files_are_served_to_browsers_that_are_not_signed_in(hub_service: Driver, folder: Path) -> None:
    write_pages(folder)
    for name, kind in (
        (documentation_folder.START, "text/html"),
        ("docs/reference/catalogs/aizen.html", "text/html"),
        ("_static/a.css", "text/css"),
    ):
        answer = await hub_service.call("GET", f"{PREFIX}docs/{name}")
        assert (answer.status, answer.body.decode()) == (200, name)
        assert answer.headers["Content-Type"].startswith(kind)
        policy = answer.headers["Content-Security-Policy"]
        assert "script-src 'self' 'sha256-A='; style-src 'self';" in policy
        assert "unsafe" not in policy


async def test_the_type_of_a_problem_leads_to_its_entry(hub_service: Driver, folder: Path) -> None:
    write_pages(folder)
    problem = (await hub_service.call("GET", f"{PREFIX}api/v1/nothing")).json
    answer = await hub_service.call("GET", problem["type"])
    assert answer.status == 302
    assert answer.headers["Location"] == f"{PREFIX}docs/{documentation.PROBLEMS}#problem-not-found"


async def test_the_start_leads_to_the_first_page(hub_service: Driver, folder: Path) -> None:
    write_pages(folder)
    answer = await hub_service.call("GET", f"{PREFIX}docs")
    assert (answer.status, answer.headers["Location"]) == (302, f"{PREFIX}docs/{documentation_folder.START}")


async def test_help_in_the_menu_of_a_page_leads_to_its_explanation(window: Window, folder: Path) -> None:
    await window.sign_in("boss")
    assert ">Help</a>" not in (await window.get("me")).body.decode(), "there is none yet"
    write_pages(folder)
    for page in ("me", "system", "search"):
        text = (await window.get(page)).body.decode()
        assert re.findall(r'<a href="([^"]*)">Help</a>', text) == [f"{PREFIX}docs/{help_page('/' + page)}"]
    assert (await window.get("docs")).headers["Location"] == f"{PREFIX}docs/{documentation_folder.START}"


@pytest.mark.parametrize(
    "path",
    [
        "secret.key",
        "inline.json",
        "../outside.html",
        "..%2Foutside.html",
        "docs/%2e%2e/%2e%2e/outside.html",
        "docs",
        "x/y/z.html",
        "problems/A%22",
    ],
)
async def test_nothing_else_is_served(hub_service: Driver, folder: Path, path: str) -> None:
    write_pages(folder)
    assert (await hub_service.call("GET", f"{PREFIX}docs/{path}")).status in (400, 404)


async def test_without_documentation_the_page_says_how_to_get_it(hub_service: Driver, folder: Path) -> None:
    for path in ("docs", "docs/problems/denied", f"docs/{documentation_folder.START}"):
        answer = await hub_service.call("GET", PREFIX + path)
        assert answer.status == 404
        assert "make docs" in answer.body.decode()

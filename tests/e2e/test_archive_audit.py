"""docs/how-to/archive-audit.md as written: the oldest rows move to a server's folder, and are verified there."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from aizen_hub.service.background.tasks import ScheduledTasks
from aizen_hub.service.factory import build_context
from aizen_hub.settings import Settings
from tests.fixtures.guide import Guide

pytest.importorskip("fsspec", reason="fsspec is not installed: requirements/test.txt has it")
pytest.importorskip("pyftpdlib", reason="pyftpdlib is not installed: requirements/test.txt has it")
FOLDER_OF_THE_PAGE = "s3://audit-archive/aizen"


@pytest.fixture
async def guide(tmp_path: Path) -> Guide:
    """The page, and the folder of a service that has started once and signed a checkpoint."""
    folder = tmp_path / "service"
    folder.mkdir()
    config = folder / "aizen.yaml"
    config.write_text("data_dir: data\nadmin_user: local:root\n", encoding="utf-8")
    context = build_context(Settings.load(config, {}), instance="test", environ={})
    await ScheduledTasks(context).checkpoint()
    context.decisions.close()
    context.store.close()
    return Guide(Path("docs/how-to/archive-audit.md"), folder)


@pytest.fixture
def url(guide: Guide, tmp_path: Path) -> Iterator[str]:
    """A URL for the page's, at an FTP server or at what the environment names."""
    if given := os.environ.get("AIZEN_TEST_OBJECT_STORAGE"):
        yield f"{given}/{uuid.uuid4().hex}"
        return
    from tests.fixtures.network.ftp_server import running_ftp_server

    folder = tmp_path / "served"
    folder.mkdir()
    with running_ftp_server(folder) as server:
        guide.environ |= server.environ
        yield server.url


@pytest.mark.proves("R95", "R97")
def test_the_documented_way(guide: Guide, url: str) -> None:
    verify, archive, verify_archive = guide.commands()
    assert "no modification found" in guide.run_with_messages(verify)
    assert archive[-1] == FOLDER_OF_THE_PAGE
    archive = [{"2026-01-01": "2100-01-01", FOLDER_OF_THE_PAGE: url}.get(word, word) for word in archive]
    object_url = guide.run(archive).strip()
    assert object_url.startswith(f"{url}/audit-0001-")
    assert "rows were not read" in guide.run_with_messages(verify)

    assert verify_archive[-1].startswith(f"{FOLDER_OF_THE_PAGE}/audit-0001-")
    messages = guide.run_with_messages([*verify_archive[:-1], object_url])
    assert "no modification found" in messages
    assert "were not read" not in messages
    with pytest.raises(AssertionError, match="does not exist"):
        guide.run([*verify_archive[:-1], f"{url}/audit-0002.jsonl"])

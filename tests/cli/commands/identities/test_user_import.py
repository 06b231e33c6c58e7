"""`aizen-hub user import`: which files it reads."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from aizen_hub.cli.main import cli
from tests.cli.conftest import RecordingServer

TABLE = "login,name\nzoe,Zoë\n"


@pytest.mark.parametrize("start", ["", "\ufeff"])
def test_files_and_stdin_may_begin_with_a_byte_order_mark(
    start: str, recording_server: RecordingServer, tmp_path: Path
) -> None:
    recording_server.answer = {"rows": [["zoe"]]}
    data = (start + TABLE).encode()
    (tmp_path / "people.csv").write_bytes(data)
    environ = {"AIZEN_HUB_URL": recording_server.url, "AIZEN_HUB_TOKEN": "a made-up token"}
    for name, stdin in ((str(tmp_path / "people.csv"), None), ("-", data)):
        answer = CliRunner().invoke(cli, ["user", "import", name], input=stdin, env=environ, standalone_mode=False)
        assert answer.exception is None, answer.output
        assert "registered already" in answer.stdout


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_another_encoding_is_named(encoding: str, recording_server: RecordingServer, tmp_path: Path) -> None:
    (tmp_path / "people.csv").write_bytes(TABLE.encode(encoding))
    answer = recording_server.run("user", "import", str(tmp_path / "people.csv"))
    assert isinstance(answer.exception, click.UsageError)
    assert "CSV UTF-8" in answer.exception.message

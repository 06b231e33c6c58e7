"""`aizen-hub user import`: which files it reads."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from aizen_hub.cli.main import cli
from tests.cli.conftest import RecordingServer

TABLE = "login,name\nzoe,Zoë\n"
PLAN = {
    "rows": [["zoe", "registered", ""]],
    "data": {"new": 0, "registered": 1, "faulty": 0, "local": 0},
}


@pytest.mark.parametrize("start", ["", "\ufeff"])
def test_files_and_stdin_may_begin_with_a_byte_order_mark(
    start: str, recording_server: RecordingServer, tmp_path: Path
) -> None:
    recording_server.answer = PLAN
    data = (start + TABLE).encode()
    (tmp_path / "people.csv").write_bytes(data)
    environ = {"AIZEN_HUB_URL": recording_server.url, "AIZEN_HUB_TOKEN": "a made-up token"}
    for name, stdin in ((str(tmp_path / "people.csv"), None), ("-", data)):
        answer = CliRunner().invoke(cli, ["user", "import", name], input=stdin, env=environ, standalone_mode=False)
        assert answer.exception is None, answer.output
        assert "zoe\texists" in answer.stdout
        assert recording_server.requests[-1] == ("POST", "user-imports", {"table": TABLE, "mail_links": False})


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_another_encoding_is_named(encoding: str, recording_server: RecordingServer, tmp_path: Path) -> None:
    (tmp_path / "people.csv").write_bytes(TABLE.encode(encoding))
    answer = recording_server.run("user", "import", str(tmp_path / "people.csv"))
    assert isinstance(answer.exception, click.UsageError)
    assert "CSV UTF-8" in answer.exception.message


def test_a_long_table_is_one_request(recording_server: RecordingServer, tmp_path: Path) -> None:
    names = [f"u{number}" for number in range(500)]
    (tmp_path / "people.csv").write_text("login\n" + "\n".join(names))
    rows = [[name, "new", ""] for name in names]
    recording_server.answer = {"rows": rows, "data": {"new": 500, "registered": 0, "faulty": 0, "local": 500}}
    answer = recording_server.run("user", "import", str(tmp_path / "people.csv"), "--dry-run")
    assert answer.exception is None, answer.output
    assert len(recording_server.requests) == 1
    assert "u499\twould be registered" in answer.stdout
    assert "activation-link" in answer.stderr

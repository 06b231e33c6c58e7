"""``aizen-hub audit`` on the service's machine."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest
from click.testing import CliRunner

from aizen_hub.cli.commands.audit import audit
from aizen_hub.problems import Conflict
from aizen_hub.service.background.tasks import ScheduledTasks
from aizen_hub.service.factory import build_context
from aizen_hub.settings import Settings


@pytest.fixture
async def config(tmp_path: Path) -> Path:
    """The configuration of a data folder that a service used: first start, one checkpoint."""
    file = tmp_path / "aizen.yaml"
    file.write_text("data_dir: data\nadmin_user: local:root\n")
    context = build_context(Settings.load(file, {}), instance="test", environ={})
    await ScheduledTasks(context).checkpoint()
    context.decisions.close()
    context.store.close()
    return file


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(audit, [*arguments], standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    return result.return_value, result.stdout, result.stderr


def tamper(config: Path, sql: str) -> None:
    with sqlite3.connect(config.parent / "data" / "aizen.sqlite") as db:
        assert db.execute(sql).rowcount
    db.close()


async def test_an_unmodified_audit_has_no_findings(config: Path) -> None:
    code, _, stderr = run("verify", "-c", str(config))
    assert code == 0, stderr
    assert "no modification found" in stderr


@pytest.mark.parametrize(
    ("sql", "kind"),
    [
        (
            "UPDATE audit SET body = CAST(replace(CAST(body AS TEXT), ':', ';') AS BLOB) WHERE number = 1",
            "changed",
        ),
        ("UPDATE audit SET body = CAST(body AS TEXT) WHERE number = 1", "changed"),
        ("UPDATE audit SET body = CAST(body AS TEXT)", "changed"),
        ("UPDATE audit SET body = 1000000000000 WHERE number = 1", "changed"),
        ("UPDATE audit SET at = 'yesterday' WHERE number = 1", "changed"),
        ("DELETE FROM audit WHERE number = (SELECT max(number) FROM audit)", "truncated"),
        ("UPDATE assignments SET identity = 'user:eve'", "assignment"),
    ],
)
@pytest.mark.proves("R95", "R96", "T-38", "T-39")
async def test_tampering_is_found_by_the_command(config: Path, sql: str, kind: str) -> None:
    tamper(config, sql)
    code, out, _ = run("verify", "-c", str(config), "-o", "json")
    assert code == 1
    assert kind in {finding["kind"] for finding in json.loads(out)["findings"]}


async def test_an_export_contains_every_row_and_is_recorded(config: Path) -> None:
    code, out, _ = run("export", "-c", str(config))
    rows = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert [row["number"] for row in rows] == list(range(1, len(rows) + 1))
    assert rows[-1]["event"] == "audit.exported"
    code, out, _ = run("export", "-c", str(config), "--format", "csv")
    assert len(out.splitlines()) == len(rows) + 2, "a header, and the row of the second export"


def test_archiving_by_the_command(config: Path, tmp_path: Path) -> None:
    """The commands report archived rows; with the archive file, verification covers everything."""
    folder = tmp_path / "archive"
    code, out, stderr = run("archive", "-c", str(config), "--before", "2020-01-01", "--to", str(folder))
    assert (code, out) == (0, "")
    assert "nothing to archive" in stderr
    code, out, stderr = run("archive", "-c", str(config), "--before", "2100-01-01", "--to", str(folder))
    assert code == 0
    file = Path(out.strip())
    assert file.parent == folder
    assert "archived" in stderr
    code, out, stderr = run("verify", "-c", str(config), "-o", "json")
    assert (code, json.loads(out)["unread"]) == (0, json.loads(out)["archived"])
    assert "--archive" in stderr
    code, out, _ = run("verify", "-c", str(config), "--archive", str(file), "-o", "json")
    assert (code, json.loads(out)["unread"]) == (0, 0)
    _, out, stderr = run("export", "-c", str(config))
    assert "audit.archived" in out
    assert "are archived" in stderr
    file.write_bytes(file.read_bytes().replace(b"catalog", b"cat-log", 1))
    code, out, _ = run("verify", "-c", str(config), "--archive", str(file), "-o", "json")
    assert (code, json.loads(out)["findings"][0]["kind"]) == (1, "archive")


async def test_a_modified_checkpoint_file_prevents_archiving(config: Path, tmp_path: Path) -> None:
    file = config.parent / "data" / "audit-checkpoints.jsonl"
    file.write_bytes(file.read_bytes().replace(b'"revision":', b'"revision":1', 1))
    with pytest.raises(Conflict, match="was modified"):
        run("archive", "-c", str(config), "--before", "2100-01-01", "--to", str(tmp_path / "archive"))

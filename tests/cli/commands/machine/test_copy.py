"""``aizen-hub db copy``: what it refuses and records; `tests/store/test_database_copy.py` has the copy itself."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import select

from aizen_hub.cli.exit_codes import ExitCode
from aizen_hub.cli.local_store import open_store, open_store_with_keys
from aizen_hub.cli.main import cli
from aizen_hub.problems import Conflict, NotFound, Unavailable
from aizen_hub.settings import ConfigurationError, Settings
from aizen_hub.store import tables
from aizen_hub.store.instance_lock import InstanceLock, InstanceRunningError
from tests.cli.doctor.installed import add_checkpoint, change_state


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """An installation on SQLite with keys and a checkpoint."""
    (tmp_path / "data").mkdir(mode=0o700)
    (tmp_path / "aizen.yaml").write_text("data_dir: data\n")
    settings = Settings.load(tmp_path / "aizen.yaml", {})
    with open_store(settings, create=True):
        pass
    with open_store_with_keys(settings):
        pass
    change_state(settings)
    add_checkpoint(settings)
    return settings


def run(folder: Path, **environ: str) -> str:
    config = ["-c", str(folder / "aizen.yaml")]
    result = CliRunner().invoke(cli, ["db", "copy", *config], standalone_mode=False, env=environ)
    if result.exception is not None:
        raise result.exception
    assert result.return_value == ExitCode.DONE
    return result.stderr


def events(settings: Settings) -> list[str]:
    with open_store(settings) as store, store.read() as tx:
        return list(tx.conn.scalars(select(tables.audit.c.event).order_by(tables.audit.c.at)))


@pytest.mark.proves("R95")
def test_the_copy_is_recorded_in_both(settings: Settings, tmp_path: Path) -> None:
    target = f"sqlite:///{tmp_path / 'copy.sqlite'}"
    text = run(tmp_path, AIZEN_TARGET_URL=target)
    assert "copying revision: 1 of 1 (100 %)" in text
    assert "the audit is intact" in text
    assert f"`database: {target}`" in text
    copied = settings.model_copy(update={"database": target})
    assert events(settings) == events(copied)
    assert events(copied)[-2:] == ["test.changed", "database.copied"]
    assert (tmp_path / "copy.sqlite").stat().st_mode & 0o777 == 0o600
    with pytest.raises(Conflict, match="exists already"):
        run(tmp_path, AIZEN_TARGET_URL=target)


@pytest.mark.proves("R95")
def test_a_relative_file_is_the_one_that_aizen_yaml_names(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    text = run(tmp_path, AIZEN_TARGET_URL="sqlite:///new.sqlite")
    assert f"`database: sqlite:///{tmp_path / 'new.sqlite'}`" in text
    assert (tmp_path / "new.sqlite").exists()
    assert list(elsewhere.iterdir()) == []


@pytest.mark.proves("R95", "T-38")
def test_an_audit_with_findings_is_not_copied(settings: Settings, tmp_path: Path) -> None:
    with closing(sqlite3.connect(settings.data_dir / "aizen.sqlite", isolation_level=None)) as conn:
        conn.execute("DELETE FROM audit WHERE event = 'test.changed'")
    with pytest.raises(Conflict, match=r"the audit has \d+ findings") as raised:
        run(tmp_path, AIZEN_TARGET_URL=f"sqlite:///{tmp_path / 'copy.sqlite'}")
    assert "audit verify" in str(raised.value.remedy)
    assert list(tmp_path.glob("*copy.sqlite*")) == []


def test_not_while_the_service_runs(settings: Settings, tmp_path: Path) -> None:
    lock = InstanceLock.for_settings(settings)
    assert lock is not None
    before = events(settings)
    with lock, pytest.raises(InstanceRunningError, match="stop it"):
        run(tmp_path, AIZEN_TARGET_URL=f"sqlite:///{tmp_path / 'copy.sqlite'}")
    assert events(settings) == before
    assert not (tmp_path / "copy.sqlite").exists()


def test_a_password_is_neither_shown_nor_recorded(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="accepts connections") as raised:
        run(tmp_path, AIZEN_TARGET_URL="postgresql://aizen:not-shown@127.0.0.1:1/aizen")
    with open_store(settings) as store, store.read() as tx:
        bodies = b"".join(tx.conn.scalars(select(tables.audit.c.body)))
    assert b"127.0.0.1:1" in bodies
    assert b"not-shown" not in bodies + str(raised.value).encode()


def test_without_a_database(tmp_path: Path) -> None:
    (tmp_path / "aizen.yaml").write_text("data_dir: data\n")
    with pytest.raises(NotFound, match="no database yet"):
        run(tmp_path, AIZEN_TARGET_URL=f"sqlite:///{tmp_path / 'copy.sqlite'}")
    assert not (tmp_path / "data").exists()


@pytest.mark.proves("R2")
@pytest.mark.parametrize("name", ["password", "sslpassword"])
def test_a_password_in_the_query_of_the_target_is_refused(settings: Settings, tmp_path: Path, name: str) -> None:
    """It would be printed, and recorded in the audit for ever."""
    with pytest.raises(ConfigurationError, match=f"has `{name}` after the") as refused:
        run(tmp_path, AIZEN_TARGET_URL=f"postgresql://aizen@127.0.0.1:1/aizen?{name}=sekret")
    assert "sekret" not in str(refused.value)
    assert "database.copied" not in events(settings)

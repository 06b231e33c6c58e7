"""docs/operations.md as written: back up, lose the database, restore, accept; rotate the keys, lose the file, recover.

`make drill` does the same with running services under load.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from aizen_hub.cli.exit_codes import ExitCode
from aizen_hub.cli.local_store import open_store, open_store_with_keys
from aizen_hub.cli.main import cli
from aizen_hub.settings import Settings
from tests.cli.doctor.installed import add_checkpoint, change_state
from tests.fixtures.guide import Guide

FOLDER = "/backup/"
Follow = Callable[[], str]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """An installation with keys and a signed checkpoint."""
    (tmp_path / "aizen.yaml").write_text("data_dir: data\n")
    settings = Settings.load(tmp_path / "aizen.yaml", {})
    settings.data_dir.mkdir(mode=0o700)
    with open_store(settings, create=True):
        pass
    change_state(settings)
    add_checkpoint(settings)
    return settings


@pytest.fixture
def follow(tmp_path: Path, settings: Settings) -> Follow:
    """Return a function that runs the next command of the page, confirms it, and returns what it says."""
    commands = iter(Guide(Path("docs/operations.md"), tmp_path).commands())

    def follow() -> str:
        words = [word.replace(FOLDER, f"{tmp_path}/") for word in next(commands)[1:]]
        words = [str(tmp_path / word) if word == "aizen.yaml" else word for word in words]
        answer = CliRunner().invoke(cli, words, standalone_mode=False, input="y\n")
        assert answer.exception is None, (words, answer.exception)
        assert answer.return_value == ExitCode.DONE, (words, answer.output)
        return f"{' '.join(words[:2])}: {answer.output}"

    return follow


def revision_of(settings: Settings) -> int:
    with open_store(settings) as store, store.read() as tx:
        return tx.revision


@pytest.mark.proves("R95", "R96", "T-40")
def test_the_runbooks(settings: Settings, follow: Follow) -> None:
    assert follow().startswith("db backup")
    saved = revision_of(settings)
    change_state(settings)
    add_checkpoint(settings)  # signs what the backup lacks
    for file in settings.data_dir.glob("aizen.sqlite*"):
        file.unlink()
    text = follow()
    assert text.startswith("db restore")
    assert "older than the last checkpoint" in text
    assert revision_of(settings) == saved
    assert follow().startswith("db accept-restore")
    assert "no modification found" in follow()

    text = follow()
    assert text.startswith("keys rotate")
    assert "signing" in follow()

    settings.key_encryption_path.unlink()
    assert follow().startswith("keys recover")
    with open_store_with_keys(settings) as (_, keys):
        assert keys.file_fault is None
    with pytest.raises(StopIteration):
        follow()  # a command that was added to the page needs its step here

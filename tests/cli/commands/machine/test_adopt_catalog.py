"""``aizen-hub db adopt-catalog``: an operator puts another catalog in force for the replicas on PostgreSQL (R109)."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from aizen_hub.catalogs.loader import load_catalog
from aizen_hub.cli.commands.machine.database import db
from aizen_hub.cli.exit_codes import ExitCode
from aizen_hub.problems import Unavailable
from aizen_hub.settings import Settings
from aizen_hub.store.sql_store import Store
from aizen_hub.store.transaction import require_current_catalog


def adopt_catalog(config: Path) -> tuple[int, str]:
    result = CliRunner().invoke(db, ["adopt-catalog", "-c", str(config)], standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    return result.return_value, result.stderr


def open_with(config: Path) -> Store:
    settings = Settings.load(config, {})
    return Store.open(settings, load_catalog(settings.catalog, settings.overlays), log_warnings=False)


@pytest.mark.needs("postgres")
@pytest.mark.proves("R109")
def test_a_replica_with_another_catalog_decides_afterwards_and_the_former_does_not(
    tmp_path: Path, migrated_url: str
) -> None:
    config = tmp_path / "aizen.yaml"
    config.write_text(f"data_dir: data\ndatabase: {migrated_url}\n")
    former = open_with(config)
    config.write_text(f"data_dir: data\ndatabase: {migrated_url}\ncatalog: xat\n")
    new = open_with(config)
    try:
        with new.read() as tx, pytest.raises(Unavailable, match="another catalog") as refused:
            require_current_catalog(tx.state, new.catalog)
        assert "adopt-catalog" in str(refused.value.remedy)
        code, said = adopt_catalog(config)
        assert (code, "`xat`" in said, "restart the replicas" in said) == (ExitCode.DONE, True, True)
        with new.read() as tx:
            require_current_catalog(tx.state, new.catalog)
            revision = tx.revision
        with former.read() as tx, pytest.raises(Unavailable):
            require_current_catalog(tx.state, former.catalog)
        code, said = adopt_catalog(config)
        assert (code, "in force already" in said) == (ExitCode.DONE, True)
        with new.read() as tx:
            assert tx.revision == revision, "nothing was written again"
    finally:
        former.close()
        new.close()

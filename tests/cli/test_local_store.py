"""Commands that run on the service's machine: init, db, recover-admin, doctor."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import create_engine, text

from aizen_hub.cli.exit_codes import Outcome
from aizen_hub.cli.local_store import opened, operator
from aizen_hub.cli.main import cli
from aizen_hub.rbac.identity import Identity
from aizen_hub.settings import ConfigurationError, Settings


def run(*arguments: str, input: str | None = None) -> tuple[Any, Result]:
    answer = CliRunner().invoke(cli, list(arguments), standalone_mode=False, input=input)
    if answer.exception is not None and not isinstance(answer.exception, SystemExit):
        raise answer.exception
    return answer.return_value, answer


@pytest.fixture
def config(tmp_path: Path) -> Path:
    assert run("init", str(tmp_path))[0] == Outcome.DONE
    return tmp_path / "aizen.yaml"


def test_init_writes_what_loads_and_overwrites_nothing(config: Path) -> None:
    assert Settings.load(config, {}).admin_user == "local:admin"
    config.write_text("mine")
    status, answer = run("init", str(config.parent))
    assert status == Outcome.CONFLICT
    assert "--force" in answer.stderr
    assert config.read_text() == "mine"
    assert run("init", str(config.parent), "--force")[0] == Outcome.DONE
    assert config.read_text() != "mine"


@pytest.mark.proves("R8")
def test_init_brings_no_secret_and_no_account(config: Path) -> None:
    """Two installations from the same files share nothing that lets anybody in."""
    assert "password" not in {line.partition(":")[0].strip() for line in config.read_text().splitlines()}
    assert not (config.parent / "aizen-data").exists()
    with opened(prepared(config), may_make=True) as store, store.read() as tx:
        assert tx.rights(Identity.user("admin")).held == ()


def prepared(config: Path) -> Settings:
    settings = Settings.load(config, {})
    settings.data_dir.mkdir(mode=0o700, exist_ok=True)
    return settings


def test_db_before_during_and_after(config: Path) -> None:
    assert run("db", "check", "-c", str(config))[0] == Outcome.NOT_FOUND
    assert run("db", "upgrade", "-c", str(config))[0] == Outcome.DONE
    status, answer = run("db", "check", "-c", str(config))
    assert status == Outcome.DONE
    assert answer.stdout.strip()
    engine = create_engine(Settings.load(config, {}).database_url)
    with engine.begin() as conn:
        conn.execute(text("UPDATE alembic_version SET version_num = 'from-the-future'"))
    engine.dispose()
    with pytest.raises(ConfigurationError, match="newer"):
        run("db", "check", "-c", str(config))


def test_recover_admin_makes_an_admin_and_a_link_that_works(config: Path) -> None:
    prepared(config)
    status, answer = run("recover-admin", "ada", "-c", str(config))
    assert status == Outcome.DONE
    token = answer.stdout.strip().rpartition("#")[2]
    from aizen_hub.accounts.credentials import activation

    with opened(Settings.load(config, {})) as store:
        with store.write(operator()) as tx:
            assert activation.redeem(tx, token, "a long enough pass phrase") == "ada"
        with store.read() as tx:
            assert [held.role for held in tx.rights(Identity.user("ada")).held] == ["AIZEN_ADMIN"]


def test_recover_admin_sets_a_password_without_showing_it(
    config: Path, hashed_beside: Callable[[Path], list[bool]]
) -> None:
    free = hashed_beside(prepared(config).data_dir / "aizen.sqlite")
    secret = "a long enough pass phrase"
    status, answer = run("recover-admin", "ada", "--password", "-c", str(config), input=f"{secret}\n{secret}\n")
    assert status == Outcome.DONE
    assert free == [True], "a running service can go on meanwhile"
    assert secret not in answer.output
    assert answer.stdout == ""


def test_doctor_finds_what_must_not_stay_so(config: Path) -> None:
    status, answer = run("doctor", "-c", str(config), "-o", "json")
    assert status == Outcome.ERROR
    assert "share an origin" in answer.stdout
    assert not (config.parent / "aizen-data").exists(), "it only looks"

    hub = config.parent / "jupyterhub_config.py"
    hub.write_text("c.JupyterHub.subdomain_host = 'https://hub.example.org'\n" + hub.read_text())
    status, answer = run("doctor", "-c", str(config), "-o", "json")
    assert status == Outcome.DONE, answer.stdout

    data = prepared(config).data_dir
    data.chmod(0o755)
    secret = data / "hub-secret"
    secret.write_text("x" * 40)
    secret.chmod(0o644)
    status, answer = run("doctor", "-c", str(config), "-o", "json")
    assert status == Outcome.ERROR
    assert f"chmod 700 {data}" in answer.stdout
    assert f"chmod 600 {secret}" in answer.stdout


def test_doctor_says_which_protections_were_given_away(config: Path) -> None:
    config.write_text("confirm_protected: false\ninsecure_same_uid: true\nauto_register: true\n")
    status, answer = run("doctor", "-c", str(config), "-o", "json")
    assert status == Outcome.DONE, "these are choices"
    for part in ("without confirmation", "whoever runs code", "whoever can sign in"):
        assert part in answer.stdout


@pytest.mark.proves("R1")
def test_doctor_names_a_misspelt_key(config: Path) -> None:
    config.write_text("admin_usr: local:ada\n")
    status, answer = run("doctor", "-c", str(config), "-o", "json")
    assert status == Outcome.ERROR
    assert "`admin_usr` is not a known key" in answer.stdout


def test_the_data_folder_of_upgrade_is_private(config: Path) -> None:
    before = os.umask(0)
    try:
        run("db", "upgrade", "-c", str(config))
    finally:
        os.umask(before)
    assert stat.S_IMODE((config.parent / "aizen-data").stat().st_mode) == 0o700

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

from aizen_hub.cli.exit_codes import ExitCode
from aizen_hub.cli.local_store import open_store, operator_actor
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
    assert run("init", str(tmp_path))[0] == ExitCode.DONE
    return tmp_path / "aizen.yaml"


def test_init_writes_a_valid_configuration_and_overwrites_nothing(config: Path) -> None:
    assert Settings.load(config, {}).admin_user == "local:admin"
    config.write_text("mine")
    status, answer = run("init", str(config.parent))
    assert status == ExitCode.CONFLICT
    assert "--force" in answer.stderr
    assert config.read_text() == "mine"
    assert run("init", str(config.parent), "--force")[0] == ExitCode.DONE
    assert config.read_text() != "mine"


@pytest.mark.proves("R8")
def test_init_creates_no_secret_and_no_account(config: Path) -> None:
    """Two installations with the same files share no credential."""
    assert "password" not in {line.partition(":")[0].strip() for line in config.read_text().splitlines()}
    assert not (config.parent / "aizen-data").exists()
    with open_store(prepare_data_dir(config), create=True) as store, store.read() as tx:
        assert tx.rights(Identity.user("admin")).held_roles == ()


def prepare_data_dir(config: Path) -> Settings:
    settings = Settings.load(config, {})
    settings.data_dir.mkdir(mode=0o700, exist_ok=True)
    return settings


def test_db_check_before_and_after_an_upgrade(config: Path) -> None:
    assert run("db", "check", "-c", str(config))[0] == ExitCode.NOT_FOUND
    assert run("db", "upgrade", "-c", str(config))[0] == ExitCode.DONE
    status, answer = run("db", "check", "-c", str(config))
    assert status == ExitCode.DONE
    assert answer.stdout.strip()
    engine = create_engine(Settings.load(config, {}).database_url)
    with engine.begin() as conn:
        conn.execute(text("UPDATE alembic_version SET version_num = 'from-the-future'"))
    engine.dispose()
    with pytest.raises(ConfigurationError, match="newer"):
        run("db", "check", "-c", str(config))


def test_recover_admin_creates_an_admin_with_a_valid_link(config: Path) -> None:
    prepare_data_dir(config)
    status, answer = run("recover-admin", "ada", "-c", str(config))
    assert status == ExitCode.DONE
    token = answer.stdout.strip().rpartition("#")[2]
    from aizen_hub.accounts.credentials import activation

    with open_store(Settings.load(config, {})) as store:
        with store.write(operator_actor()) as tx:
            assert activation.redeem_link(tx, token, "a long enough pass phrase") == "ada"
        with store.read() as tx:
            assert [held.role for held in tx.rights(Identity.user("ada")).held_roles] == ["AIZEN_ADMIN"]


def test_recover_admin_sets_a_password_without_showing_it(
    config: Path, write_lock_probe: Callable[[Path], list[bool]]
) -> None:
    lock_free = write_lock_probe(prepare_data_dir(config).data_dir / "aizen.sqlite")
    secret = "a long enough pass phrase"
    status, answer = run("recover-admin", "ada", "--password", "-c", str(config), input=f"{secret}\n{secret}\n")
    assert status == ExitCode.DONE
    assert lock_free == [True], "a running service can write meanwhile"
    assert secret not in answer.output
    assert answer.stdout == ""


def test_doctor_reports_errors(config: Path) -> None:
    hub = config.parent / "jupyterhub_config.py"
    text = hub.read_text()
    hub.write_text(text.replace("c.JupyterHub.subdomain_host", "# c.JupyterHub.subdomain_host"))
    status, answer = run("doctor", "-c", str(config), "-o", "json")
    assert status == ExitCode.ERROR
    assert "the user who opens it" in answer.stdout
    assert not (config.parent / "aizen-data").exists(), "doctor changes nothing"

    # Acceptable in a trial only.
    config.write_text(config.read_text() + "\ninsecure_same_origin: true\n")
    status, answer = run("doctor", "-c", str(config), "-o", "json")
    assert status == ExitCode.DONE, answer.stdout
    status, answer = run("doctor", "-c", str(config), "-o", "json", "--production")
    assert status == ExitCode.ERROR
    assert "the user who opens it" in answer.stdout

    hub.write_text(text)
    status, answer = run("doctor", "-c", str(config), "-o", "json")
    assert status == ExitCode.DONE, answer.stdout
    assert "the user who opens it" not in answer.stdout

    data = prepare_data_dir(config).data_dir
    data.chmod(0o755)
    secret = data / "hub-secret"
    secret.write_text("x" * 40)
    secret.chmod(0o644)
    status, answer = run("doctor", "-c", str(config), "-o", "json")
    assert status == ExitCode.ERROR
    assert f"chmod 700 {data}" in answer.stdout
    assert f"chmod 600 {secret}" in answer.stdout


def test_doctor_reports_disabled_protections(config: Path) -> None:
    config.write_text("confirm_protected: false\ninsecure_same_uid: true\nauto_register: true\n")
    status, answer = run("doctor", "-c", str(config), "-o", "json")
    assert status == ExitCode.DONE, "these are warnings"
    for part in ("without confirmation", "every user who runs code", "every user who can sign in"):
        assert part in answer.stdout


@pytest.mark.proves("R1")
def test_doctor_reports_an_unknown_key(config: Path) -> None:
    config.write_text("admin_usr: local:ada\n")
    status, answer = run("doctor", "-c", str(config), "-o", "json")
    assert status == ExitCode.ERROR
    assert "`admin_usr` is not a known key" in answer.stdout


def test_the_data_folder_of_upgrade_is_private(config: Path) -> None:
    before = os.umask(0)
    try:
        run("db", "upgrade", "-c", str(config))
    finally:
        os.umask(before)
    assert stat.S_IMODE((config.parent / "aizen-data").stat().st_mode) == 0o700

"""``aizen-hub doctor``: its levels, exit codes and options; `planted_faults.yaml` has the faults that it finds."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from aizen_hub.cli.doctor import service
from aizen_hub.cli.exit_codes import ExitCode
from aizen_hub.cli.main import cli
from tests.cli.doctor.installed import Findings, run_doctor, write_hub_config, write_settings


def levels_of(findings: Findings, check: str) -> list[str]:
    return [finding["level"] for finding in findings if finding["check"] == check]


def test_a_correct_installation_has_no_errors(folder: Path) -> None:
    status, findings = run_doctor(folder)
    assert [finding for finding in findings if finding["level"] == "fail"] == []
    assert status == ExitCode.DONE
    messages = " ".join(finding["message"] for finding in findings if finding["level"] == "ok")
    for part in (
        "schema",
        "clock agrees",
        "no alert is overdue",
        "every purpose has a signing key",
        "everything that the checkpoints signed",
        "1 users who can sign in hold AIZEN_ADMIN",
        "no setting of the hub disables a protection",
    ):
        assert part in messages


@pytest.mark.parametrize(
    ("options", "level", "status"),
    [
        ((), "warn", ExitCode.DONE),
        (("--strict",), "fail", ExitCode.ERROR),
        (("--production",), "warn", ExitCode.ERROR),
        (("--production", "--strict"), "fail", ExitCode.ERROR),
    ],
)
def test_options_make_errors_of_warnings(options: tuple[str, ...], level: str, status: ExitCode, folder: Path) -> None:
    """A missing core may be intended; `insecure_same_uid` never is in production."""
    code, findings = run_doctor(folder, *options)
    assert levels_of(findings, "core") == [level]
    assert levels_of(findings, "same-uid") == ["fail" if options else "warn"]
    assert code == status


def test_the_table_names_place_and_remedy(folder: Path) -> None:
    (folder / "data").chmod(0o755)
    answer = CliRunner().invoke(cli, ["doctor", "-c", str(folder / "aizen.yaml")], standalone_mode=False)
    assert answer.return_value == ExitCode.ERROR
    assert answer.stdout.split()[:4] == ["LEVEL", "WHERE", "MESSAGE", "REMEDY"]
    (line,) = [line for line in answer.stdout.splitlines() if "other accounts can open" in line]
    assert line.split()[:2] == ["fail", str(folder / "data")]
    assert f"chmod 700 {folder / 'data'}" in line
    assert "1 error, " in answer.stderr
    assert "/services/aizen/docs/docs/doctor.html#files-and-secrets (open-folder" in answer.stderr


def test_each_finding_names_the_page_of_its_remedy(folder: Path) -> None:
    _, findings = run_doctor(folder)
    assert {finding["docs"] for finding in findings if finding["level"] == "ok"} == {""}
    pages = {finding["check"]: finding["docs"] for finding in findings if finding["level"] != "ok"}
    assert pages["core"] == "/services/aizen/docs/docs/reference/settings.html#core"
    assert all(page.startswith("/services/aizen/docs/") for page in pages.values())


def test_it_changes_nothing(folder: Path) -> None:
    def state() -> dict[str, tuple[int, bytes]]:
        files = [path for path in folder.rglob("*") if path.is_file()]
        return {str(path): (stat.S_IMODE(path.stat().st_mode), path.read_bytes()) for path in files}

    (folder / "data" / "aizen.sqlite").chmod(0o644)
    before = state()
    run_doctor(folder)
    assert state() == before


def test_what_the_configuration_of_the_hub_prints_is_no_output(folder: Path) -> None:
    write_hub_config(folder, "print('hello')")
    status, findings = run_doctor(folder)
    assert (status, levels_of(findings, "hub-config")) == (ExitCode.DONE, [])


def test_a_fault_that_no_check_expects_hides_no_other(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> Any:
        raise ZeroDivisionError("unexpected")

    monkeypatch.setattr(os, "statvfs", lambda _: fail())
    status, findings = run_doctor(folder)
    assert (status, levels_of(findings, "not-checked")) == (ExitCode.ERROR, ["fail"])
    assert levels_of(findings, "keys") == ["ok"], "checked later"


@pytest.mark.proves("R2")
def test_a_weak_secret_of_the_hub_is_not_printed(folder: Path) -> None:
    write_hub_config(folder, "c.JupyterHub.cookie_secret = b'secretsecretsecretsecretsecretsecret'")
    _, findings = run_doctor(folder)
    assert levels_of(findings, "weak-secret") == ["fail"]
    assert "secretsecret" not in str(findings)


def test_the_password_of_the_database_is_not_printed(folder: Path) -> None:
    write_settings(folder, database="postgresql://aizen:not-so-secret@127.0.0.1:1/aizen")
    _, findings = run_doctor(folder)
    assert levels_of(findings, "database") == ["fail"]
    assert "not-so-secret" not in str(findings)


@pytest.mark.parametrize("command", [("db", "check"), ("db", "upgrade"), ("keys", "list"), ("recover-admin", "ada")])
def test_other_commands_name_what_keeps_them_from_the_database(
    command: tuple[str, ...], folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """While PostgreSQL is away: one sentence and a remedy, not a trace of the program."""
    from aizen_hub.cli import main

    write_settings(folder, database="postgresql://aizen:not-so-secret@127.0.0.1:1/aizen")
    monkeypatch.setattr("sys.argv", ["aizen-hub", *command, "-c", str(folder / "aizen.yaml")])
    with pytest.raises(SystemExit) as ended:
        main.main()
    assert ended.value.code == ExitCode.UNAVAILABLE
    error = capsys.readouterr().err
    assert "no PostgreSQL server accepts connections at 127.0.0.1:1" in error
    assert "start the server" in error
    assert "Traceback" not in error
    assert "not-so-secret" not in error


def test_servers_without_a_session_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    class FakeClient:
        def get(self, _: str) -> dict[str, Any]:
            return {"rows": [["s1", "ada", "", "churn"], [None, "rob", "old", None], [None, "sam", "", None]]}

    monkeypatch.setenv(service.URL_VARIABLE, "http://127.0.0.1:1")
    monkeypatch.setenv(service.TOKEN_VARIABLE, "a token")
    monkeypatch.setattr(service, "create_client", lambda *_: FakeClient())
    (result,) = service._check_sessions()
    assert result.level == "warn"
    assert "2 servers" in result.message
    assert "rob/old, sam/" in result.message

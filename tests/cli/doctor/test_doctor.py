"""``aizen-hub doctor``: checks of database, secrets, servers and sessions."""

from __future__ import annotations

import json
import logging
import secrets
import shutil
import socket
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from aizen_hub.cli.doctor import service
from aizen_hub.cli.exit_codes import ExitCode
from aizen_hub.cli.local_store import open_store, open_store_with_keys, operator_actor
from aizen_hub.cli.main import cli
from aizen_hub.settings import Settings
from aizen_hub.store import tables
from tests.fixtures.slapd import GROUPS_DN, SUFFIX, running_directory

TRIAL = {"insecure_same_uid": True, "insecure_same_origin": True}


def run_doctor(folder: Path) -> tuple[Any, list[dict[str, str]]]:
    arguments = ["doctor", "-c", str(folder / "aizen.yaml"), "-o", "json"]
    answer = CliRunner().invoke(cli, arguments, standalone_mode=False)
    assert answer.exception is None, answer.exception
    return answer.return_value, json.loads(answer.stdout)


def get_finding(folder: Path, text: str) -> dict[str, str]:
    status, findings = run_doctor(folder)
    matches = [finding for finding in findings if text in finding["message"]]
    assert len(matches) == 1, findings
    (finding,) = matches
    assert finding["level"] == "ok" or finding["remedy"], "every error and warning has a remedy"
    assert status == (ExitCode.ERROR if any(each["level"] == "fail" for each in findings) else ExitCode.DONE)
    return finding


def configure(folder: Path, **settings: Any) -> Settings:
    (folder / "aizen.yaml").write_text(yaml.safe_dump({**TRIAL, "data_dir": "data", **settings}))
    return Settings.load(folder / "aizen.yaml", {})


@pytest.fixture(scope="module")
def prepared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with keys, created once."""
    folder = tmp_path_factory.mktemp("doctor")
    settings = configure(folder)
    settings.data_dir.mkdir(mode=0o700)
    with open_store(settings, create=True):
        pass
    with open_store_with_keys(settings):
        pass
    return folder


@pytest.fixture
def folder(prepared_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(prepared_folder, tmp_path / "installation"))


def test_a_correct_installation_has_no_errors(folder: Path) -> None:
    (folder / "jupyterhub_config.py").write_text(
        "from aizen_hub.hub.configure import configure\nconfigure(c, 'aizen.yaml')\n"
    )
    status, findings = run_doctor(folder)
    assert [finding for finding in findings if finding["level"] == "fail"] == []
    assert status == ExitCode.DONE
    messages = " ".join(finding["message"] for finding in findings if finding["level"] == "ok")
    for part in ("schema", "clock agrees", "no alert is overdue", "every purpose has a signing key"):
        assert part in messages


@pytest.mark.proves("R7")
def test_a_missing_key_file_is_reported(folder: Path) -> None:
    (folder / "data" / "key-encryption-key").unlink()
    finding = get_finding(folder, "sealed")
    assert finding["level"] == "fail"
    assert "key-encryption" in finding["message"]


@pytest.mark.proves("T-40")
def test_a_missing_checkpoint_file_is_reported(folder: Path) -> None:
    checkpoint_file = folder / "data" / "audit-checkpoints.jsonl"
    finding = get_finding(folder, str(checkpoint_file))
    assert (finding["level"], "`checkpoint_file`" in finding["remedy"]) == ("warn", True)
    checkpoint_file.touch(mode=0o600)
    assert not [finding for finding in run_doctor(folder)[1] if str(checkpoint_file) in finding["message"]]


def test_undelivered_alerts_are_counted(folder: Path) -> None:
    with open_store(Settings.load(folder / "aizen.yaml", {})) as store, store.write(operator_actor()) as tx:
        old = tx.now - timedelta(hours=1)
        row = {
            "recipient": "ada",
            "channel": "email",
            "event": "test",
            "payload": {},
            "created": old,
            "next_attempt": old,
        }
        tx.conn.execute(
            tables.outbox.insert(),
            [{**row, "attempts": n, "failure": why} for n, why in ((0, None), (4, None), (8, "connection refused"))],
        )
    late, failed = get_finding(folder, "not delivered"), get_finding(folder, "could not be delivered")
    assert (late["level"], failed["level"]) == ("warn", "warn")
    assert late["message"].startswith("2 alerts")
    assert failed["message"].startswith("1 alerts")
    assert "connection refused" in failed["message"]


@pytest.mark.proves("R2")
@pytest.mark.parametrize(
    ("secret", "weak"),
    [
        ("bytes.fromhex('" + secrets.token_hex(16) + "')", True),
        ("b'secretsecretsecretsecretsecretsecret'", True),
        ("'00' * 32", True),
        ("bytes.fromhex('" + secrets.token_hex(32) + "')", False),
    ],
    ids=("short", "one word", "zeros", "random"),
)
def test_a_weak_secret_of_the_hub_is_reported_but_not_printed(folder: Path, secret: str, weak: bool) -> None:
    (folder / "jupyterhub_config.py").write_text(
        "from aizen_hub.hub.configure import configure\n"
        f"c.JupyterHub.cookie_secret = {secret}\nconfigure(c, 'aizen.yaml')\n"
    )
    _, findings = run_doctor(folder)
    matches = [finding for finding in findings if "cookie_secret" in finding["message"]]
    assert [finding["level"] for finding in matches] == (["fail"] if weak else [])
    assert "secretsecret" not in json.dumps(findings)


def test_an_unreachable_mail_server_is_reported(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        configure(folder, alerts={"mail": {"host": "127.0.0.1", "port": port, "sender": "hub@example.org"}})
        assert get_finding(folder, "the mail server")["level"] == "ok"
    assert get_finding(folder, "the mail server")["level"] == "warn"


def test_an_unreachable_identity_provider_is_reported(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    config = {
        "issuer": f"https://127.0.0.1:{port}",
        "client_id": "hub",
        "client_secret": "s" * 32,
    }
    configure(folder, providers=[{"name": "local", "kind": "local"}, {"name": "idp", "kind": "oidc", "config": config}])
    assert get_finding(folder, "the identity provider `idp`")["level"] == "fail"


class TestDirectory:
    @pytest.fixture(scope="class")
    @staticmethod
    def directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
        logging.getLogger("python-ldap-test").setLevel(logging.ERROR)
        with running_directory(tmp_path_factory.mktemp("slapd")) as running:
            yield running

    def _configure(self, folder: Path, directory: Any, **more: Any) -> None:
        config = {key: value for key, value in directory.settings(**more).items() if value is not None}
        lab = {"name": "lab", "kind": "ldap", "config": json.loads(json.dumps(config, default=list))}
        configure(folder, providers=[{"name": "local", "kind": "local"}, lab])

    def test_reachable(self, folder: Path, directory: Any) -> None:
        self._configure(folder, directory)
        one = get_finding(folder, "the directory `lab`")
        assert one["level"] == "ok", one

    def test_wrong_lookup_password(self, folder: Path, directory: Any) -> None:
        self._configure(folder, directory, lookup_dn_search_password="not it")
        finding = get_finding(folder, "the directory `lab`")
        assert (finding["level"], "lookup account" in finding["message"]) == ("fail", True)

    def test_unreachable(self, folder: Path, directory: Any) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
        self._configure(folder, directory, server_port=port)
        assert get_finding(folder, "the directory `lab`")["level"] == "fail"

    def test_an_unknown_certificate_authority_is_named_with_its_key(self, folder: Path, directory: Any) -> None:
        self._configure(folder, directory, tls_kwargs=None)
        finding = get_finding(folder, "the directory `lab`")
        assert (finding["level"], "`config.tls_kwargs.ca_certs_file`" in finding["message"]) == ("fail", True)

    def test_groups_that_cannot_be_found(self, folder: Path, directory: Any) -> None:
        base = f"ou=other,{SUFFIX}"
        self._configure(folder, directory, user_search_base=base)
        finding = get_finding(folder, "cannot work: no entry under")
        assert (finding["level"], "group_search_base" in finding["remedy"]) == ("warn", True)

    def test_settings_that_differ_from_ldapauthenticator(self, folder: Path, directory: Any) -> None:
        groups = [f"cn=team,{GROUPS_DN}"]
        self._configure(folder, directory, allowed_users=["alice"], allowed_groups=groups)
        finding = get_finding(folder, "`providers.lab.config.allowed_users`")
        assert (finding["level"], "docs/ldap.md" in finding["remedy"]) == ("warn", True)


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

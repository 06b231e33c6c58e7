"""The doctor: what it looks at beyond the files, and what it says of it."""

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
from aizen_hub.cli.exit_codes import Outcome
from aizen_hub.cli.local_store import opened, opened_with_keys, operator
from aizen_hub.cli.main import cli
from aizen_hub.settings import Settings
from aizen_hub.store import tables
from tests.fixtures.slapd import running_directory


def look(folder: Path) -> tuple[Any, list[dict[str, str]]]:
    arguments = ["doctor", "-c", str(folder / "aizen.yaml"), "-o", "json"]
    answer = CliRunner().invoke(cli, arguments, standalone_mode=False)
    assert answer.exception is None, answer.exception
    return answer.return_value, json.loads(answer.stdout)


def found(folder: Path, words: str) -> dict[str, str]:
    status, findings = look(folder)
    about = [one for one in findings if words in one["what"]]
    assert len(about) == 1, findings
    (one,) = about
    assert one["level"] == "ok" or one["remedy"], "whatever is wrong has a remedy"
    assert status == (Outcome.ERROR if any(each["level"] == "fail" for each in findings) else Outcome.DONE)
    return one


def configure(folder: Path, **settings: Any) -> Settings:
    (folder / "aizen.yaml").write_text(yaml.safe_dump({"insecure_same_uid": True, "data_dir": "data", **settings}))
    return Settings.load(folder / "aizen.yaml", {})


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with keys, made once."""
    folder = tmp_path_factory.mktemp("doctor")
    settings = configure(folder)
    settings.data_dir.mkdir(mode=0o700)
    with opened(settings, may_make=True):
        pass
    with opened_with_keys(settings):
        pass
    return folder


@pytest.fixture
def folder(prepared: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(prepared, tmp_path / "installation"))


def test_a_sound_installation_has_nothing_to_mend(folder: Path) -> None:
    (folder / "jupyterhub_config.py").write_text(
        "from aizen_hub.hub.configure import configure\nconfigure(c, 'aizen.yaml')\n"
    )
    status, findings = look(folder)
    assert [one for one in findings if one["level"] == "fail"] == []
    assert status == Outcome.DONE
    said = " ".join(one["what"] for one in findings if one["level"] == "ok")
    for part in ("schema", "clock agrees", "no alert waits", "every purpose has a key"):
        assert part in said


@pytest.mark.proves("R7")
def test_a_lost_key_file_is_named(folder: Path) -> None:
    (folder / "data" / "key-encryption-key").unlink()
    one = found(folder, "sealed")
    assert one["level"] == "fail"
    assert "key-encryption" in one["what"]


@pytest.mark.proves("T-40")
def test_a_lost_checkpoint_file_is_named_before_a_start_begins_a_new_one(folder: Path) -> None:
    place = folder / "data" / "audit-checkpoints.jsonl"
    one = found(folder, str(place))
    assert (one["level"], "`checkpoint_file`" in one["remedy"]) == ("warn", True)
    place.touch(mode=0o600)
    assert not [one for one in look(folder)[1] if str(place) in one["what"]]


def test_alerts_that_nobody_gets_are_counted(folder: Path) -> None:
    with opened(Settings.load(folder / "aizen.yaml", {})) as store, store.write(operator()) as tx:
        old = tx.now - timedelta(hours=1)
        row = {"recipient": "ada", "channel": "email", "event": "test", "payload": {}, "created": old, "next_try": old}
        tx.conn.execute(
            tables.outbox.insert(),
            [{**row, "tries": n, "failed": why} for n, why in ((0, None), (4, None), (8, "connection refused"))],
        )
    late, failed = found(folder, "not delivered"), found(folder, "given up")
    assert (late["level"], failed["level"]) == ("warn", "warn")
    assert late["what"].startswith("2 alerts")
    assert failed["what"].startswith("1 alerts")
    assert "connection refused" in failed["what"]


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
def test_a_weak_secret_of_the_hub_is_named_and_not_shown(folder: Path, secret: str, weak: bool) -> None:
    (folder / "jupyterhub_config.py").write_text(
        "from aizen_hub.hub.configure import configure\n"
        f"c.JupyterHub.cookie_secret = {secret}\nconfigure(c, 'aizen.yaml')\n"
    )
    _, findings = look(folder)
    about = [one for one in findings if "cookie_secret" in one["what"]]
    assert [one["level"] for one in about] == (["fail"] if weak else [])
    assert "secretsecret" not in json.dumps(findings)


def test_a_mail_server_answers_or_not(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        configure(folder, alerts={"mail": {"host": "127.0.0.1", "port": port, "sender": "hub@example.org"}})
        assert found(folder, "the mail server")["level"] == "ok"
    assert found(folder, "the mail server")["level"] == "warn"


def test_an_identity_provider_that_is_down_is_named(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    config = {
        "issuer": f"https://127.0.0.1:{port}",
        "client_id": "hub",
        "client_secret": "s" * 32,
    }
    configure(folder, providers=[{"name": "local", "kind": "local"}, {"name": "idp", "kind": "oidc", "config": config}])
    assert found(folder, "the identity provider `idp`")["level"] == "fail"


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

    def test_it_answers(self, folder: Path, directory: Any) -> None:
        self._configure(folder, directory)
        one = found(folder, "the directory `lab`")
        assert one["level"] == "ok", one

    def test_it_refuses_the_lookup_account(self, folder: Path, directory: Any) -> None:
        self._configure(folder, directory, lookup_dn_search_password="not it")
        one = found(folder, "the directory `lab`")
        assert (one["level"], "lookup account" in one["what"]) == ("fail", True)

    def test_it_is_not_there(self, folder: Path, directory: Any) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
        self._configure(folder, directory, server_port=port)
        assert found(folder, "the directory `lab`")["level"] == "fail"


def test_servers_without_a_session_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    class Told:
        def get(self, _: str) -> dict[str, Any]:
            return {"rows": [["s1", "ada", "", "churn"], [None, "rob", "old", None], [None, "sam", "", None]]}

    monkeypatch.setenv(service.URL, "http://127.0.0.1:1")
    monkeypatch.setenv(service.TOKEN, "a token")
    monkeypatch.setattr(service, "client", lambda *_: Told())
    (one,) = service._lone()
    assert one.level == "warn"
    assert "2 servers" in one.what
    assert "rob/old, sam/" in one.what

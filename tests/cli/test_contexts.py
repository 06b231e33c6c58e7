"""Contexts: which hub a command goes to, with which token, and where tokens are kept."""

from __future__ import annotations

import json
import stat
import sys
import types
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from aizen_hub.api_models.command_line import CommandLineToken
from aizen_hub.cli import contexts
from aizen_hub.cli.connection import create_client
from aizen_hub.cli.contexts import Context, ContextError, ContextStore, name_of_url
from aizen_hub.cli.exit_codes import ExitCode
from aizen_hub.cli.main import cli
from aizen_hub.client.sync_client import SyncClient
from aizen_hub.problems import Denied, NotAuthenticated

FIND_KEYRING = contexts.find_keyring
LAB, PROD = "https://lab.example.org", "https://hub.example.org:8443"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    for name in ("AIZEN_HUB_URL", "AIZEN_HUB_TOKEN", "AIZEN_HUB_CONTEXT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(contexts, "find_keyring", lambda: None)
    return tmp_path / "aizen-hub"


@pytest.fixture
def store() -> ContextStore:
    """Two hubs, signed in at both; the lab is the current one."""
    store = ContextStore.load()
    store.put(Context("prod", PROD, "ada"), use=True)
    store.save_token("prod", "token-of-prod")
    store.put(Context("lab", LAB, "ada"), use=True)
    store.save_token("lab", "token-of-lab")
    return store


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, list(arguments), standalone_mode=False)


def target(url: str | None = None, context: str | None = None) -> tuple[str, str | None]:
    client = create_client(url, None, context=context)
    return client.url.removesuffix("/services/aizen"), client._authorization


@pytest.mark.usefixtures("store")
def test_the_hub_and_the_token_of_a_command(monkeypatch: pytest.MonkeyPatch) -> None:
    assert target() == (LAB, "token token-of-lab")
    assert target(context="prod") == (PROD, "token token-of-prod")
    assert target(url=PROD + "/") == (PROD, "token token-of-prod"), "its own token, not that of the current context"
    with pytest.raises(NotAuthenticated):
        target(url="https://elsewhere.example.org")
    monkeypatch.setenv("AIZEN_HUB_CONTEXT", "prod")
    assert target() == (PROD, "token token-of-prod")
    monkeypatch.setenv("AIZEN_HUB_TOKEN", "token-of-a-program")
    assert target() == (PROD, "token token-of-prod"), "a token of the environment goes with the address there"
    assert target(url=LAB) == (LAB, "token token-of-a-program")
    assert target(url=LAB, context="prod") == (PROD, "token token-of-prod")


def test_of_two_accounts_at_one_hub_the_chosen_one_is_used(
    store: ContextStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put(Context("lab-reader", LAB, "rob"), use=True)
    store.save_token("lab-reader", "token-of-reader")
    monkeypatch.setenv("AIZEN_HUB_URL", LAB)
    assert target(url=LAB) == (LAB, "token token-of-reader")
    monkeypatch.setenv("AIZEN_HUB_CONTEXT", "lab")
    assert target(url=LAB) == (LAB, "token token-of-lab")
    monkeypatch.setenv("AIZEN_HUB_CONTEXT", "prod")
    with pytest.raises(ContextError, match="name one of lab, lab-reader with --context"):
        target(url=LAB)
    assert target(url=LAB, context="lab-reader") == (LAB, "token token-of-reader")


def test_a_context_that_gets_another_address_loses_its_token(store: ContextStore) -> None:
    store.put(Context("lab", "https://elsewhere.example.org"), use=True)
    assert store.read_token("lab") is None
    with pytest.raises(NotAuthenticated):
        target()


def test_a_named_context_is_signed_in_where_it_is(store: ContextStore, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def sign_in(panel: str, *, open_browser: bool) -> CommandLineToken:
        asked.append(panel)
        return CommandLineToken(token="a-new-token", user="ada")

    monkeypatch.setattr("aizen_hub.cli.commands.account.sign_in.sign_in", sign_in)
    monkeypatch.setenv("AIZEN_HUB_URL", LAB)
    assert run("login", "--context", "prod").exception is None
    assert run("login").exception is None
    assert asked == [f"{PROD}/services/aizen", f"{LAB}/services/aizen"]
    assert ContextStore.load().find("prod").url == PROD
    assert isinstance(run("login", "lab.example.org", "--context", "lab").exception, ContextError)
    assert len(asked) == 2, "no page was opened"


@pytest.mark.parametrize("text", ["", "two\ntokens", "a token"])
def test_what_is_no_token_on_stdin(text: str, store: ContextStore) -> None:
    answer = CliRunner().invoke(cli, ["login", "--with-token"], input=text, standalone_mode=False)
    assert isinstance(answer.exception, click.UsageError)
    assert store.read_token("lab") == "token-of-lab"


@pytest.mark.usefixtures("store")
def test_a_refused_sign_out_still_deletes_the_token_here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise Denied("the account `ada` is locked")

    monkeypatch.setattr(SyncClient, "request", refuse)
    answer = run("logout")
    assert answer.return_value == ExitCode.DENIED
    assert f"{LAB}/hub/token" in answer.stderr
    assert not (folder / "tokens" / "lab").exists()


def test_without_any_hub_it_says_what_to_do() -> None:
    with pytest.raises(click.UsageError, match="run `aizen-hub login https"):
        target()
    with pytest.raises(ContextError, match="there is no context `x` \\(there are: none\\)"):
        target(context="x")


def test_tokens_are_for_this_account_only(store: ContextStore, folder: Path) -> None:
    file = folder / "tokens" / "lab"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "token-of-lab" not in (folder / "contexts.json").read_text()
    store.save_token("lab", "a newer one")
    assert store.read_token("lab") == "a newer one"
    file.chmod(0o644)
    with pytest.raises(ContextError, match="chmod 600"):
        store.read_token("lab")


def test_a_keyring_keeps_the_tokens(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """The library, without a machine that has a keyring: its functions on a dictionary."""
    kept: dict[tuple[str, str], str] = {}
    module = types.ModuleType("keyring")
    module.__dict__.update(
        errors=types.SimpleNamespace(KeyringError=RuntimeError),
        get_keyring=lambda: types.SimpleNamespace(priority=5),
        get_password=lambda service, name: kept.get((service, name)),
        set_password=lambda service, name, value: kept.update({(service, name): value}),
        delete_password=lambda service, name: kept.pop((service, name)),
    )
    monkeypatch.setitem(sys.modules, "keyring", module)
    monkeypatch.setattr(contexts, "find_keyring", FIND_KEYRING)
    store = ContextStore.load()
    store.put(Context("lab", LAB), use=True)
    assert store.save_token("lab", "secret-of-lab") == "the keyring"
    assert kept == {("aizen-hub", f"lab {LAB}"): "secret-of-lab"}
    assert not (folder / "tokens").exists()
    assert target() == (LAB, "token secret-of-lab")
    store.put(Context("lab", PROD), use=True)
    assert kept == {}, "a token for another address is not kept"
    store.save_token("lab", "secret-of-lab")
    store.remove("lab")
    assert kept == {}
    for priority in (0, 0.5):
        module.__dict__["get_keyring"] = lambda value=priority: types.SimpleNamespace(priority=value)
        assert contexts.find_keyring() is None, "a machine without a keyring, or with one that encrypts nothing"


def test_a_keyring_that_stays_locked(monkeypatch: pytest.MonkeyPatch, store: ContextStore) -> None:
    def refuse(*_: str) -> None:
        raise RuntimeError("no one unlocked it")

    errors = types.SimpleNamespace(KeyringError=RuntimeError)
    keyring = types.SimpleNamespace(errors=errors, get_password=refuse, set_password=refuse)
    monkeypatch.setattr(contexts, "find_keyring", lambda: keyring)
    for use in (lambda: store.read_token("lab"), lambda: store.save_token("lab", "x"), lambda: store.remove("lab")):
        with pytest.raises(ContextError, match=r"no one unlocked it.*to keep tokens in files"):
            use()
    assert "lab" in ContextStore.load().contexts


def test_contexts_are_listed_chosen_added_and_removed(store: ContextStore, folder: Path) -> None:
    rows = json.loads(run("context", "list", "-o", "json").stdout)
    assert [(row["name"], row["current"], row["user"]) for row in rows] == [("lab", "*", "ada"), ("prod", "", "ada")]
    assert run("context", "use", "prod").exception is None
    assert target()[0] == PROD
    assert run("context", "add", "https://new.example.org").exception is None
    assert "new.example.org" in ContextStore.load().contexts
    assert target()[0] == PROD, "a new one is not chosen by itself"
    assert isinstance(run("context", "add", LAB, "--name", "prod").exception, click.UsageError)
    assert run("context", "remove", "prod").exception is None
    assert not (folder / "tokens" / "prod").exists()
    assert isinstance(run("context", "use", "prod").exception, ContextError)


@pytest.mark.parametrize("content", ["", "[]", "{", '{"current": "x"}', '{"current": "", "contexts": [{"x": 1}]}'])
def test_a_damaged_file_is_named(content: str, folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "contexts.json").write_text(content)
    with pytest.raises(ContextError, match=r"contexts\.json` cannot be read"):
        ContextStore.load()


@pytest.mark.parametrize("url", ["", "hub.example.org", "ftp://x", "https://", "file:///etc", "http://localhost:y"])
def test_what_is_no_address_of_a_hub(url: str) -> None:
    with pytest.raises(ContextError):
        name_of_url(url)


def test_names_stay_in_their_folder() -> None:
    assert name_of_url(PROD) == "hub.example.org_8443"
    for name in ("../x", ".hidden", "a/b", "", "a b"):
        with pytest.raises(ContextError):
            contexts.check_name(name)

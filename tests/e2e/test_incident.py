"""docs/how-to/incident.md as written, against a running hub: each command, and that it had the effect it promises."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyotp
import pytest

from aizen_hub.accounts.credentials import second_factor
from aizen_hub.cli.exit_codes import ExitCode
from aizen_hub.cli.local_store import open_store
from aizen_hub.client.sync_client import SyncClient
from aizen_hub.demo.browser import Browser, LoginRejectedError
from aizen_hub.problems import Denied, NotAuthenticated
from aizen_hub.rbac.identity import Identity
from aizen_hub.store.actor import Actor, Channel
from aizen_hub.tokens.key_encryption import KeyEncryption
from tests.fixtures.command_line import CommandLine, create_token, is_token_valid
from tests.fixtures.guide import Guide
from tests.fixtures.hub import HubHandle, running_hub

pytestmark = pytest.mark.slow
STOP, WHAT_ALICE_DID, RESET, SWITCH_OFF, WHAT_IT_DID, CREDENTIALS, KEYS, VERIFY = range(8)
_credential: list[str] = []


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubHandle]:
    def seed(tx: Any) -> None:
        from aizen_hub.accounts.service_accounts import accounts, credentials

        accounts.create_service_account(tx, "nightly")
        _credential.append(credentials.issue_credential(tx, "nightly").data["credential"])

    people = {"ada": "AIZEN_ADMIN", "alice": "PROJECT_CREATOR"}
    with running_hub(tmp_path_factory.mktemp("inc"), accounts=people, seed=seed, fake_servers=("alice",)) as running:
        yield running


@pytest.fixture(scope="module")
def follow(hub: HubHandle) -> Any:
    """Return a function that runs the command of the page with this number, as an administrator on this machine."""
    run = CommandLine(hub)
    commands = Guide(Path("docs/how-to/incident.md"), hub.folder).commands()
    assert len(commands) == VERIFY + 1

    def follow(number: int, *more: str) -> str:
        words = [str(hub.folder / word) if word == "aizen.yaml" else word for word in commands[number][1:]]
        answer = run("ada", *words, *more)
        assert answer.returncode == ExitCode.DONE, answer.stderr
        return answer.stdout + answer.stderr

    return follow


def require_codes(hub: HubHandle, name: str) -> None:
    """Give a local account a second factor, as its user does in the panel."""
    encryption = KeyEncryption.load(hub.settings.key_encryption_path)
    enrolment = second_factor.begin_enrolment(name, encryption)
    actor = Actor(Identity.user(name), Channel.PANEL, recent_login_until=datetime.now(UTC) + timedelta(hours=1))
    with open_store(hub.settings) as store, store.write(actor) as tx:
        code = pyotp.TOTP(enrolment.secret).now()
        second_factor.enable_second_factor(tx, encryption, enrolment.encrypted_secret, code)


@pytest.mark.proves("R48", "R142")
def test_a_lost_laptop(hub: HubHandle, follow: Any) -> None:
    alice = hub.login("alice")
    token = create_token(alice, "alice")
    alice.spawn("")
    assert alice.server() is not None
    require_codes(hub, "alice")
    assert "1 session" in follow(STOP)
    assert not is_token_valid(hub, token)
    assert alice.api("GET", "/hub/api/user").status in (401, 403)
    with pytest.raises(LoginRejectedError):
        hub.login("alice")
    assert "session.opened" in follow(WHAT_ALICE_DID, "-o", "json")

    text = follow(RESET)
    assert "removed the second factor" in text
    assert "/services/aizen/activate#" in text
    with open_store(hub.settings) as store, store.read() as tx:
        assert not second_factor.has_second_factor(tx, "alice")
    assert "has no second factor" in follow(RESET)


@pytest.mark.proves("R54", "R48")
def test_a_stolen_credential_of_a_service_account(hub: HubHandle, follow: Any) -> None:
    robot = SyncClient(hub.service_url, f"Bearer {_credential[0]}")
    with pytest.raises(Denied):
        robot.post("/api/v1/projects", {"name": "taken-over"})
    follow(SWITCH_OFF)
    with pytest.raises(NotAuthenticated):
        robot.post("/api/v1/projects", {"name": "taken-over"})
    done = json.loads(follow(WHAT_IT_DID, "-o", "json"))
    assert {row["identity"] for row in done} == {"service-account:nightly"}
    assert "last_used" in follow(CREDENTIALS, "-o", "json")


@pytest.mark.proves("R95")
def test_keys_and_audit(hub: HubHandle, follow: Any) -> None:
    assert "signing" in follow(KEYS)
    assert "no modification found" in follow(VERIFY)
    assert Browser(hub.url).get("/hub/login").status == 200

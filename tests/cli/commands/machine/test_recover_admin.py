"""Access from the service's machine: an admin who is locked, and an account whose password is lost."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyotp
import pytest
import yaml
from click.testing import CliRunner, Result
from sqlalchemy import select

from aizen_hub.accounts.credentials import activation, second_factor
from aizen_hub.accounts.roles import assignments
from aizen_hub.accounts.sessions import locks
from aizen_hub.accounts.users import registration
from aizen_hub.authorization import lock_state
from aizen_hub.cli.local_store import open_store, operator_actor
from aizen_hub.cli.main import cli
from aizen_hub.problems import Conflict, NotFound
from aizen_hub.rbac.assignment import LockTarget
from aizen_hub.rbac.identity import Identity
from aizen_hub.settings import Settings
from aizen_hub.store import tables
from aizen_hub.store.actor import Actor, Channel
from aizen_hub.tokens.key_encryption import KeyEncryption

PASSWORD = "quite long, 7 words of it, unguessed"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "aizen.yaml"
    providers = [
        {"name": "local", "kind": "local"},
        {"name": "lab", "kind": "ldap", "insecure_tls": True, "config": {"server_address": "127.0.0.1"}},
    ]
    path.write_text(yaml.safe_dump({"data_dir": "data", "admin_user": "local:root", "providers": providers}))
    answer = call("recover-admin", "root", config=path)
    assert answer.exit_code == 0
    with open_store(Settings.load(path, {})) as store, store.write(operator_actor()) as tx:
        activation.redeem_link(tx, answer.stdout.strip().rpartition("#")[2], PASSWORD)
    return path


def call(*arguments: str, config: Path) -> Result:
    return CliRunner().invoke(cli, [*arguments, "-c", str(config)], standalone_mode=False)


@pytest.mark.proves("R78")
def test_a_recovered_admin_is_unlocked(config: Path) -> None:
    settings = Settings.load(config, {})
    with open_store(settings) as store, store.write(operator_actor()) as tx:
        for name in ("ann", "olga"):
            registration.create_user(tx, name, password=PASSWORD)
            assignments.unauthorized_write_assignment(tx, "AIZEN_ADMIN", "system", Identity.user(name))
        locks.lock_target(tx, LockTarget.IDENTITY, "user:ann", reason="x")
    assert call("recover-admin", "ann", config=config).return_value == 0
    with open_store(settings) as store, store.read() as tx:
        assert not lock_state.is_locked(tx, LockTarget.IDENTITY, "user:ann")
        query = select(tables.audit.c.body).where(tables.audit.c.event == "admin.recovered")
        assert any('"unlocked":true' in str(body) for body in tx.conn.execute(query).scalars())


def test_a_local_admin_where_the_directory_is_down(config: Path) -> None:
    """The default provider is a directory that does not answer; the local admin's role is taken back afterwards."""
    text = config.read_text(encoding="utf-8")
    config.write_text(text + "default_provider: lab\n")
    for name, options in (("local:rescue", ()), ("helper", ("--provider", "local"))):
        answer = call("recover-admin", name, *options, config=config)
        assert answer.return_value == 0, answer.output
        token = answer.stdout.strip().rpartition("#")[2]
        user = name.rpartition(":")[2]
        with open_store(Settings.load(config, {})) as store, store.write(operator_actor()) as tx:
            assert activation.redeem_link(tx, token, PASSWORD) == user
            assert [held.role for held in tx.rights(Identity.user(user)).held_roles] == ["AIZEN_ADMIN"]
        assert call("recover-admin", name, "--revoke", config=config).return_value == 0
        with open_store(Settings.load(config, {})) as store, store.read() as tx:
            assert tx.rights(Identity.user(user)).held_roles == ()
    assert "signs in by `lab`" in call("recover-admin", "dirk", config=config).output


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("recover-admin", "local:dirk"), "`dirk` signs in by `lab`, not by `local`"),
        (("recover-admin", "dirk", "--provider", "local"), "`dirk` signs in by `lab`, not by `local`"),
        (("recover-admin", "ann", "--provider", "nowhere"), "there is no provider `nowhere`"),
        (("recover-admin", "lab:ann", "--provider", "local"), "names the provider `lab`"),
        (("recover-admin", "ghost", "--revoke"), "there is no user `ghost`"),
        (("recover-admin", "dirk", "--revoke"), "no direct assignment of AIZEN_ADMIN"),
        (("recover-admin", "root", "--revoke"), "last"),
        (("recover-admin", "local:dirk", "--revoke"), "`dirk` signs in by `lab`, not by `local`"),
        (("recover-admin", "root", "--revoke", "--password"), "--revoke takes neither"),
    ],
)
def test_what_recovery_refuses(config: Path, arguments: tuple[str, ...], sentence: str) -> None:
    with open_store(Settings.load(config, {})) as store, store.write(operator_actor()) as tx:
        registration.create_user(tx, "dirk", provider="lab")
    answer = call(*arguments, config=config)
    assert answer.exception is not None
    assert sentence in str(answer.exception)


@pytest.mark.proves("R66")
def test_a_lost_password_is_mended_on_the_machine(config: Path) -> None:
    """Where no link can be sent: the account keeps its roles, and gets none."""
    settings = Settings.load(config, {})
    with open_store(settings) as store, store.write(operator_actor()) as tx:
        registration.create_user(tx, "ann", password=PASSWORD)
        registration.create_user(tx, "dirk", provider="lab")
    answer = call("reset-password", "ann", config=config)
    assert answer.return_value == 0, answer.output
    token = answer.stdout.strip().rpartition("#")[2]
    with open_store(settings) as store, store.write(operator_actor()) as tx:
        assert activation.redeem_link(tx, token, PASSWORD + " more") == "ann"
        assert tx.rights(Identity.user("ann")).held_roles == ()
    assert isinstance(call("reset-password", "dirk", config=config).exception, Conflict)
    assert isinstance(call("reset-password", "ghost", config=config).exception, NotFound)


def test_a_lost_second_factor_is_removed(config: Path) -> None:
    """With the link, and only where it is asked for."""
    settings = Settings.load(config, {})
    with open_store(settings) as store, store.write(operator_actor()) as tx:
        registration.create_user(tx, "ann", password=PASSWORD)
    encryption = KeyEncryption.create(settings.key_encryption_path)
    enrolment = second_factor.begin_enrolment("ann", encryption)
    actor = Actor(Identity.user("ann"), Channel.PANEL, recent_login_until=datetime.now(UTC) + timedelta(hours=1))
    with open_store(settings) as store, store.write(actor) as tx:
        code = pyotp.TOTP(enrolment.secret).now()
        second_factor.enable_second_factor(tx, encryption, enrolment.encrypted_secret, code)

    def state() -> bool:
        with open_store(settings) as store, store.read() as tx:
            return second_factor.has_second_factor(tx, "ann")

    assert call("reset-password", "ann", config=config).return_value == 0
    assert state()
    answer = call("reset-password", "Ann", "--remove-second-factor", config=config)
    assert (answer.exception, answer.return_value) == (None, 0)
    assert "removed the second factor" in answer.stderr
    assert not state()
    answer = call("reset-password", "ann", "--remove-second-factor", config=config)
    assert "`ann` has no second factor" in answer.stderr

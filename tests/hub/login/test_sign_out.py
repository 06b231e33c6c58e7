"""Sign-outs carry their time: what signed in after a change stays, however late the hub hears of the change."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from jupyterhub import orm

from aizen_hub.demo.browser import Browser
from aizen_hub.hub.login.auth_state import SavedLogin
from aizen_hub.hub.login.sign_out import SignOutProcessor
from aizen_hub.secret_files import read_secret
from tests.fixtures.hub import BIN, HubHandle, environment_of, running_hub
from tests.hub.credentials import create_hub_token, request_with_token, service_database

pytestmark = [pytest.mark.slow, pytest.mark.proves("R142")]

NAMES = ("nora", "pia", "quinn", "rosa")
PASSWORD = "walnut-harbour-93-quiet"
LINKS: dict[str, str] = {}


def seed(tx: Any) -> None:
    from aizen_hub.accounts.credentials import activation
    from aizen_hub.accounts.users import registration

    for name in NAMES:
        registration.create_user(tx, name, provider="local")
        LINKS[name] = activation.issue_link(tx, name).token


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubHandle]:
    with running_hub(
        tmp_path_factory.mktemp("out"), accounts={"boss": "AIZEN_ADMIN"}, seed=seed, fake_servers=("boss",)
    ) as running:
        yield running


def activate(hub: HubHandle, name: str) -> None:
    body = json.dumps({"token": LINKS[name], "password": PASSWORD}).encode()
    page = Browser(hub.url).request(
        "POST", "/services/aizen/api/v1/activate", body, {"Content-Type": "application/json"}
    )
    assert page.status == 204, page.text


def change_password(browser: Browser, old: str, new: str) -> None:
    page = browser.get("/services/aizen/account")
    field = re.search(r'name="xsrf"[^>]*value="([^"]+)"', page.text)
    assert field is not None, page.text
    fields = {"current": old, "password": new, "repeated": new, "xsrf": field[1]}
    page = browser._submit("/services/aizen/account/password", fields)
    assert page.status < 400, page.text


def recover_admin(hub: HubHandle, name: str) -> str:
    """Return the token of the link that ``aizen-hub recover-admin`` prints, run beside the service."""
    command = [str(BIN / "aizen-hub"), "recover-admin", name, "-c", "aizen.yaml"]
    done = subprocess.run(command, cwd=hub.folder, env=dict(hub.environ), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    link = re.search(r"/services/aizen/activate#(\S+)", done.stdout)
    assert link is not None, done.stdout + done.stderr
    return link[1]


def sign_out_revision(hub: HubHandle, name: str) -> int:
    with service_database(hub) as db:
        return int(db.execute("select sign_out_revision from users where name = ?", (name,)).fetchone()[0])


def send_sign_out(hub: HubHandle, name: str, revision: int) -> dict[str, int]:
    headers = {
        "Content-Type": "application/json",
        "Authorization": f"Bearer {read_secret(hub.settings.hub_secret_path)}",
    }
    body = json.dumps({"user": name, "sign_out": revision}).encode()
    page = Browser(hub.url).request("POST", "/hub/api/aizen/revoke", body, headers)
    assert page.status == 200, page.text
    return {key: page.json()[key] for key in ("tokens", "servers")}


def signed_in(browser: Browser) -> bool:
    return "/hub/login" not in browser.get("/hub/home").url


def hold(seconds: float, *browsers: Browser) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert all(signed_in(browser) for browser in browsers)
        time.sleep(0.3)


def test_a_login_right_after_the_activation_stays(hub: HubHandle) -> None:
    activate(hub, "nora")
    nora = hub.login("nora", PASSWORD)
    token = create_hub_token(nora)
    hold(4, nora)
    assert request_with_token(hub, token, "GET", "/hub/api/user").status == 200
    assert nora.get("/services/aizen/").status == 200
    assert send_sign_out(hub, "nora", sign_out_revision(hub, "nora")) == {"tokens": 0, "servers": 0}
    assert signed_in(nora)


def test_a_restarted_hub_and_service_sign_no_user_out_late(hub: HubHandle) -> None:
    # The new service reads the changes of the last minutes again, and the new hub remembers nothing in memory.
    activate(hub, "pia")
    pia = hub.login("pia", PASSWORD)
    hold(2, pia)
    hub.kill()
    hub.restart()
    hold(4, pia)
    assert send_sign_out(hub, "pia", sign_out_revision(hub, "pia")) == {"tokens": 0, "servers": 0}
    assert signed_in(pia)


def test_a_new_password_ends_what_signed_in_before_it_and_nothing_else(hub: HubHandle) -> None:
    activate(hub, "quinn")
    before, changing = hub.login("quinn", PASSWORD), hub.login("quinn", PASSWORD)
    token = create_hub_token(before)
    change_password(changing, PASSWORD, PASSWORD + "-two")
    # At once: this login reaches the hub before the service's own request may do so.
    after = hub.login("quinn", PASSWORD + "-two")
    assert not signed_in(before)
    assert not signed_in(changing)
    assert request_with_token(hub, token, "GET", "/hub/api/user").status == 403
    new_token = create_hub_token(after)
    hold(4, after)
    revision = sign_out_revision(hub, "quinn")
    for late in (revision, revision - 1, 0):
        assert send_sign_out(hub, "quinn", late) == {"tokens": 0, "servers": 0}
    assert signed_in(after)
    assert request_with_token(hub, new_token, "GET", "/hub/api/user").status == 200
    assert send_sign_out(hub, "quinn", revision + 1)["tokens"] >= 1
    assert not signed_in(after)


def test_a_recovery_ends_what_signed_in_before_it_and_nothing_else(hub: HubHandle) -> None:
    activate(hub, "rosa")
    before = hub.login("rosa", PASSWORD)
    hold(2, before)
    token = recover_admin(hub, "rosa")
    assert signed_in(before), "a link that is not used changes nothing"
    body = json.dumps({"token": token, "password": PASSWORD + "-two"}).encode()
    page = Browser(hub.url).request(
        "POST", "/services/aizen/api/v1/activate", body, {"Content-Type": "application/json"}
    )
    assert page.status == 204, page.text
    after = hub.login("rosa", PASSWORD + "-two")
    assert not signed_in(before)
    hold(4, after)
    # Again, for one who is an admin already: the present sign-in is not one from before a change.
    recover_admin(hub, "rosa")
    hold(4, after)
    hub.kill()
    hub.restart()
    hold(4, after)
    assert send_sign_out(hub, "rosa", sign_out_revision(hub, "rosa")) == {"tokens": 0, "servers": 0}
    assert signed_in(after)


def test_servers_go_on(hub: HubHandle) -> None:
    boss = hub.login("boss")
    environ = environment_of(boss, boss.spawn(""))
    send_sign_out(hub, "boss", 1_000_000)
    assert not signed_in(boss)
    again = hub.login("boss")
    assert again.server() is not None
    assert environment_of(again, "/user/boss/") == environ
    again.stop()


class FakeUsers(dict[int, Any]):
    """Hub users with an ``auth_state`` in memory, which another request changes after it was read once."""

    def __init__(self, *states: dict[str, Any]) -> None:
        super().__init__()
        self.states = list(states)

    def __getitem__(self, orm_user: Any) -> Any:
        return self.setdefault(
            orm_user.id, SimpleNamespace(spawners={}, get_auth_state=self.load, save_auth_state=self.save)
        )

    async def load(self) -> dict[str, Any]:
        return self.states.pop(0) if len(self.states) > 1 else self.states[0]

    async def save(self, state: dict[str, Any]) -> None:
        self.states = [state]


def fake_hub(users: FakeUsers) -> tuple[Any, SignOutProcessor]:
    session = orm.new_session_factory("sqlite:///:memory:")()
    session.add(orm.User(name="ann"))
    session.commit()
    app = SimpleNamespace(db=session, users=users)
    return app, SignOutProcessor(app, SimpleNamespace(live_servers=list))  # type: ignore[arg-type]


def saved_login(checked_at: float, revision: int | None = None) -> dict[str, Any]:
    return SavedLogin("oidc", "1", "ann", checked_at, {"refresh": checked_at}, revision).to_auth_state()


@pytest.mark.parametrize(("meanwhile", "expected"), [(None, 3), (2, 3), (5, 5)])
async def test_a_sign_out_keeps_what_was_saved_meanwhile(meanwhile: int | None, expected: int) -> None:
    users = FakeUsers(saved_login(1.0), saved_login(2.0, meanwhile))
    app, sign_outs = fake_hub(users)
    await sign_outs.process(orm.User.find(app.db, "ann"), 3)
    assert users.states == [saved_login(2.0, expected)]
    app.db.close()


async def test_a_login_that_waits_for_a_deletion_brings_no_user_back() -> None:
    users = FakeUsers(saved_login(1.0))
    app, sign_outs = fake_hub(users)
    lock = sign_outs.lock("ann")
    async with lock:
        waiting = asyncio.create_task(sign_outs.process_at_login("ann", 3))
        await asyncio.sleep(0)
        app.db.delete(orm.User.find(app.db, "ann"))
        app.db.commit()
    await waiting
    assert users == {}
    app.db.close()

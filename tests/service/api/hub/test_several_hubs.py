"""Two hubs at one service: the secret says which one sends a request, and what it may report and open."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from aizen_hub.accounts.roles import assignments
from aizen_hub.accounts.users import registration
from aizen_hub.client.service_client import ServiceClient
from aizen_hub.hub.login.local_provider import LocalProvider
from aizen_hub.hub.login.login_report import report_login
from aizen_hub.hub.login.provider import AccessDeniedError, AuthenticatedIdentity
from aizen_hub.hub.login.throttled_provider import ThrottledProvider
from aizen_hub.rbac.identity import Identity
from aizen_hub.service.factory import SERVICE_ACTOR, build_context
from aizen_hub.service.http.route import AuthMethod
from aizen_hub.service.routes import routes
from aizen_hub.service.runtime.parent_death import StartupError
from aizen_hub.service.server import Server
from aizen_hub.store import tables
from tests.fixtures.databases.sqlite import create_database_file
from tests.service.conftest import INSTANCE, PASSWORD, Driver, Response, populate, settings_for

PROVIDERS = [{"name": "local", "kind": "local"}, {"name": "ldap", "kind": "ldap"}]
SECRET = secrets.token_hex(32)
SESSION = hashlib.sha256(b"browser").hexdigest()


def write_secret(file: Path, secret: str = SECRET) -> Path:
    file.touch(0o600)
    file.write_text(secret)
    return file


def options(folder: Path, **more: Any) -> dict[str, Any]:
    hub = {"id": "gpu", "secret_file": folder / "gpu", "api_url": "http://127.0.0.1:1/hub/api", "providers": ["ldap"]}
    return {"providers": PROVIDERS, "further_hubs": [hub | more]}


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Driver]:
    """A service with a second hub, which may sign in the people of `ldap`: ``lea``, who may enter `p1`."""
    create_database_file(tmp_path / "data")
    write_secret(tmp_path / "gpu")
    context = build_context(settings_for(tmp_path, **options(tmp_path)), instance=INSTANCE, environ={})
    server = Server(context, "127.0.0.1", 0)
    await server.start()
    driver = Driver(server)
    populate(context)
    with context.store.write(SERVICE_ACTOR) as tx:
        registration.unauthorized_register_user(tx, "lea", provider="ldap", subject="uid-lea")
        for name in ("lea", "nil"):
            assignments.unauthorized_write_assignment(tx, "PROJECT_EXECUTOR", "p1", Identity.user(name), reason="test")
    try:
        yield driver
    finally:
        driver.close()
        await server.stop()


async def gpu(service: Driver, method: str, path: str, body: Any = None) -> Response:
    return await service.call(method, "/api/v1" + path, body, auth=f"Bearer {SECRET}")


def start_of(user: str, server: str = "") -> dict[str, Any]:
    credential = hashlib.sha256(secrets.token_bytes(16)).hexdigest()
    return {"user": user, "requester": user, "server": server, "project": "p1", "credential": credential}


def requests_about(user: str, provider: str, subject: str) -> dict[str, tuple[str, str, Any]]:
    """Everything that a hub can send about a person, by the path of the route."""
    who = {"user": user, "provider": provider, "subject": subject}
    ask = {"user": user, "project": "p1", "role": "PROJECT_READER"}
    return {
        "/sessions": ("POST", "/sessions", start_of(user)),
        "/sessions/choices": ("GET", f"/sessions/choices?user={user}", None),
        "/sessions/choices/requests": ("POST", "/sessions/choices/requests", ask),
        "/login": ("POST", "/login", {"provider": provider, "subject": subject, "name": user}),
        "/login/departures": ("POST", "/login/departures", {"provider": provider, "subject": subject}),
        "/login/registrations": ("POST", "/login/registrations", {"provider": provider, "name": "new"}),
        "/login/attempts": ("POST", "/login/attempts", {"provider": provider, "name": user}),
        "/login/password": ("POST", "/login/password", {"provider": provider, "name": user, "password": "x"}),
        "/login/recent": ("POST", "/login/recent", {**who, "session": SESSION}),
        "/login/link": ("POST", "/login/link", {**who, "session": SESSION}),
    }


OWN_SESSIONS = {"/sessions/end", "/sessions/heartbeat"}
"""What a hub sends about its own sessions, for all users."""


@pytest.mark.proves("R146", "T-60")
async def test_a_further_hub_acts_for_people_of_its_providers_only(service: Driver) -> None:
    paths = {route.path.removeprefix("/api/v1") for route in routes() if AuthMethod.HUB_SECRET in route.auth}
    assert set(requests_about("", "", "")) | OWN_SESSIONS == paths, "each route of hubs is in this test"
    with service.context.store.read() as tx:
        u = tables.users
        subject = str(tx.conn.execute(select(u.c.subject).where(u.c.name == "eve")).scalar_one())
    before = service.revision()
    for path, (method, target, body) in requests_about("eve", "local", subject).items():
        refused = await gpu(service, method, target, body)
        assert refused.status == 403, (path, refused.body)
        assert "`gpu`" in refused.json["detail"], path
    unknown = await gpu(service, "POST", "/sessions", start_of("unknown"))
    assert unknown.status == 403, "a name that does not exist looks like one of another provider"
    assert service.revision() == before
    answers = {
        path: (await gpu(service, *request)).status
        for path, request in requests_about("lea", "ldap", "uid-lea").items()
    }
    expected = dict.fromkeys(answers, 200) | {
        "/sessions": 201,
        "/login/departures": 204,
        "/login/registrations": 204,
        "/login/link": 403,
        "/login/recent": 403,
    }
    assert {path: status for path, status in answers.items() if path != "/sessions/choices/requests"} == {
        path: status for path, status in expected.items() if path != "/sessions/choices/requests"
    }
    assert answers["/sessions/choices/requests"] in (201, 409), "she has a role there already"


@pytest.mark.proves("R146")
async def test_the_main_hub_acts_for_everyone(service: Driver) -> None:
    for user in ("lea", "eve"):
        assert (await service.hub("POST", "/sessions", start_of(user))).status == 201


@pytest.mark.proves("R32", "R146")
async def test_a_linked_login_of_its_provider_is_enough(service: Driver) -> None:
    with service.context.store.write(SERVICE_ACTOR) as tx:
        u, logins = tables.users, tables.logins
        user_id = tx.conn.execute(select(u.c.id).where(u.c.name == "eve")).scalar_one()
        tx.conn.execute(logins.insert().values(user_id=user_id, provider="ldap", subject="uid-eve"))
    assert (await gpu(service, "POST", "/sessions", start_of("eve"))).status == 201


@pytest.mark.proves("R146", "T-13")
async def test_a_request_cannot_name_another_hub_than_its_secret(service: Driver) -> None:
    for body in (start_of("lea") | {"hub": "main"}, {"live": [], "hub": "main"}):
        path = "/sessions" if "user" in body else "/sessions/heartbeat"
        assert (await gpu(service, "POST", path, body)).status == 400


async def test_equal_servers_at_two_hubs_are_told_apart(service: Driver) -> None:
    assert (await service.hub("POST", "/sessions", start_of("lea"))).status == 201
    assert (await gpu(service, "POST", "/sessions", start_of("lea"))).status == 201
    lists = {"live": [{"user": "lea", "server": ""}, {"user": "old", "server": "x"}]}
    assert (await gpu(service, "POST", "/sessions/heartbeat", lists)).json["without_session"] == [
        {"user": "old", "server": "x"}
    ]
    boss = await service.open("boss", None)
    listed = (await service.call("GET", "/api/v1/sessions", auth=boss.auth)).json
    shown = [dict(zip(listed["columns"], row, strict=True)) for row in listed["rows"]]
    assert sorted((row["user"], row["hub"], row["server"]) for row in shown) == [
        ("boss", "main", ""),
        ("lea", "gpu", ""),
        ("lea", "main", ""),
        ("old", "gpu", "x"),
    ]
    ended = await gpu(service, "POST", "/sessions/end", {"user": "lea", "server": "", "reason": "stopped"})
    assert ended.json == {"ended": 1}
    listed = (await service.call("GET", "/api/v1/sessions?user=lea", auth=boss.auth)).json
    assert [row[listed["columns"].index("hub")] for row in listed["rows"]] == ["main"]


@pytest.mark.proves("R144")
async def test_people_are_told_that_their_provider_is_not_at_this_hub(service: Driver) -> None:
    """Not that their password was wrong: by whichever way a provider signs in."""
    client = ServiceClient(service.url, SECRET, deadline=20.0)
    local = LocalProvider(service.context.settings.providers[0], client)
    throttled = ThrottledProvider(local, client)
    identity = AuthenticatedIdentity("local", "subject", "eve")
    for attempt in (
        local.authenticate("eve", PASSWORD, totp=None, source=None),
        throttled.authenticate("eve", PASSWORD, totp=None, source=None),
        report_login(client, identity, None),
    ):
        with pytest.raises(AccessDeniedError, match="sign in at another hub"):
            await attempt
    client.close()


@pytest.mark.proves("R146", "T-60")
async def test_a_further_hub_learns_nothing_of_administrators_of_others(service: Driver) -> None:
    reported = {"live": [], "admins": ["boss", "eve", "unknown"]}
    assert (await gpu(service, "POST", "/sessions/heartbeat", reported)).json["former_admins"] == reported["admins"]
    assert (await service.hub("POST", "/sessions/heartbeat", reported)).json["former_admins"] == ["eve", "unknown"]


@pytest.mark.proves("T-13")
async def test_two_hubs_at_once_are_not_mixed_up(service: Driver) -> None:
    """One process, one connection pool: the hub of a request never comes from another one."""

    async def send(number: int) -> None:
        mine = number % 2
        send_one = gpu if mine else Driver.hub
        opened = await send_one(service, "POST", "/sessions", start_of("lea", f"s{number}"))
        assert opened.status == 201, opened.body

    await asyncio.gather(*(send(number) for number in range(20)))
    with service.context.store.read() as tx:
        rows = tx.conn.execute(select(tables.sessions.c.hub, tables.sessions.c.server)).all()
    assert {row.server: row.hub for row in rows} == {
        f"s{number}": "gpu" if number % 2 else "main" for number in range(20)
    }


MAIN_SECRET = secrets.token_hex(32)
FAULTS: dict[str, tuple[Callable[[Path, dict[str, Any]], object], str]] = {
    # what is wrong: how it is made so in a folder and its settings, and what stops the start
    "missing": (lambda folder, more: None, "cannot be read"),
    "open": (lambda folder, more: write_secret(folder / "gpu").chmod(0o644), "can be read by others"),
    "short": (lambda folder, more: write_secret(folder / "gpu", "short"), "does not hold 32 or more"),
    "that of the main hub": (
        lambda folder, more: write_secret(folder / "gpu", MAIN_SECRET),
        "the secret of the hub `gpu` is also the hub secret: give each its own",
    ),
    "that of another further hub": (
        lambda folder, more: (
            write_secret(folder / "gpu"),
            more["further_hubs"].append(more["further_hubs"][0] | {"id": "lab"}),
        ),
        "the secret of the hub `lab` is also the secret of the hub `gpu`",
    ),
    "the core's": (
        lambda folder, more: more.update(
            core={"url": "http://127.0.0.1:1", "credential_file": write_secret(folder / "gpu")}
        ),
        "the core's credential is also the secret of the hub `gpu`",
    ),
    "that of the metrics": (
        lambda folder, more: more.update(metrics={"token_file": write_secret(folder / "gpu")}),
        "the token of the metrics is also the secret of the hub `gpu`",
    ),
}


@pytest.mark.proves("R2", "R146")
@pytest.mark.parametrize("fault", FAULTS)
def test_a_secret_that_is_no_hubs_own_stops_the_start(tmp_path: Path, fault: str) -> None:
    create_database_file(tmp_path / "data")
    write_secret(tmp_path / "data" / "hub-secret", MAIN_SECRET)
    more = options(tmp_path)
    prepare, expected = FAULTS[fault]
    prepare(tmp_path, more)
    with pytest.raises(StartupError, match=expected) as caught:
        build_context(settings_for(tmp_path, **more), instance=INSTANCE, environ={})
    assert SECRET not in str(caught.value)
    assert MAIN_SECRET not in str(caught.value)

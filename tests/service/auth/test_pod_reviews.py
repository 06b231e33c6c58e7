"""Role tokens count only in the pod of their session; the API server stands in here, and is real in tests/engines."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from aiohttp import web
from sqlalchemy import select

from aizen_hub.accounts.sessions import server_sessions
from aizen_hub.pod_identity_settings import PodIdentitySettings
from aizen_hub.problems import NotAuthenticated, Unavailable
from aizen_hub.rbac.identity import Identity
from aizen_hub.service.auth import pod_reviews
from aizen_hub.service.auth.pod_reviews import find_fault
from aizen_hub.service.factory import SERVICE_ACTOR, build_context
from aizen_hub.service.runtime.parent_death import StartupError
from aizen_hub.service.server import Server
from aizen_hub.store import tables
from aizen_hub.store.actor import Actor, Channel
from tests.fixtures.engines.kubernetes import write_certificates
from tests.service.conftest import INSTANCE, Driver, Response, Session, populate, settings_for

OWN_TOKEN = "the.service's.token"
HEADER = "X-Aizen-Pod-Token"
AUDIENCE = "aizen-hub:s1"
SETTINGS = PodIdentitySettings(namespaces=("users", "aizen-*"))
ACCESS = "urn:ietf:params:oauth:token-type:access_token"
JWT = "urn:ietf:params:oauth:token-type:jwt"


def confirmed(**changes: Any) -> dict[str, Any]:
    """Return the status of a review that confirms a pod."""
    extra = {"authentication.kubernetes.io/pod-name": ["erin"], "authentication.kubernetes.io/pod-uid": ["7"]}
    user = {"username": "system:serviceaccount:users:default", "uid": "1", "extra": extra}
    return {"authenticated": True, "audiences": [AUDIENCE], "user": user} | changes


def of_user(**changes: Any) -> dict[str, Any]:
    return confirmed(user=confirmed()["user"] | changes)


def of_extra(**changes: Any) -> dict[str, Any]:
    extra = {f"authentication.kubernetes.io/pod-{name}": value for name, value in changes.items()}
    return of_user(extra=confirmed()["user"]["extra"] | extra)


@pytest.mark.proves("T-09", "R50")
@pytest.mark.parametrize(
    ("status", "says"),
    [
        (confirmed(), None),
        (of_user(username="system:serviceaccount:aizen-churn:default"), None),
        (None, "expired"),
        ([], "expired"),
        ({}, "expired"),
        (confirmed(authenticated=False), "expired"),
        (confirmed(authenticated="true"), "expired"),
        (confirmed(audiences=None), "another session"),
        (confirmed(audiences=[]), "another session"),
        (confirmed(audiences=["aizen-hub:s2"]), "another session"),
        (confirmed(audiences=AUDIENCE), "another session"),
        (confirmed(user=None), "not that of a pod"),
        (of_user(username="admin"), "not that of a pod"),
        (of_user(username=7), "not that of a pod"),
        (of_user(username="system:serviceaccount:users:default\n"), "not that of a pod"),
        (of_user(username="system:serviceaccount:other:default"), "`other`"),
        (of_user(username="system:serviceaccount:users-2:default"), "`users-2`"),
        (of_user(username="system:serviceaccount:aizen:default"), "`aizen`"),
        (of_user(extra=None), "not bound"),
        (of_user(extra={}), "not bound"),
        (of_extra(name=None), "not bound"),
        (of_extra(uid=[]), "not bound"),
        (of_extra(uid=[""]), "not bound"),
        (of_extra(uid=["7", "8"]), "not bound"),
    ],
)
def test_what_a_review_must_say(status: Any, says: str | None) -> None:
    fault = find_fault(status, AUDIENCE, SETTINGS)
    assert (fault is None) if says is None else (fault is not None and says in fault)


class ApiServer:
    """A fake API server: a token ``a.SESSION.b`` is that of the pod of a session; it fails as told."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        write_certificates(folder)
        self.authority = folder / "ca.crt"
        self.tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.tls.load_cert_chain(folder / "server.crt", folder / "server.key")
        self.failures: list[str] = []
        self.reviews: list[dict[str, Any]] = []
        self.url = ""

    async def review(self, request: web.Request) -> web.StreamResponse:
        assert request.headers["Authorization"] == f"Bearer {OWN_TOKEN}"
        body = await request.json()
        self.reviews.append(body)
        match self.failures.pop(0) if self.failures else None:
            case "broken":
                return web.Response(status=500)
            case "forbidden":
                return web.Response(status=403)
            case "redirect":
                raise web.HTTPFound("/elsewhere")
            case "none":
                return web.json_response({"kind": "Status", "status": "Failure"}, status=201)
            case "missing":
                return web.Response(status=404)
            case "html":
                return web.Response(text="<html>", status=201)
            case "slow":
                await asyncio.sleep(60)
            case "large":
                return web.Response(body=b"[" + b" " * 2**20 + b"]", status=201)
        wanted = body["spec"]["audiences"]
        session = body["spec"]["token"].split(".")[1]
        status = confirmed(audiences=wanted) if wanted == [f"aizen-hub:{session}"] else {"error": "invalid audience"}
        return web.json_response({"kind": body["kind"], "status": status}, status=201)


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[ApiServer]:
    server = ApiServer(tmp_path / "api")
    app = web.Application()
    app.add_routes([web.post("/apis/authentication.k8s.io/v1/tokenreviews", server.review)])
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=server.tls)
    await site.start()
    host, port = runner.addresses[0][:2]
    server.url = f"https://{host}:{port}"
    yield server
    await runner.cleanup()


@pytest.fixture
async def pods(tmp_path: Path, api: ApiServer) -> AsyncIterator[Driver]:
    """A service that asks the API server about pods."""
    file = tmp_path / "own-token"
    file.write_text(OWN_TOKEN)
    file.chmod(0o600)
    identity = {"namespaces": ["users"], "api_url": api.url, "ca_file": api.authority, "token_file": file}
    context = build_context(settings_for(tmp_path, pod_identity=identity), instance=INSTANCE, environ={})
    server = Server(context, "127.0.0.1", 0)
    await server.start()
    driver = Driver(server)
    driver.robot = populate(context)  # type: ignore[attr-defined]
    yield driver
    driver.close()
    await server.stop()


def of_pod(session: Session) -> dict[str, str]:
    return {HEADER: f"a.{session.id}.b"}


async def ask(pods: Driver, session: Session, headers: dict[str, str] | None = None) -> Response:
    return await pods.call("GET", "/api/v1/session", auth=session.auth, headers=headers)


async def exchange(pods: Driver, subject: str, headers: dict[str, str], **form: str) -> Response:
    fields = {"grant_type": "urn:ietf:params:oauth:grant-type:token-exchange", "subject_token": subject} | form
    headers = headers | {"Content-Type": "application/x-www-form-urlencoded"}
    return await pods.call("POST", "/oauth/token", raw=urlencode(fields).encode(), headers=headers)


def recorded(pods: Driver) -> list[tuple[str, str]]:
    """Return reason and session of the refusals in the audit."""
    a = tables.audit
    with pods.context.store.read() as tx:
        bodies = tx.conn.scalars(select(a.c.body).where(a.c.event == "credential.refused").order_by(a.c.number))
        rows = [json.loads(body) for body in bodies]
    return [(row["reason"], row["session"]) for row in rows]


@pytest.mark.proves("T-09", "R50")
async def test_a_role_token_counts_only_with_the_token_of_its_pod(pods: Driver, api: ApiServer) -> None:
    eve, rob = await pods.open("eve"), await pods.open("rob")
    stolen = await ask(pods, eve)
    assert (stolen.status, stolen.json["code"]) == (401, "pod-missing")
    assert "restart the server" in stolen.json["remedy"]
    assert api.reviews == [], "there is nothing to ask about"
    for headers in (of_pod(rob), {HEADER: "a.b"}, {HEADER: f"a.{eve.id}.b c"}):
        other = await ask(pods, eve, headers)
        assert (other.status, other.json["code"]) == (401, "pod-refused")
    assert len(api.reviews) == 1, "the others have not the form of a token"
    assert (await ask(pods, eve, of_pod(eve))).status == 200
    assert (await ask(pods, rob, of_pod(rob))).status == 200
    assert {reason for reason, _ in recorded(pods)} == {"pod-missing", "pod-refused"}
    assert {session for _, session in recorded(pods)} == {eve.id}


async def test_a_confirmed_pod_is_remembered_for_its_session_and_for_a_time(
    pods: Driver, api: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    eve, rob = await pods.open("eve"), await pods.open("rob")
    for _ in range(3):
        assert (await ask(pods, eve, of_pod(eve))).status == 200
    assert len(api.reviews) == 1
    assert (await ask(pods, rob, of_pod(eve))).status == 401, "remembered for another session"
    assert len(api.reviews) == 2
    monkeypatch.setattr(pod_reviews, "MAX_CONFIRMED", 1)
    assert (await ask(pods, rob, of_pod(rob))).status == 200
    assert (await ask(pods, eve, of_pod(eve))).status == 200
    assert len(api.reviews) == 4, "the oldest of too many is forgotten"
    monkeypatch.setattr(pod_reviews, "CONFIRMED_SECONDS", 0.0)
    for count in (5, 6):
        assert (await ask(pods, rob, of_pod(rob))).status == 200
        assert len(api.reviews) == count, "too long ago"


@pytest.mark.proves("R48")
async def test_the_session_is_the_authority(pods: Driver) -> None:
    """Kubernetes goes on accepting the token of a pod for seconds after its end."""
    eve = await pods.open("eve")
    assert (await pods.command(eve, "show project p1", headers=of_pod(eve))).status == 200
    with pods.context.store.write(SERVICE_ACTOR) as tx:
        server_sessions.end_sessions(tx, "eve", None, "test")
    refused = await pods.command(eve, "show project p1", headers=of_pod(eve))
    assert (refused.status, refused.json["code"]) == (401, "session-ended"), refused.body
    renewal = await exchange(pods, eve.hub_token, of_pod(eve), subject_token_type=ACCESS)
    assert (renewal.status, renewal.json["code"]) == (400, "session-ended"), renewal.body


@pytest.mark.proves("T-09")
async def test_a_hub_token_renews_only_from_the_pod(pods: Driver) -> None:
    eve = await pods.open("eve")
    for subject, kind in ((eve.hub_token, ACCESS), (eve.token, JWT)):
        refused = await exchange(pods, subject, {}, subject_token_type=kind)
        assert (refused.status, refused.json["code"]) == (400, "pod-missing"), refused.body
        assert (await exchange(pods, subject, of_pod(eve), subject_token_type=kind)).status == 200
    assert recorded(pods) == [("pod-missing", eve.id)] * 2


async def test_a_service_account_acts_from_where_it_is(pods: Driver) -> None:
    """It has proved itself by a credential of its own when it got the token (R54)."""
    eve = await pods.open("eve")
    authenticator = pods.context.authenticator
    user = Actor(Identity.user("eve"), Channel.KERNEL, session=eve.id)
    await authenticator.require_pod({}, replace(user, acting=Identity.service_account("robot")))
    with pytest.raises(NotAuthenticated):
        await authenticator.require_pod({}, user)


@pytest.mark.parametrize("failure", ["broken", "forbidden", "missing", "redirect", "html", "none", "large"])
async def test_without_an_answer_of_the_api_server_nothing_is_allowed(
    pods: Driver, api: ApiServer, failure: str
) -> None:
    eve = await pods.open("eve")
    api.failures = [failure] * 2
    refused = await ask(pods, eve, of_pod(eve))
    assert refused.status == 503
    assert "Kubernetes" in refused.json["detail"]
    assert len(api.reviews) <= 2, "no more than one further attempt"
    remedies = {"forbidden": "tokenreviews", "missing": "api_url", "html": "api_url", "none": "api_url"}
    assert remedies.get(failure, "") in (refused.json.get("remedy") or "")
    api.failures = []
    assert (await ask(pods, eve, of_pod(eve))).status == 200
    assert recorded(pods) == [], "nothing is known against this session"


async def test_one_failure_of_the_api_server_goes_unnoticed(pods: Driver, api: ApiServer) -> None:
    eve = await pods.open("eve")
    api.failures = ["broken"]
    assert (await ask(pods, eve, of_pod(eve))).status == 200
    assert len(api.reviews) == 2


async def test_a_slow_api_server_and_one_with_another_certificate(api: ApiServer, tmp_path: Path) -> None:
    token = tmp_path / "own-token"
    token.write_text(OWN_TOKEN)
    token.chmod(0o600)
    settings = PodIdentitySettings(namespaces=("users",), api_url=api.url, ca_file=api.authority, token_file=token)
    reviews = pod_reviews.PodReviews(settings, 1.0)
    api.failures = ["slow", "slow"]
    with pytest.raises(Unavailable):
        await reviews.confirm("a.s1.b", "s1")
    await reviews.close()
    other = tmp_path / "other"
    other.mkdir()
    write_certificates(other)
    foreign = pod_reviews.PodReviews(settings.model_copy(update={"ca_file": other / "ca.crt"}), 20.0)
    api.reviews = []
    with pytest.raises(Unavailable):
        await foreign.confirm("a.s1.b", "s1")
    assert api.reviews == [], "the service's token went to no other server"
    await foreign.close()
    missing = pod_reviews.PodReviews(settings.model_copy(update={"token_file": tmp_path / "none"}), 20.0)
    with pytest.raises(Unavailable, match="pod"):
        await missing.confirm("a.s1.b", "s1")
    assert api.reviews == []


def test_a_service_without_the_certificate_of_the_api_server_does_not_start(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, pod_identity={"namespaces": ["users"], "ca_file": tmp_path / "none"})
    with pytest.raises(StartupError, match=r"pod_identity\.ca_file"):
        build_context(settings, instance=INSTANCE, environ={})

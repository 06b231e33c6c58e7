"""The AI Hub's job agent: impersonation of users, and signed copies for remote workers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from sqlalchemy import select

from aizen_hub.accounts.groups import membership
from aizen_hub.accounts.projects import lifecycle
from aizen_hub.accounts.roles import assignments
from aizen_hub.accounts.service_accounts import accounts, credentials
from aizen_hub.accounts.service_accounts.credential_binding import CredentialBinding
from aizen_hub.accounts.sessions import locks
from aizen_hub.accounts.users import registration
from aizen_hub.rbac.assignment import LockTarget
from aizen_hub.rbac.identity import Identity
from aizen_hub.service.factory import SERVICE_ACTOR, build_context
from aizen_hub.service.oauth.exchange import ACCESS_TOKEN_TYPE
from aizen_hub.service.server import Server
from aizen_hub.store import tables
from aizen_hub.tokens.jws import verify_jws
from aizen_hub.tokens.keys import Purpose
from tests.service.conftest import INSTANCE, OPERATOR, PASSWORD, Driver, Response, settings_for

AGENT = Identity.service_account("aihub-jobagent")


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Driver]:
    context = build_context(
        settings_for(tmp_path, catalog="aihub", admin_user="local:root"), instance=INSTANCE, environ={}
    )
    server = Server(context, "127.0.0.1", 0)
    await server.start()
    driver = Driver(server)
    with context.store.write(SERVICE_ACTOR) as tx:
        for name in ("ann", "bea", "max"):
            registration.create_user(tx, name, password=PASSWORD)
        lifecycle.create_project(tx, "scoring", owner=Identity.user("ann"))
        assignments.unauthorized_write_assignment(tx, "permitted", "scoring", Identity.user("bea"))
        membership.add_member(tx, "admin", Identity.user("max"))
        accounts.create_service_account(tx, "plain")
    with context.store.write(OPERATOR) as tx:
        driver.agent = credentials.issue_credential(tx, AGENT.name).data["credential"]  # type: ignore[attr-defined]
        driver.plain = credentials.issue_credential(tx, "plain").data["credential"]  # type: ignore[attr-defined]
    try:
        yield driver
    finally:
        driver.close()
        await server.stop()


async def impersonate(
    service: Driver, user: str, project: str | None = "scoring", *, account: str = "agent"
) -> Response:
    body = {"user": user} | ({"project": project} if project else {})
    return await service.call("POST", "/api/v1/impersonate", body, auth=f"Bearer {getattr(service, account)}")


async def decide(service: Driver, token: str, permission: str, project: str = "scoring") -> Response:
    body = {"permission": permission, "project": project}
    return await service.call("POST", "/api/v1/decisions", body, auth=f"Bearer {token}")


@pytest.mark.proves("R54", "T-06")
async def test_the_agent_gets_the_rights_of_the_user_and_none_of_its_own(service: Driver) -> None:
    response = await impersonate(service, "bea")
    assert response.status == 200, response.body
    token = response.json["token"]
    assert (await decide(service, token, "execute:process")).json["decision"]["allowed"] is True
    assert (await decide(service, token, "delete:project")).json["decision"]["allowed"] is False
    assert (await decide(service, token, "sync:files")).json["decision"]["allowed"] is False
    assert (await decide(service, token, "impersonate:users")).json["decision"]["allowed"] is False


@pytest.mark.proves("R54")
async def test_the_agent_finds_both_under_the_addresses_that_ai_hub_documents(service: Driver) -> None:
    body = {"user": "bea", "project": "scoring"}
    agent = f"Bearer {service.agent}"  # type: ignore[attr-defined]
    response = await service.call("POST", "/auth/impersonate", body, auth=agent)
    assert (response.status, response.json["user"]) == (200, "bea"), response.body
    listed = await service.call("GET", "/sync", auth=agent)
    assert listed.json["files"] == (await service.call("GET", "/api/v1/sync", auth=agent)).json["files"]
    name = listed.json["files"][0]["name"]
    download = await service.call("GET", f"/sync/file?{urlencode({'name': name})}", auth=agent)
    assert (download.status, download.json["name"]) == (200, name)
    plain = f"Bearer {service.plain}"  # type: ignore[attr-defined]
    for method, path, sent in (("POST", "/auth/impersonate", body), ("GET", "/sync", None)):
        assert (await service.call(method, path, sent, auth=plain)).status == 403
        assert (await service.call(method, path, sent)).status == 401
        proxied = await service.call(method, f"/services/aizen{path}", sent, auth=agent)
        assert proxied.status == 404, "not below the proxy's prefix, where browsers are"


@pytest.mark.proves("R54", "R94")
async def test_the_audit_records_both_names(service: Driver) -> None:
    token = (await impersonate(service, "bea")).json["token"]
    decision_id = (await decide(service, token, "execute:process")).json["decision"]["id"]
    max_ = await service.open("max", None)
    audit = await service.call("GET", f"/api/v1/audit?id={decision_id}", auth=max_.auth)
    (row,) = audit.json["data"]["audit"]
    assert (row["identity"], row["acting"]) == ("user:bea", str(AGENT))


@pytest.mark.proves("R70", "T-06")
async def test_stopping_either_side_stops_both_at_the_next_decision(service: Driver) -> None:
    first, second = (await impersonate(service, "bea")).json["token"], (await impersonate(service, "ann")).json["token"]
    assert (await decide(service, first, "execute:process")).json["decision"]["allowed"] is True
    with service.context.store.write(OPERATOR) as tx:
        assignments.revoke_roles(tx, ["permitted"], "scoring", Identity.user("bea"))
    assert (await decide(service, first, "execute:process")).json["decision"]["allowed"] is False
    assert (await decide(service, second, "execute:process")).json["decision"]["allowed"] is True
    with service.context.store.write(OPERATOR) as tx:
        locks.lock_target(tx, LockTarget.IDENTITY, str(AGENT), reason="stolen")
    assert (await decide(service, second, "execute:process")).json["decision"]["allowed"] is False


@pytest.mark.proves("R51", "R54", "R70", "T-06")
@pytest.mark.parametrize("change", ["locked", "without the permission", "deactivated"])
async def test_a_token_whose_actor_is_stopped_is_inactive_at_introspection(service: Driver, change: str) -> None:
    with service.context.store.write(OPERATOR) as tx:
        accounts.create_service_account(tx, "asker")
        assignments.unauthorized_write_assignment(
            tx, "aihub:admin", "system", Identity.service_account("asker"), reason="test"
        )
        asker = credentials.issue_credential(tx, "asker").data["credential"]
    token = (await impersonate(service, "bea")).json["token"]
    form = {"Content-Type": "application/x-www-form-urlencoded"}

    async def introspect() -> Response:
        raw = f"token={token}".encode()
        return await service.call("POST", "/oauth/introspect", raw=raw, auth=f"Bearer {asker}", headers=form)

    first = (await introspect()).json
    assert (first["active"], first["sub"], first["act"]) == (True, "bea", {"sub": str(AGENT)})
    with service.context.store.write(OPERATOR) as tx:
        if change == "locked":
            locks.lock_target(tx, LockTarget.IDENTITY, str(AGENT), reason="stolen")
        elif change == "deactivated":
            accounts.set_service_account_active(tx, AGENT.name, False)
        else:
            for held in tx.rights(AGENT).held_roles:
                assignments.revoke_roles(tx, [held.role], held.scope, AGENT)
    assert (await introspect()).json == {"active": False}


@pytest.mark.proves("R70")
async def test_an_impersonation_token_cannot_change_access(service: Driver) -> None:
    token = (await impersonate(service, "ann")).json["token"]
    body = {"roles": ["permitted"], "scope": "scoring", "identity": "user:max", "reason": ""}
    granted = await service.call("POST", "/api/v1/assignments", body, auth=f"Bearer {token}")
    assert granted.status == 403
    ann = await service.open("ann", "scoring")
    assert (await service.call("POST", "/api/v1/assignments", body, auth=ann.auth)).status == 201


@pytest.mark.proves("R70")
async def test_users_with_higher_rights_and_unknown_users_cannot_be_impersonated(service: Driver) -> None:
    assert (await impersonate(service, "max", None)).status == 403
    assert (await impersonate(service, "unknown")).status == 404
    assert (await impersonate(service, "bea", "other")).status == 404


@pytest.mark.proves("R134")
async def test_only_a_service_account_with_the_permission_can_impersonate(service: Driver) -> None:
    assert (await impersonate(service, "bea", account="plain")).status == 403
    ann = await service.open("ann", "scoring")
    refused = await service.call("POST", "/api/v1/impersonate", {"user": "bea"}, auth=ann.auth)
    assert refused.status == 401


async def test_an_impersonation_token_can_be_neither_renewed_nor_exchanged(service: Driver) -> None:
    token = (await impersonate(service, "bea")).json["token"]
    kind = "urn:ietf:params:oauth:token-type:jwt"
    form = "grant_type=urn:ietf:params:oauth:grant-type:token-exchange"
    raw = f"{form}&subject_token={token}&subject_token_type={kind}".encode()
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    response = await service.call("POST", "/oauth/token", raw=raw, headers=headers)
    assert response.status == 400


async def delegate(service: Driver, subject: str, actor: str, **more: str) -> Response:
    """Exchange a user's token for one with which a service account acts for them (RFC 8693, 1.1)."""
    kind = "urn:ietf:params:oauth:token-type:"
    fields = {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "subject_token": subject,
        "subject_token_type": f"{kind}jwt",
        "actor_token": actor,
        "actor_token_type": f"{kind}access_token",
    }
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    return await service.call("POST", "/oauth/token", raw=urlencode(fields | more).encode(), headers=headers)


@pytest.mark.proves("R53", "R54", "T-06")
async def test_a_delegated_token_is_valid_no_longer_than_the_users_own(service: Driver) -> None:
    agent: str = service.agent  # type: ignore[attr-defined]
    own = await service.open("bea", "scoring")
    response = await delegate(service, own.token, agent, scope="execute:process")
    assert response.status == 200, response.body
    assert (response.json["session"], response.json["scope"]) == (own.id, "execute:process")
    token = service.context.verifier.verify(response.json["access_token"], datetime.now(UTC))
    mine = service.context.verifier.verify(own.token, datetime.now(UTC))
    assert (token.subject, token.actor, token.project) == ("bea", str(AGENT), "scoring")
    assert token.expires_at <= mine.expires_at
    text = response.json["access_token"]
    decided = await decide(service, text, "execute:process")
    assert decided.json["decision"]["allowed"] is True
    with service.context.store.read() as tx:
        bodies = tx.conn.scalars(select(tables.audit.c.body).where(tables.audit.c.id == decided.json["decision"]["id"]))
        row = json.loads(bodies.one())
    assert (row["identity"], row["acting"], row["session"]) == ("user:bea", str(AGENT), own.id)
    assert (await decide(service, text, "read:process")).json["decision"]["reason"] == "outside-token"
    for subject in (text, (await impersonate(service, "bea")).json["token"]):
        refused = await delegate(service, subject, agent)
        assert (refused.status, refused.json["error"]) == (400, "invalid_grant"), (
            "only a user can be impersonated, not an agent"
        )
    assert (await service.renew(own)).status == 200
    ended = {"user": "bea", "server": "", "reason": "stopped"}
    assert (await service.hub("POST", "/sessions/end", ended)).status == 200
    assert (await decide(service, text, "execute:process")).status == 401
    assert (await delegate(service, own.token, agent)).status == 400


@pytest.mark.proves("R53", "R70", "R134", "T-06")
async def test_delegation_requires_everything_that_impersonation_requires(service: Driver) -> None:
    agent: str = service.agent  # type: ignore[attr-defined]
    bea, high = await service.open("bea", "scoring"), await service.open("max", None)
    narrow = (await delegate(service, bea.token, agent, scope="execute:process")).json["access_token"]
    assert narrow
    cases: list[tuple[str, str, dict[str, str], str]] = [
        (bea.token, service.plain, {}, "invalid_target"),  # type: ignore[attr-defined]
        (high.token, agent, {}, "invalid_target"),
        (bea.token, agent, {"project": "other"}, "invalid_target"),
        (bea.token, "aizen-sa-unknown", {}, "invalid_grant"),
        (bea.token, bea.token, {}, "invalid_grant"),
        (bea.token, bea.hub_token, {}, "invalid_grant"),
        (agent, agent, {}, "invalid_grant"),
        (bea.token, agent, {"actor_token_type": "urn:ietf:params:oauth:token-type:jwt"}, "invalid_request"),
        (bea.hub_token, agent, {"subject_token_type": ACCESS_TOKEN_TYPE}, "invalid_request"),
    ]
    for number, (subject, actor, more, error) in enumerate(cases):
        refused = await delegate(service, subject, actor, **more)
        assert (refused.status, refused.json["error"]) == (400, error), refused.body
        if number < 3:
            with service.context.store.read() as tx:
                last = select(tables.audit.c.body).where(tables.audit.c.event == "exchange")
                row = json.loads(tx.conn.scalars(last.order_by(tables.audit.c.number.desc()).limit(1)).one())
            account = "plain" if actor == service.plain else AGENT.name  # type: ignore[attr-defined]
            assert (row["identity"], row["allowed"]) == (f"service-account:{account}", False)


@pytest.mark.proves("R135")
async def test_no_impersonation_token_is_issued_while_the_clock_is_off(
    service: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    bea = await service.open("bea", "scoring")
    clock = service.context.clock
    monkeypatch.setattr(clock, "_base", clock._base - 3600)
    assert (await impersonate(service, "bea")).status == 503
    assert (await delegate(service, bea.token, service.agent)).status == 503  # type: ignore[attr-defined]


@pytest.mark.proves("R58", "T-46")
async def test_a_credential_bound_to_a_key_or_another_network_cannot_impersonate(service: Driver) -> None:
    bea = await service.open("bea", "scoring")
    for binding in (CredentialBinding(key="k" * 43), CredentialBinding(networks=("192.0.2.0/24",))):
        with service.context.store.write(OPERATOR) as tx:
            bound = credentials.issue_credential(tx, AGENT.name, binding=binding).data["credential"]
        refused = await delegate(service, bea.token, bound)
        assert (refused.status, refused.json["error"]) == (400, "invalid_grant")


async def test_a_copy_is_listed_signed_dated_and_marked_as_not_authoritative(service: Driver) -> None:
    auth = f"Bearer {service.agent}"  # type: ignore[attr-defined]
    listed = await service.call("GET", "/api/v1/sync", auth=auth)
    assert listed.status == 200, listed.body
    assert listed.json["authoritative"] is False
    by_name: dict[str, Any] = {file["name"]: file for file in listed.json["files"]}
    assert set(by_name) == {"policy", "project:scoring"}
    copy = await service.call("GET", "/api/v1/sync/file?name=project%3Ascoring", auth=auth)
    assert copy.json["authoritative"] is False
    assert "bea" in copy.json["content"]
    digest = hashlib.sha256(copy.json["content"].encode()).hexdigest()
    assert digest == copy.json["sha256"] == by_name["project:scoring"]["sha256"]
    with service.context.store.read() as tx:
        ring = service.context.keys.ring(tx)
    claims, _ = verify_jws(copy.json["signature"], Purpose.SYNC, ring)
    assert (claims["sha256"], claims["rev"], claims["authoritative"]) == (digest, copy.json["revision"], False)
    assert copy.json["issued"].endswith("Z")


async def test_copies_need_a_permission_and_unknown_files_are_not_found(service: Driver) -> None:
    plain = f"Bearer {service.plain}"  # type: ignore[attr-defined]
    agent = f"Bearer {service.agent}"  # type: ignore[attr-defined]
    assert (await service.call("GET", "/api/v1/sync", auth=plain)).status == 403
    assert (await service.call("GET", "/api/v1/sync/file?name=policy", auth=plain)).status == 403
    for name in ("project:none", "..%2Fetc%2Fpasswd", "scoring"):
        assert (await service.call("GET", f"/api/v1/sync/file?name={name}", auth=agent)).status == 404


@pytest.mark.proves("R70")
async def test_impersonation_cannot_end_anything_of_the_user(service: Driver) -> None:
    own = await service.open("bea", "scoring")
    token = (await impersonate(service, "bea")).json["token"]
    requested = await service.call("POST", "/api/v1/requests", {"role": "owner", "scope": "scoring"}, auth=own.auth)
    assert requested.status == 201, requested.body
    for path, body in (
        (f"requests/{requested.json['data']['request']}/withdraw", None),
        (f"sessions/{own.id}/end", {"reason": "x"}),
    ):
        refused = await service.call("POST", f"/api/v1/{path}", body, auth=f"Bearer {token}")
        assert refused.status == 403, refused.body
        done = await service.call("POST", f"/api/v1/{path}", body, auth=own.auth)
        assert done.status == 200, done.body

"""The AI Hub's job agent: acting for people, and signed copies for remote workers."""

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

from aizen_hub.accounts.groups import groups
from aizen_hub.accounts.projects import projects
from aizen_hub.accounts.roles import assignments
from aizen_hub.accounts.service_accounts import service_accounts
from aizen_hub.accounts.service_accounts.credential_binding import Binding
from aizen_hub.accounts.sessions import locks
from aizen_hub.accounts.users import users
from aizen_hub.rbac.assignment import LockTarget
from aizen_hub.rbac.identity import Identity
from aizen_hub.service.factory import OWN, build
from aizen_hub.service.oauth.exchange import ACCESS_TOKEN
from aizen_hub.service.server import Server
from aizen_hub.store import tables
from aizen_hub.tokens.jws import read
from aizen_hub.tokens.keys import Purpose
from tests.service.conftest import INSTANCE, OPERATOR, PASSWORD, Driver, Response, settings_for

AGENT = Identity.service_account("aihub-jobagent")


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Driver]:
    house = build(settings_for(tmp_path, catalog="aihub", admin_user="local:root"), instance=INSTANCE, environ={})
    server = Server(house, "127.0.0.1", 0)
    await server.start()
    driver = Driver(server)
    with house.store.write(OWN) as tx:
        for name in ("ann", "bea", "max"):
            users.create(tx, name, password=PASSWORD)
        projects.create(tx, "scoring", owner=Identity.user("ann"))
        assignments.put(tx, "permitted", "scoring", Identity.user("bea"))
        groups.add_member(tx, "admin", Identity.user("max"))
        service_accounts.create(tx, "plain")
    with house.store.write(OPERATOR) as tx:
        driver.agent = service_accounts.issue(tx, AGENT.name).data["credential"]  # type: ignore[attr-defined]
        driver.plain = service_accounts.issue(tx, "plain").data["credential"]  # type: ignore[attr-defined]
    try:
        yield driver
    finally:
        driver.close()
        await server.stop()


async def act(service: Driver, user: str, project: str | None = "scoring", *, who: str = "agent") -> Response:
    body = {"user": user} | ({"project": project} if project else {})
    return await service.call("POST", "/api/v1/impersonate", body, auth=f"Bearer {getattr(service, who)}")


async def decide(service: Driver, token: str, permission: str, project: str = "scoring") -> Response:
    body = {"permission": permission, "project": project}
    return await service.call("POST", "/api/v1/decisions", body, auth=f"Bearer {token}")


@pytest.mark.proves("R54", "T-06")
async def test_the_agent_gets_the_rights_of_the_person_and_none_of_its_own(service: Driver) -> None:
    answer = await act(service, "bea")
    assert answer.status == 200, answer.body
    token = answer.json["token"]
    assert (await decide(service, token, "execute:process")).json["decision"]["allowed"] is True
    assert (await decide(service, token, "delete:project")).json["decision"]["allowed"] is False
    assert (await decide(service, token, "sync:files")).json["decision"]["allowed"] is False
    assert (await decide(service, token, "impersonate:users")).json["decision"]["allowed"] is False


@pytest.mark.proves("R54", "R94")
async def test_both_names_are_in_the_audit_row(service: Driver) -> None:
    token = (await act(service, "bea")).json["token"]
    number = (await decide(service, token, "execute:process")).json["decision"]["id"]
    max_ = await service.open("max", None)
    found = await service.call("GET", f"/api/v1/audit?id={number}", auth=max_.auth)
    (row,) = found.json["data"]["audit"]
    assert (row["identity"], row["acting"]) == ("user:bea", str(AGENT))


@pytest.mark.proves("R70", "T-06")
async def test_either_side_stopped_stops_both_at_the_next_decision(service: Driver) -> None:
    first, second = (await act(service, "bea")).json["token"], (await act(service, "ann")).json["token"]
    assert (await decide(service, first, "execute:process")).json["decision"]["allowed"] is True
    with service.house.store.write(OPERATOR) as tx:
        assignments.revoke(tx, ["permitted"], "scoring", Identity.user("bea"))
    assert (await decide(service, first, "execute:process")).json["decision"]["allowed"] is False
    assert (await decide(service, second, "execute:process")).json["decision"]["allowed"] is True
    with service.house.store.write(OPERATOR) as tx:
        locks.lock(tx, LockTarget.IDENTITY, str(AGENT), reason="stolen")
    assert (await decide(service, second, "execute:process")).json["decision"]["allowed"] is False


@pytest.mark.proves("R51", "R54", "R70", "T-06")
@pytest.mark.parametrize("change", ["locked", "without the right", "switched off"])
async def test_a_token_whose_actor_is_stopped_does_not_count_for_others_either(service: Driver, change: str) -> None:
    with service.house.store.write(OPERATOR) as tx:
        service_accounts.create(tx, "asker")
        assignments.put(tx, "aihub:admin", "system", Identity.service_account("asker"), reason="test")
        asker = service_accounts.issue(tx, "asker").data["credential"]
    token = (await act(service, "bea")).json["token"]
    form = {"Content-Type": "application/x-www-form-urlencoded"}

    async def asked() -> Response:
        raw = f"token={token}".encode()
        return await service.call("POST", "/oauth/introspect", raw=raw, auth=f"Bearer {asker}", headers=form)

    first = (await asked()).json
    assert (first["active"], first["sub"], first["act"]) == (True, "bea", {"sub": str(AGENT)})
    with service.house.store.write(OPERATOR) as tx:
        if change == "locked":
            locks.lock(tx, LockTarget.IDENTITY, str(AGENT), reason="stolen")
        elif change == "switched off":
            service_accounts.set_active(tx, AGENT.name, False)
        else:
            for one in tx.rights(AGENT).held:
                assignments.revoke(tx, [one.role], one.scope, AGENT)
    assert (await asked()).json == {"active": False}


@pytest.mark.proves("R70")
async def test_acting_never_changes_access(service: Driver) -> None:
    token = (await act(service, "ann")).json["token"]
    body = {"roles": ["permitted"], "scope": "scoring", "identity": "user:max", "reason": ""}
    granted = await service.call("POST", "/api/v1/assignments", body, auth=f"Bearer {token}")
    assert granted.status == 403
    ann = await service.open("ann", "scoring")
    assert (await service.call("POST", "/api/v1/assignments", body, auth=ann.auth)).status == 201


@pytest.mark.proves("R70")
async def test_nobody_of_higher_right_and_no_stranger_can_be_a_target(service: Driver) -> None:
    assert (await act(service, "max", None)).status == 403
    assert (await act(service, "nobody")).status == 404
    assert (await act(service, "bea", "other")).status == 404


@pytest.mark.proves("R134")
async def test_only_an_account_with_the_right_acts_and_no_person_does(service: Driver) -> None:
    assert (await act(service, "bea", who="plain")).status == 403
    ann = await service.open("ann", "scoring")
    refused = await service.call("POST", "/api/v1/impersonate", {"user": "bea"}, auth=ann.auth)
    assert refused.status == 401


async def test_an_acting_token_can_be_neither_renewed_nor_exchanged(service: Driver) -> None:
    token = (await act(service, "bea")).json["token"]
    kind = "urn:ietf:params:oauth:token-type:jwt"
    form = "grant_type=urn:ietf:params:oauth:grant-type:token-exchange"
    raw = f"{form}&subject_token={token}&subject_token_type={kind}".encode()
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = await service.call("POST", "/oauth/token", raw=raw, headers=headers)
    assert answer.status == 400


async def delegate(service: Driver, subject: str, actor: str, **more: str) -> Response:
    """Exchange a person's token for one with which a service account acts for them (RFC 8693, 1.1)."""
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
async def test_the_agent_acts_for_whoever_hands_it_a_token_and_no_longer_than_that_counts(service: Driver) -> None:
    agent: str = service.agent  # type: ignore[attr-defined]
    own = await service.open("bea", "scoring")
    answer = await delegate(service, own.token, agent, scope="execute:process")
    assert answer.status == 200, answer.body
    assert (answer.json["session"], answer.json["scope"]) == (own.id, "execute:process")
    token = service.house.verifier.verify(answer.json["access_token"], datetime.now(UTC))
    mine = service.house.verifier.verify(own.token, datetime.now(UTC))
    assert (token.subject, token.actor, token.project) == ("bea", str(AGENT), "scoring")
    assert token.expires_at <= mine.expires_at
    text = answer.json["access_token"]
    decided = await decide(service, text, "execute:process")
    assert decided.json["decision"]["allowed"] is True
    with service.house.store.read() as tx:
        found = tx.conn.scalars(select(tables.audit.c.body).where(tables.audit.c.id == decided.json["decision"]["id"]))
        row = json.loads(found.one())
    assert (row["identity"], row["acting"], row["session"]) == ("user:bea", str(AGENT), own.id)
    assert (await decide(service, text, "read:process")).json["decision"]["reason"] == "outside-token"
    for again in (text, (await act(service, "bea")).json["token"]):
        refused = await delegate(service, again, agent)
        assert (refused.status, refused.json["error"]) == (400, "invalid_grant"), "one acts for a person, not an agent"
    assert (await service.renew(own)).status == 200
    ended = {"user": "bea", "server": "", "reason": "stopped"}
    assert (await service.hub("POST", "/sessions/end", ended)).status == 200
    assert (await decide(service, text, "execute:process")).status == 401
    assert (await delegate(service, own.token, agent)).status == 400


@pytest.mark.proves("R53", "R70", "R134", "T-06")
async def test_it_asks_for_everything_that_acting_asks_for(service: Driver) -> None:
    agent: str = service.agent  # type: ignore[attr-defined]
    bea, high = await service.open("bea", "scoring"), await service.open("max", None)
    narrow = (await delegate(service, bea.token, agent, scope="execute:process")).json["access_token"]
    assert narrow
    cases: list[tuple[str, str, dict[str, str], str]] = [
        (bea.token, service.plain, {}, "invalid_target"),  # type: ignore[attr-defined]
        (high.token, agent, {}, "invalid_target"),
        (bea.token, agent, {"project": "other"}, "invalid_target"),
        (bea.token, "aizen-sa-nobody", {}, "invalid_grant"),
        (bea.token, bea.token, {}, "invalid_grant"),
        (bea.token, bea.hub_token, {}, "invalid_grant"),
        (agent, agent, {}, "invalid_grant"),
        (bea.token, agent, {"actor_token_type": "urn:ietf:params:oauth:token-type:jwt"}, "invalid_request"),
        (bea.hub_token, agent, {"subject_token_type": ACCESS_TOKEN}, "invalid_request"),
    ]
    for number, (subject, actor, more, error) in enumerate(cases):
        refused = await delegate(service, subject, actor, **more)
        assert (refused.status, refused.json["error"]) == (400, error), refused.body
        if number < 3:
            with service.house.store.read() as tx:
                last = select(tables.audit.c.body).where(tables.audit.c.event == "exchange")
                row = json.loads(tx.conn.scalars(last.order_by(tables.audit.c.number.desc()).limit(1)).one())
            who = "plain" if actor == service.plain else AGENT.name  # type: ignore[attr-defined]
            assert (row["identity"], row["allowed"]) == (f"service-account:{who}", False)


@pytest.mark.proves("R135")
async def test_no_acting_token_is_made_while_the_clock_is_off(service: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    bea = await service.open("bea", "scoring")
    clock = service.house.clock
    monkeypatch.setattr(clock, "_base", clock._base - 3600)
    assert (await act(service, "bea")).status == 503
    assert (await delegate(service, bea.token, service.agent)).status == 503  # type: ignore[attr-defined]


@pytest.mark.proves("R58", "T-46")
async def test_a_credential_that_is_bound_to_a_key_or_elsewhere_does_not_act_by_itself(service: Driver) -> None:
    bea = await service.open("bea", "scoring")
    for binding in (Binding(key="k" * 43), Binding(networks=("192.0.2.0/24",))):
        with service.house.store.write(OPERATOR) as tx:
            bound = service_accounts.issue(tx, AGENT.name, binding=binding).data["credential"]
        refused = await delegate(service, bea.token, bound)
        assert (refused.status, refused.json["error"]) == (400, "invalid_grant")


async def test_a_copy_is_listed_signed_dated_and_marked_as_no_authority(service: Driver) -> None:
    auth = f"Bearer {service.agent}"  # type: ignore[attr-defined]
    listed = await service.call("GET", "/api/v1/sync", auth=auth)
    assert listed.status == 200, listed.body
    assert listed.json["authoritative"] is False
    by_name: dict[str, Any] = {one["name"]: one for one in listed.json["files"]}
    assert set(by_name) == {"policy", "project:scoring"}
    got = await service.call("GET", "/api/v1/sync/file?name=project%3Ascoring", auth=auth)
    assert got.json["authoritative"] is False
    assert "bea" in got.json["content"]
    digest = hashlib.sha256(got.json["content"].encode()).hexdigest()
    assert digest == got.json["sha256"] == by_name["project:scoring"]["sha256"]
    with service.house.store.read() as tx:
        ring = service.house.keys.ring(tx)
    stated, _ = read(got.json["signature"], Purpose.SYNC, ring)
    assert (stated["sha256"], stated["rev"], stated["authoritative"]) == (digest, got.json["revision"], False)
    assert got.json["issued"].endswith("Z")


async def test_synchronising_is_a_right_and_unknown_files_are_not_there(service: Driver) -> None:
    plain = f"Bearer {service.plain}"  # type: ignore[attr-defined]
    agent = f"Bearer {service.agent}"  # type: ignore[attr-defined]
    assert (await service.call("GET", "/api/v1/sync", auth=plain)).status == 403
    assert (await service.call("GET", "/api/v1/sync/file?name=policy", auth=plain)).status == 403
    for name in ("project:none", "..%2Fetc%2Fpasswd", "scoring"):
        assert (await service.call("GET", f"/api/v1/sync/file?name={name}", auth=agent)).status == 404


@pytest.mark.proves("R70")
async def test_acting_ends_nothing_of_the_person(service: Driver) -> None:
    own = await service.open("bea", "scoring")
    token = (await act(service, "bea")).json["token"]
    asked = await service.call("POST", "/api/v1/requests", {"role": "owner", "scope": "scoring"}, auth=own.auth)
    assert asked.status == 201, asked.body
    for path, body in (
        (f"requests/{asked.json['data']['request']}/withdraw", None),
        (f"sessions/{own.id}/end", {"reason": "x"}),
    ):
        refused = await service.call("POST", f"/api/v1/{path}", body, auth=f"Bearer {token}")
        assert refused.status == 403, refused.body
        done = await service.call("POST", f"/api/v1/{path}", body, auth=own.auth)
        assert done.status == 200, done.body

"""The OAuth endpoints over real HTTP."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import jwt
import pytest

from aizen_hub.service.oauth.exchange import ACCESS_TOKEN, GRANT, JWT
from aizen_hub.tokens.keys import Purpose
from aizen_hub.tokens.opaque_token import new_credential
from tests.service.oauth.conftest import OPERATOR, Service
from tests.tokens.forged_tokens import Forger, accepted_over_http

pytestmark = pytest.mark.asyncio


async def exchange(service: Service, hub_token: str, **more: str) -> Any:
    fields = {"grant_type": GRANT, "subject_token": hub_token, "subject_token_type": ACCESS_TOKEN, **more}
    return await service.form("/oauth/token", **fields)


async def role_token(service: Service, hub_token: str, **more: str) -> str:
    answer = await exchange(service, hub_token, **more)
    assert answer.status == 200, answer.body
    token: str = answer.body["access_token"]
    return token


async def allowed(service: Service, token: str, command: str = "start training churn") -> int:
    return (await service.json("/api/v1/decisions", {"command": command}, token)).status


@pytest.mark.proves("R46", "R122")
async def test_a_hub_token_is_exchanged_for_a_role_token(service: Service) -> None:
    answer = await exchange(service, service.start())
    assert answer.status == 200
    assert (answer.body["token_type"], answer.body["issued_token_type"]) == ("Bearer", JWT)
    assert (answer.body["expires_in"], answer.body["project"]) == (300, "churn")
    assert answer.headers["Cache-Control"] == "no-store"
    assert await allowed(service, answer.body["access_token"]) == 200


async def test_set_project(service: Service) -> None:
    hub_token = service.start()
    before = await role_token(service, hub_token)
    answer = await exchange(service, hub_token, project="fraud")
    assert (answer.status, answer.body["project"]) == (200, "fraud")
    refused = await service.json("/api/v1/decisions", {"command": "start training churn"}, before)
    assert (refused.status, refused.body["code"]) == (401, "project-changed")
    answer = await exchange(service, hub_token, project="nowhere")
    assert (answer.status, answer.body["error"]) == (400, "invalid_target")


@pytest.mark.proves("R50", "T-09")
async def test_another_servers_hub_token_is_refused_and_recorded(service: Service) -> None:
    mine, theirs = service.start("alice"), service.start("bob")
    stolen = await role_token(service, mine)
    for subject in (theirs, new_credential(), stolen):
        before = len(service.rows("exchange"))
        answer = await exchange(service, subject, actor_token=stolen, actor_token_type=JWT)
        assert (answer.status, answer.body["error"]) == (400, "invalid_grant")
        rows = service.rows("exchange")
        assert len(rows) == before + 1
        assert rows[-1]["allowed"] is False
    assert (await exchange(service, mine, actor_token=stolen, actor_token_type=JWT)).status == 200


@pytest.mark.proves("R53")
async def test_a_narrowed_token_can_do_less_and_never_more(service: Service) -> None:
    hub_token = service.start()
    wide = await role_token(service, hub_token)
    answer = await service.form(
        "/oauth/token", grant_type=GRANT, subject_token=wide, subject_token_type=JWT, scope="list:training"
    )
    assert (answer.status, answer.body["scope"]) == (200, "list:training")
    narrow = answer.body["access_token"]
    assert await allowed(service, wide) == 200
    refused = await service.json("/api/v1/decisions", {"command": "start training churn"}, narrow)
    decision = refused.body["decision"]
    assert (decision["allowed"], decision["reason"]) == (False, "outside-token")
    answer = await service.form(
        "/oauth/token", grant_type=GRANT, subject_token=narrow, subject_token_type=JWT, scope="execute:training"
    )
    assert answer.status == 400


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"grant_type": "authorization_code"}, "unsupported_grant_type"),
        ({"subject_token_type": "urn:ietf:params:oauth:token-type:id_token"}, "invalid_request"),
        ({"subject_token_type": "urn:ietf:params:oauth:token-type:saml2"}, "invalid_request"),
        ({"requested_token_type": "urn:ietf:params:oauth:token-type:refresh_token"}, "invalid_request"),
        ({"audience": "https://elsewhere.example"}, "invalid_target"),
        ({"resource": "https://elsewhere.example"}, "invalid_target"),
        ({"scope": "Everything!"}, "invalid_scope"),
        ({"actor_token": "x"}, "invalid_request"),
        ({"unknown": "x"}, "invalid_request"),
        ({"subject_token": ""}, "invalid_request"),
        ({"subject_token": "x" * 9000}, "invalid_request"),
    ],
)
async def test_other_requests_are_refused_as_the_rfc_says(service: Service, change: dict[str, str], error: str) -> None:
    answer = await exchange(service, service.start(), **change)
    assert (answer.status, answer.body["error"]) == (400, error)
    assert all(" " <= char <= "~" and char not in '"\\' for char in answer.body["error_description"])


@pytest.mark.proves("R51")
class TestIntrospection:
    async def test_it_tells_a_reader_of_access_what_a_token_says(self, service: Service) -> None:
        account, hub_token = service.service_account("AIZEN_ADMIN"), service.start()
        token = await role_token(service, hub_token)
        answer = await service.form("/oauth/introspect", account, token=token)
        assert answer.status == 200, answer.body
        assert (answer.body["active"], answer.body["sub"], answer.body["project"]) == (True, "alice", "churn")
        assert answer.headers["Cache-Control"] == "no-store"
        rows = [row for row in service.rows("decision") if row["identity"] == "service-account:auditor"]
        assert rows[-1]["allowed"] is True

    async def test_it_says_nothing_else_of_a_token_that_does_not_count(self, service: Service) -> None:
        account, hub_token = service.service_account("AIZEN_ADMIN"), service.start()
        ended = await role_token(service, service.start(server="second"))
        with service.house.store.write(OPERATOR) as tx:
            from aizen_hub.accounts.sessions import sessions

            sessions.end(tx, "alice", "second", "stopped")
        forger = Forger.of(service.house.verifier.ring, "http://other.example", "x", datetime.now(UTC))
        for token in (ended, hub_token, account, forger.token(), "x", ended + "="):
            answer = await service.form("/oauth/introspect", account, token=token)
            assert (answer.status, answer.body) == (200, {"active": False})

    async def test_only_callers_with_that_right_may_ask(self, service: Service) -> None:
        token = await role_token(service, service.start())
        assert (await service.form("/oauth/introspect", token=token)).status == 401
        assert (await service.form("/oauth/introspect", token, token=token)).status == 401
        assert (await service.form("/oauth/introspect", service.service_account(), token=token)).status in (403, 404)


@pytest.mark.proves("R52")
class TestRevocation:
    async def test_it_ends_the_session_s_tokens_and_no_other_s(self, service: Service) -> None:
        mine, theirs = service.start("alice"), service.start("bob")
        token, other = await role_token(service, mine), await role_token(service, theirs)
        for _ in range(2):
            answer = await service.form("/oauth/revoke", token=token)
            assert (answer.status, answer.body) == (200, {})
        assert await allowed(service, token) == 401
        assert await allowed(service, other) == 200
        assert await allowed(service, await role_token(service, mine)) == 200

    @pytest.mark.proves("R47", "R48")
    async def test_it_counts_for_a_token_of_a_key_that_this_replica_has_not_seen(self, service: Service) -> None:
        hub_token, keys = service.start(), service.house.keys
        old = service.house.verifier.ring
        with service.house.store.write(OPERATOR) as tx:
            keys.withdraw(tx, [key.kid for key in keys.list(tx) if key.purpose is Purpose.ROLE], "leaked")
        token = await role_token(service, hub_token)
        service.house.verifier.ring = old  # as long as this replica has not looked again
        assert (await service.form("/oauth/revoke", token=token)).status == 200
        with service.house.store.read() as tx:
            service.house.verifier.advance(keys.ring(tx))
        assert await allowed(service, token) == 401
        assert await allowed(service, await role_token(service, hub_token)) == 200

    async def test_an_unknown_token_is_no_error(self, service: Service) -> None:
        for token in ("x", new_credential(), service.start(), "a.b.c"):
            assert (await service.form("/oauth/revoke", token=token)).status == 200

    async def test_a_narrowed_token_cannot_end_the_session_s_own(self, service: Service) -> None:
        hub_token = service.start()
        token = await role_token(service, hub_token)
        narrow = await role_token(service, hub_token, scope="list:training")
        answer = await service.form("/oauth/revoke", token=narrow)
        assert (answer.status, answer.body["error"]) == (400, "unsupported_token_type")
        assert await allowed(service, token) == 200


class TestDiscovery:
    @pytest.mark.proves("R55")
    async def test_the_key_set_verifies_our_tokens_in_another_library(self, service: Service) -> None:
        answer = await service.get("/.well-known/jwks.json")
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "application/jwk-set+json"
        assert answer.headers["Cache-Control"] == "public, max-age=300"
        assert all(set(key) == {"kty", "crv", "x", "kid", "use", "alg"} for key in answer.body["keys"])
        token = await role_token(service, service.start())
        key = jwt.PyJWKSet.from_dict(answer.body)[jwt.get_unverified_header(token)["kid"]]
        own = service.settings.service_url
        claims = jwt.decode(token, key, algorithms=["EdDSA"], audience=own, issuer=own)
        assert (claims["sub"], claims["project"]) == ("alice", "churn")

    async def test_the_metadata_names_addresses_that_exist(self, service: Service) -> None:
        answer = await service.get("/.well-known/oauth-authorization-server")
        own = service.settings.service_url
        assert answer.body["issuer"] == own
        for name, url in answer.body.items():
            if name.endswith(("_endpoint", "_uri")):
                reply = await service.get(url.removeprefix(own))
                assert reply.status in (200, 401, 405), name


@pytest.mark.proves("R36", "R37", "R38", "R39", "R40", "R41", "R42", "R44", "T-11", "T-14")
async def test_no_forgery_is_accepted_over_http(service: Service) -> None:
    hub_token = service.start()
    good = await role_token(service, hub_token)
    claims = jwt.decode(good, options={"verify_signature": False})
    forger = Forger(service.house.verifier.ring, claims)
    assert forger.token() == good
    sent = 0
    for name, make in forger.families().items():
        # HTTP itself takes blanks and line ends off a header's end, so those never reach the service.
        tokens = [(label, text) for label, text in make() if text.strip(" \t\r\n") != good]
        found = await asyncio.to_thread(accepted_over_http, f"{service.url}/api/v1/me", tokens)
        assert not found, name
        sent += len(tokens)
    assert sent > 5000
    assert not await asyncio.to_thread(accepted_over_http, f"{service.url}/api/v1/me", [("hub token", hub_token)])
    assert await asyncio.to_thread(accepted_over_http, f"{service.url}/api/v1/me", [("good", good)])


@pytest.mark.proves("R47", "R48")
async def test_a_withdrawn_key_ends_tokens_at_once(service: Service) -> None:
    hub_token = service.start()
    token = await role_token(service, hub_token)
    assert await allowed(service, token) == 200
    with service.house.store.write(OPERATOR) as tx:
        service.house.keys.withdraw(tx, [service.house.keys.ring(tx).signer(Purpose.ROLE)[0].kid], "leaked")
    assert await allowed(service, token) == 401
    assert await allowed(service, await role_token(service, hub_token)) == 200

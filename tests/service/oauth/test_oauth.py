"""The OAuth endpoints over real HTTP."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import jwt
import pytest

from aizen_hub.service.oauth.exchange import ACCESS_TOKEN_TYPE, JWT_TYPE, TOKEN_EXCHANGE_GRANT
from aizen_hub.tokens.keys import Purpose
from aizen_hub.tokens.opaque_token import new_credential
from tests.service.oauth.conftest import OPERATOR, Service
from tests.tokens.forged_tokens import Forger, accepted_over_http

pytestmark = pytest.mark.asyncio


async def exchange(oauth_service: Service, hub_token: str, **more: str) -> Any:
    fields = {
        "grant_type": TOKEN_EXCHANGE_GRANT,
        "subject_token": hub_token,
        "subject_token_type": ACCESS_TOKEN_TYPE,
        **more,
    }
    return await oauth_service.form("/oauth/token", **fields)


async def role_token(oauth_service: Service, hub_token: str, **more: str) -> str:
    response = await exchange(oauth_service, hub_token, **more)
    assert response.status == 200, response.body
    token: str = response.body["access_token"]
    return token


async def allowed(oauth_service: Service, token: str, command: str = "start training churn") -> int:
    """Return the status of a decision; a machine that has too much to do may need several attempts (R48)."""
    for _ in range(5):
        status = (await oauth_service.json("/api/v1/decisions", {"command": command}, token)).status
        if status != 503:
            break
    return status


@pytest.mark.proves("R46", "R122")
async def test_a_hub_token_is_exchanged_for_a_role_token(oauth_service: Service) -> None:
    response = await exchange(oauth_service, oauth_service.start())
    assert response.status == 200
    assert (response.body["token_type"], response.body["issued_token_type"]) == ("Bearer", JWT_TYPE)
    assert (response.body["expires_in"], response.body["project"]) == (300, "churn")
    assert response.headers["Cache-Control"] == "no-store"
    assert await allowed(oauth_service, response.body["access_token"]) == 200


async def test_set_project(oauth_service: Service) -> None:
    hub_token = oauth_service.start()
    before = await role_token(oauth_service, hub_token)
    response = await exchange(oauth_service, hub_token, project="fraud")
    assert (response.status, response.body["project"]) == (200, "fraud")
    refused = await oauth_service.json("/api/v1/decisions", {"command": "start training churn"}, before)
    assert (refused.status, refused.body["code"]) == (401, "project-changed")
    response = await exchange(oauth_service, hub_token, project="nowhere")
    assert (response.status, response.body["error"]) == (400, "invalid_target")


@pytest.mark.proves("R50", "T-09")
async def test_another_servers_hub_token_is_refused_and_recorded(oauth_service: Service) -> None:
    mine, theirs = oauth_service.start("alice"), oauth_service.start("bob")
    stolen = await role_token(oauth_service, mine)
    for subject in (theirs, new_credential(), stolen):
        before = len(oauth_service.rows("exchange"))
        response = await exchange(oauth_service, subject, actor_token=stolen, actor_token_type=JWT_TYPE)
        assert (response.status, response.body["error"]) == (400, "invalid_grant")
        rows = oauth_service.rows("exchange")
        assert len(rows) == before + 1
        assert rows[-1]["allowed"] is False
    assert (await exchange(oauth_service, mine, actor_token=stolen, actor_token_type=JWT_TYPE)).status == 200


@pytest.mark.proves("R53")
async def test_a_narrowed_token_can_do_less_and_never_more(oauth_service: Service) -> None:
    hub_token = oauth_service.start()
    wide = await role_token(oauth_service, hub_token)
    response = await oauth_service.form(
        "/oauth/token",
        grant_type=TOKEN_EXCHANGE_GRANT,
        subject_token=wide,
        subject_token_type=JWT_TYPE,
        scope="list:training",
    )
    assert (response.status, response.body["scope"]) == (200, "list:training")
    narrow = response.body["access_token"]
    assert await allowed(oauth_service, wide) == 200
    refused = await oauth_service.json("/api/v1/decisions", {"command": "start training churn"}, narrow)
    decision = refused.body["decision"]
    assert (decision["allowed"], decision["reason"]) == (False, "outside-token")
    response = await oauth_service.form(
        "/oauth/token",
        grant_type=TOKEN_EXCHANGE_GRANT,
        subject_token=narrow,
        subject_token_type=JWT_TYPE,
        scope="execute:training",
    )
    assert response.status == 400


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
async def test_invalid_requests_are_refused_as_the_rfc_says(
    oauth_service: Service, change: dict[str, str], error: str
) -> None:
    response = await exchange(oauth_service, oauth_service.start(), **change)
    assert (response.status, response.body["error"]) == (400, error)
    assert all(" " <= char <= "~" and char not in '"\\' for char in response.body["error_description"])


@pytest.mark.proves("R51")
class TestIntrospection:
    async def test_it_returns_the_claims_of_a_valid_token(self, oauth_service: Service) -> None:
        account, hub_token = oauth_service.service_account("AIZEN_ADMIN"), oauth_service.start()
        token = await role_token(oauth_service, hub_token)
        response = await oauth_service.form("/oauth/introspect", account, token=token)
        assert response.status == 200, response.body
        assert (response.body["active"], response.body["sub"], response.body["project"]) == (True, "alice", "churn")
        assert response.headers["Cache-Control"] == "no-store"
        rows = [row for row in oauth_service.rows("decision") if row["identity"] == "service-account:auditor"]
        assert rows[-1]["allowed"] is True

    async def test_it_reveals_nothing_about_an_invalid_token(self, oauth_service: Service) -> None:
        account, hub_token = oauth_service.service_account("AIZEN_ADMIN"), oauth_service.start()
        ended = await role_token(oauth_service, oauth_service.start(server="second"))
        with oauth_service.context.store.write(OPERATOR) as tx:
            from aizen_hub.accounts.sessions import server_sessions

            server_sessions.end_sessions(tx, "alice", "second", "stopped")
        forger = Forger.of(oauth_service.context.verifier.ring, "http://other.example", "x", datetime.now(UTC))
        for token in (ended, hub_token, account, forger.token(), "x", ended + "="):
            response = await oauth_service.form("/oauth/introspect", account, token=token)
            assert (response.status, response.body) == (200, {"active": False})

    async def test_it_needs_the_permission_to_read_access(self, oauth_service: Service) -> None:
        token = await role_token(oauth_service, oauth_service.start())
        assert (await oauth_service.form("/oauth/introspect", token=token)).status == 401
        assert (await oauth_service.form("/oauth/introspect", token, token=token)).status == 401
        assert (await oauth_service.form("/oauth/introspect", oauth_service.service_account(), token=token)).status in (
            403,
            404,
        )


@pytest.mark.proves("R52")
class TestRevocation:
    async def test_it_ends_the_tokens_of_this_session_only(self, oauth_service: Service) -> None:
        mine, theirs = oauth_service.start("alice"), oauth_service.start("bob")
        token, other = await role_token(oauth_service, mine), await role_token(oauth_service, theirs)
        for _ in range(2):
            response = await oauth_service.form("/oauth/revoke", token=token)
            assert (response.status, response.body) == (200, {})
        assert await allowed(oauth_service, token) == 401
        assert await allowed(oauth_service, other) == 200
        assert await allowed(oauth_service, await role_token(oauth_service, mine)) == 200

    @pytest.mark.proves("R47", "R48")
    async def test_it_accepts_a_token_of_a_key_that_this_replica_has_not_seen(self, oauth_service: Service) -> None:
        hub_token, keys = oauth_service.start(), oauth_service.context.keys
        old = oauth_service.context.verifier.ring
        with oauth_service.context.store.write(OPERATOR) as tx:
            keys.withdraw(tx, [key.kid for key in keys.list_keys(tx) if key.purpose is Purpose.ROLE], "leaked")
        token = await role_token(oauth_service, hub_token)
        oauth_service.context.verifier.ring = old  # until this replica reloads its keys
        assert (await oauth_service.form("/oauth/revoke", token=token)).status == 200
        with oauth_service.context.store.read() as tx:
            oauth_service.context.verifier.update_keys(keys.ring(tx))
        assert await allowed(oauth_service, token) == 401
        assert await allowed(oauth_service, await role_token(oauth_service, hub_token)) == 200

    async def test_an_unknown_token_is_no_error(self, oauth_service: Service) -> None:
        for token in ("x", new_credential(), oauth_service.start(), "a.b.c"):
            assert (await oauth_service.form("/oauth/revoke", token=token)).status == 200

    async def test_a_narrowed_token_cannot_revoke_the_tokens_of_its_session(self, oauth_service: Service) -> None:
        hub_token = oauth_service.start()
        token = await role_token(oauth_service, hub_token)
        narrow = await role_token(oauth_service, hub_token, scope="list:training")
        response = await oauth_service.form("/oauth/revoke", token=narrow)
        assert (response.status, response.body["error"]) == (400, "unsupported_token_type")
        assert await allowed(oauth_service, token) == 200


class TestDiscovery:
    @pytest.mark.proves("R55")
    async def test_another_library_verifies_tokens_with_the_key_set(self, oauth_service: Service) -> None:
        response = await oauth_service.get("/.well-known/jwks.json")
        assert response.status == 200
        assert response.headers["Content-Type"] == "application/jwk-set+json"
        assert response.headers["Cache-Control"] == "public, max-age=300"
        assert all(set(key) == {"kty", "crv", "x", "kid", "use", "alg"} for key in response.body["keys"])
        token = await role_token(oauth_service, oauth_service.start())
        key = jwt.PyJWKSet.from_dict(response.body)[jwt.get_unverified_header(token)["kid"]]
        issuer = oauth_service.settings.service_url
        claims = jwt.decode(token, key, algorithms=["EdDSA"], audience=issuer, issuer=issuer)
        assert (claims["sub"], claims["project"]) == ("alice", "churn")

    async def test_the_metadata_lists_existing_addresses(self, oauth_service: Service) -> None:
        response = await oauth_service.get("/.well-known/oauth-authorization-server")
        issuer = oauth_service.settings.service_url
        assert response.body["issuer"] == issuer
        for name, url in response.body.items():
            if name.endswith(("_endpoint", "_uri")):
                reply = await oauth_service.get(url.removeprefix(issuer))
                assert reply.status in (200, 401, 405), name


@pytest.mark.proves("R36", "R37", "R38", "R39", "R40", "R41", "R42", "R44", "T-11", "T-14")
async def test_no_forgery_is_accepted_over_http(oauth_service: Service) -> None:
    hub_token = oauth_service.start()
    good = await role_token(oauth_service, hub_token)
    claims = jwt.decode(good, options={"verify_signature": False})
    forger = Forger(oauth_service.context.verifier.ring, claims)
    assert forger.token() == good
    sent = 0
    for name, make in forger.families().items():
        # HTTP strips blanks and line ends from the end of a header, so those never reach the oauth_service.
        tokens = [(label, text) for label, text in make() if text.strip(" \t\r\n") != good]
        accepted = await asyncio.to_thread(accepted_over_http, f"{oauth_service.url}/api/v1/me", tokens)
        assert not accepted, name
        sent += len(tokens)
    assert sent > 5000
    assert not await asyncio.to_thread(accepted_over_http, f"{oauth_service.url}/api/v1/me", [("hub token", hub_token)])
    assert await asyncio.to_thread(accepted_over_http, f"{oauth_service.url}/api/v1/me", [("good", good)])


@pytest.mark.proves("R47", "R48")
async def test_a_withdrawn_key_ends_tokens_at_once(oauth_service: Service) -> None:
    hub_token = oauth_service.start()
    token = await role_token(oauth_service, hub_token)
    assert await allowed(oauth_service, token) == 200
    with oauth_service.context.store.write(OPERATOR) as tx:
        oauth_service.context.keys.withdraw(
            tx, [oauth_service.context.keys.ring(tx).signer(Purpose.ROLE)[0].kid], "leaked"
        )
    assert await allowed(oauth_service, token) == 401
    assert await allowed(oauth_service, await role_token(oauth_service, hub_token)) == 200

"""Credentials of service accounts that are bound to a key or to networks (R58, T-46)."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from sqlalchemy import func, select, update

from aizen_hub.accounts import command_handlers
from aizen_hub.accounts.roles import assignments
from aizen_hub.accounts.service_accounts import accounts, credentials
from aizen_hub.accounts.service_accounts.credential_binding import CredentialBinding
from aizen_hub.accounts.sessions import locks
from aizen_hub.rbac.assignment import LockTarget
from aizen_hub.rbac.identity import Identity
from aizen_hub.service.auth import failed_auth_throttle
from aizen_hub.service.auth.service_account_auth import AUDIT_BURST, REFUSED_EVENT
from aizen_hub.service.factory import build_context
from aizen_hub.service.server import Server
from aizen_hub.store import tables
from aizen_hub.store.actor import Actor, Channel
from aizen_hub.store.transaction import WriteTransaction
from tests.fixtures.network.ports import free_port
from tests.service.conftest import INSTANCE, OPERATOR, Driver, Response, populate, settings_for
from tests.tokens.dpop_prover import Prover, bad_proofs

ROOT = Path(__file__).parents[3]
CURVES = ("Ed25519", "P-256")
ASK = "/api/v1/decisions"
REQUEST = {"permission": "read:training", "project": "p1"}
SCORER = Identity.service_account("scorer")


@asynccontextmanager
async def running(folder: Path, host: str, port: int) -> AsyncIterator[Driver]:
    """A service at the address of its settings."""
    context = build_context(settings_for(folder, service={"host": host, "port": port}), instance=INSTANCE, environ={})
    server = Server(context, host, port)
    await server.start()
    driver = Driver(server)
    populate(context)
    try:
        yield driver
    finally:
        driver.close()
        await server.stop()


@pytest.fixture(params=CURVES)
def prover(request: pytest.FixtureRequest, service: Driver) -> Prover:
    """The key holder of a credential of ``scorer``, a reader of ``p1``."""
    return bound_prover(service, request.param)


def bound_prover(service: Driver, curve: str = "Ed25519", networks: Sequence[str] = ()) -> Prover:
    prover = Prover(curve, "")
    prover.credential = issue_credential(service, CredentialBinding.parse(prover.thumbprint, networks))
    return prover


def issue_credential(service: Driver, binding: CredentialBinding = credentials.UNBOUND) -> str:
    with service.context.store.write(OPERATOR) as tx:
        if tx.conn.execute(select(tables.service_accounts).filter_by(name="scorer")).first() is None:
            accounts.create_service_account(tx, "scorer")
            grant_reader(tx)
        return str(credentials.issue_credential(tx, "scorer", timedelta(hours=1), binding).data["credential"])


def grant_reader(tx: WriteTransaction) -> None:
    assignments.unauthorized_write_assignment(tx, "PROJECT_READER", "p1", SCORER, reason="test")


def address(service: Driver, path: str = ASK) -> str:
    return service.context.settings.service_url + path


def good(service: Driver, prover: Prover, method: str = "POST", path: str = ASK, **changes: Any) -> str:
    return prover.proof(method, address(service, path), int(time.time()), **changes)


async def ask(service: Driver, prover: Prover, proof: str | None = None, *, scheme: str = "DPoP") -> Response:
    headers = {} if proof is None else {"DPoP": proof}
    auth = f"{scheme} {prover.credential}"
    return await service.call("POST", ASK, REQUEST, auth=auth, headers=headers)


def send(port: int, headers: Sequence[tuple[str, str]], *, host: str = "127.0.0.1", source: str | None = None) -> Any:
    """Send a request with exactly these headers, from a given address; returns status, code and challenge."""
    connection = http.client.HTTPConnection(
        host, port, timeout=15, source_address=None if source is None else (source, 0)
    )
    try:
        body = json.dumps(REQUEST)
        connection.putrequest("POST", ASK)
        for name, value in (*headers, ("Content-Type", "application/json"), ("Content-Length", str(len(body)))):
            connection.putheader(name, value)
        connection.endheaders(body.encode())
        response = connection.getresponse()
        return response.status, json.loads(response.read()).get("code"), response.getheader("WWW-Authenticate")
    finally:
        connection.close()


def recorded_refusals(service: Driver) -> list[dict[str, Any]]:
    a = tables.audit
    with service.context.store.read() as tx:
        bodies = tx.conn.scalars(select(a.c.body).where(a.c.event == REFUSED_EVENT).order_by(a.c.number))
        return [json.loads(body) for body in bodies]


def refusals(service: Driver) -> dict[str, int]:
    """Return the counted refusals of service account credentials, by code."""
    counts = {}
    for line in service.context.metrics.exposition().decode().splitlines():
        if line.startswith('aizen_refused_credentials_total{credential_type="service-account"'):
            counts[line.partition('reason="')[2].partition('"')[0]] = int(float(line.rpartition(" ")[2]))
    return counts


@pytest.mark.proves("R58")
async def test_a_bound_credential_needs_a_proof(service: Driver, prover: Prover) -> None:
    assert (await ask(service, prover, good(service, prover))).status == 200
    assert (await ask(service, prover, good(service, prover), scheme="dpop")).status == 200
    for proof, scheme in ((None, "Bearer"), (good(service, prover), "Bearer"), (None, "DPoP")):
        refused = await ask(service, prover, proof, scheme=scheme)
        assert (refused.status, refused.json["code"]) == (401, "proof-missing")
        assert prover.credential not in refused.body.decode()
        challenge = refused.headers["WWW-Authenticate"]
        assert challenge.startswith('DPoP realm="aizen", error="invalid_token", ')
        assert challenge.endswith('algs="ES256 EdDSA"')
    first, second = good(service, prover), good(service, prover)
    auth = ("Authorization", f"DPoP {prover.credential}")
    port = service.server.port
    for headers in (
        [auth, ("DPoP", first), ("DPoP", second)],
        [auth, ("DPoP", first), ("DPoP", first)],
        [auth, ("DPoP", "")],
    ):
        status, code, _ = await asyncio.to_thread(send, port, headers)
        assert status == 401, headers
        assert code in ("proof-missing", "proof-malformed")
    status, code, _ = await asyncio.to_thread(send, port, [auth, auth, ("DPoP", first)])
    assert (status, code) == (401, "malformed")
    assert (await ask(service, prover, first)).status == 200, "a refused request does not use up the proof"


@pytest.mark.proves("R58", "R37", "R38", "R39", "R41", "T-11")
async def test_no_other_proof_is_accepted_over_http(service: Driver, prover: Prover) -> None:
    assert (await ask(service, prover, good(service, prover))).status == 200
    wrong: list[Any] = []
    expected: dict[str, int] = {}
    now = int(time.time())
    for label, code, proof in bad_proofs(prover, "POST", address(service), now):
        if len(proof) > 8192 or not proof.isascii():
            continue  # those meet the limits of headers
        response = await ask(service, prover, proof)
        actual = response.json.get("code")
        expected[actual] = expected.get(actual, 0) + 1
        challenge = response.headers.get("WWW-Authenticate", "")
        error = "invalid_token" if actual == "proof-wrong-key" else "invalid_dpop_proof"
        if response.status != 401 or (code and actual != code) or f'error="{error}"' not in challenge:
            wrong.append((label, code, response.status, actual, challenge))
        if prover.credential in response.body.decode() or proof[:40] in response.body.decode():
            wrong.append((label, "shown in the response"))
    assert wrong == []
    assert sum(expected.values()) > 180
    assert refusals(service) == expected, "each is counted"
    assert (await ask(service, prover, good(service, prover))).status == 200, "the owner is not locked out"


@pytest.mark.proves("R58")
async def test_a_proof_is_valid_once(service: Driver, prover: Prover) -> None:
    proof = good(service, prover)
    assert (await ask(service, prover, proof)).status == 200
    replayed = await ask(service, prover, proof)
    assert (replayed.status, replayed.json["code"]) == (401, "proof-replayed")
    proof = good(service, prover)
    responses = await asyncio.gather(*(ask(service, prover, proof) for _ in range(8)))
    assert sorted(response.status for response in responses) == [200] + 7 * [401]
    same_id = [good(service, prover, jti="one") for _ in range(2)]
    assert [(await ask(service, prover, proof)).status for proof in same_id] == [200, 401]


@pytest.mark.proves("R58")
async def test_a_proof_is_good_for_its_request_only(service: Driver, prover: Prover) -> None:
    me = "/api/v1/me"
    for proof in (
        good(service, prover, "GET", me),
        good(service, prover, "GET"),
        good(service, prover, "POST", me),
        prover.proof("POST", service.url + ASK, int(time.time())),  # the address it was sent to, not the configured one
    ):
        refused = await ask(service, prover, proof)
        assert (refused.status, refused.json["code"]) == (401, "proof-wrong-request")
        host = await service.call(
            "POST", ASK, REQUEST, auth=f"DPoP {prover.credential}", headers={"DPoP": proof, "Host": "evil.example"}
        )
        assert host.status == 401
    auth = f"DPoP {prover.credential}"
    path = "/api/v1/assignments?scope=p1"
    proof = good(service, prover, "GET", path.partition("?")[0])
    assert (await service.call("GET", path, auth=auth, headers={"DPoP": proof})).status in (200, 403, 404)


@pytest.mark.proves("R58")
async def test_a_credential_is_valid_only_with_its_own_key(service: Driver, prover: Prover) -> None:
    other, free = bound_prover(service), Prover("Ed25519", issue_credential(service))
    for credential, key, code in (
        (prover.credential, other, "proof-wrong-key"),
        (other.credential, prover, "proof-wrong-key"),
        (free.credential, prover, "not-bound"),
        ("aizen-sa-unknown", prover, "unknown"),
    ):
        key_for = Prover(key.curve, credential)
        key_for.private_key = key.private_key
        refused = await ask(service, key_for, good(service, key_for))
        assert (refused.status, refused.json["code"]) == (401, code)
        stolen = await ask(service, key_for, good(service, key))
        assert stolen.status == 401
    assert (await ask(service, free, scheme="Bearer")).status == 200
    assert (await ask(service, free, "x", scheme="Bearer")).status == 200, (
        "with an unbound credential the header is ignored"
    )
    refused = await ask(service, free)
    assert (refused.status, refused.json["code"]) == (401, "not-bound")


@pytest.mark.proves("T-13", "T-49")
async def test_the_dpop_scheme_is_for_service_accounts_only(service: Driver, prover: Prover) -> None:
    eve = await service.open("eve")
    for text, method, path, body in (
        (eve.token, "POST", ASK, REQUEST),
        (eve.hub_token, "POST", ASK, REQUEST),
        (service.hub_secret, "POST", ASK, REQUEST),
        (service.hub_secret, "POST", "/api/v1/sessions/heartbeat", {"live": []}),
        (prover.credential, "POST", "/api/v1/sessions/heartbeat", {"live": []}),
    ):
        sender = Prover(prover.curve, text)
        sender.private_key = prover.private_key
        proof = good(service, sender, method, path)
        response = await service.call(method, path, body, auth=f"DPoP {text}", headers={"DPoP": proof})
        assert (response.status, response.json["code"]) == (401, "unknown" if path == ASK else "wrong-credential-type")
    proof = good(service, prover, "GET", "/services/aizen/api/v1/me")
    through = await service.call(
        "GET", "/services/aizen/api/v1/me", auth=f"DPoP {prover.credential}", headers={"DPoP": proof}
    )
    assert (through.status, through.json["code"]) == (401, "malformed")


@pytest.mark.proves("T-46", "R78")
@pytest.mark.parametrize("cause", ["locked", "inactive", "expired", "withdrawn", "deleted"])
async def test_it_ends_with_its_account(service: Driver, cause: str) -> None:
    prover = bound_prover(service, networks=["127.0.0.0/8"])
    assert (await ask(service, prover, good(service, prover))).status == 200
    with service.context.store.write(OPERATOR) as tx:
        match cause:
            case "locked":
                locks.lock_target(tx, LockTarget.IDENTITY, str(SCORER), reason="its credential was stolen")
            case "inactive":
                accounts.set_service_account_active(tx, "scorer", False)
            case "expired":
                tx.conn.execute(update(tables.credentials).values(expires=tx.now))
            case "withdrawn":
                (row,) = credentials.list_credentials(tx, "scorer").rows
                credentials.revoke_credential(tx, "scorer", row[0])
            case _:
                accounts.delete_service_account(tx, "scorer")
    refused = await ask(service, prover, good(service, prover))
    assert (refused.status, refused.json["code"]) == (401, "unknown")
    assert recorded_refusals(service) == [], "the refusal of an ended credential is not recorded"


@pytest.mark.proves("T-46")
@pytest.mark.parametrize(
    ("networks", "source", "inside"),
    [
        (["127.0.0.1"], "127.0.0.1", True),
        (["127.0.0.1"], "127.0.0.2", False),
        (["10.0.0.0/8", "127.0.0.0/30"], "127.0.0.3", True),
        (["10.0.0.0/8", "127.0.0.0/30"], "127.0.0.4", False),
        (["::1"], "127.0.0.1", False),
        ([], "127.0.0.9", True),
    ],
)
async def test_a_credential_bound_to_networks_is_valid_only_there(
    service: Driver, networks: list[str], source: str, inside: bool
) -> None:
    headers = [("Authorization", f"Bearer {issue_credential(service, CredentialBinding.parse(None, networks))}")]
    # Forwarded headers are ignored: no trusted proxy stands in front of this address.
    for more in ([], [("X-Forwarded-For", "127.0.0.1")], [("X-Real-IP", "127.0.0.1"), ("Forwarded", "for=10.0.0.1")]):
        status, code, challenge = await asyncio.to_thread(send, service.server.port, [*headers, *more], source=source)
        assert (status, code) == ((200, None) if inside else (401, "wrong-network"))
        assert inside or challenge == 'Bearer realm="aizen"'
    assert refusals(service) == ({} if inside else {"wrong-network": 3})
    recorded = [(row["identity"], row["allowed"], row["reason"], row["source"]) for row in recorded_refusals(service)]
    assert recorded == ([] if inside else 3 * [(str(SCORER), False, "wrong-network", source)])


@pytest.mark.proves("T-46", "R58")
async def test_neither_key_nor_network_replaces_the_other(service: Driver) -> None:
    prover = bound_prover(service, networks=["127.0.0.2"])
    port, auth = service.server.port, ("Authorization", f"DPoP {prover.credential}")

    async def send_from(source: str, proof: str | None) -> Any:
        headers = [auth] if proof is None else [auth, ("DPoP", proof)]
        return (await asyncio.to_thread(send, port, headers, source=source))[:2]

    assert await send_from("127.0.0.2", good(service, prover)) == (200, None)
    assert await send_from("127.0.0.2", None) == (401, "proof-missing")
    unused = good(service, prover)
    assert await send_from("127.0.0.1", unused) == (401, "wrong-network")
    assert await send_from("127.0.0.1", None) == (401, "wrong-network")
    assert await send_from("127.0.0.2", unused) == (200, None), (
        "a request from another network does not use up the proof"
    )


def _lacks_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as ipv6:
            ipv6.bind(("::1", 0))
    except OSError:
        return True
    return False


@pytest.mark.proves("T-46")
@pytest.mark.skipif(_lacks_ipv6(), reason="no IPv6 on this machine")
async def test_networks_of_the_other_version(tmp_path: Path) -> None:
    async with running(tmp_path, "::1", free_port()) as service:
        for networks, inside in (
            (["::1"], True),
            (["::/127"], True),
            (["2001:db8::/32"], False),
            (["127.0.0.1"], False),
            (["127.0.0.1", "::1"], True),
        ):
            headers = [
                ("Authorization", f"Bearer {issue_credential(service, CredentialBinding.parse(None, networks))}")
            ]
            status, _, _ = await asyncio.to_thread(send, service.server.port, headers, host="::1")
            assert status == (200 if inside else 401), networks


@pytest.mark.proves("T-46", "T-37", "R127")
async def test_refusals_are_recorded_within_a_quota(service: Driver) -> None:
    prover, other = bound_prover(service), bound_prover(service)
    for _ in range(AUDIT_BURST + 15):
        assert (await ask(service, prover, scheme="Bearer")).status == 401
    records = recorded_refusals(service)
    assert len(records) == AUDIT_BURST
    assert {(row["identity"], row["channel"], row["reason"]) for row in records} == {
        (str(SCORER), "service-account", "proof-missing")
    }
    credential_ids = {row["details"]["credential"] for row in records}
    assert (await ask(service, other, scheme="Bearer")).status == 401
    (last,) = recorded_refusals(service)[AUDIT_BURST:]
    assert last["details"]["credential"] not in credential_ids, "each credential has its own quota"
    for _ in range(5):
        assert (await service.call("GET", "/api/v1/me", auth="Bearer aizen-sa-unknown")).status == 401
    assert len(recorded_refusals(service)) == AUDIT_BURST + 1, "refusals of unknown credentials are not recorded"
    service_accounts = service.context.authenticator.service_accounts
    service_accounts._audit_quotas._table[str(last["details"]["credential"] - 1)]._left = 5.0
    assert (await ask(service, prover, scheme="Bearer")).status == 401
    assert recorded_refusals(service)[-1]["details"]["left_out"] == 15


async def test_a_refused_credential_does_not_count_as_used(service: Driver) -> None:
    prover = bound_prover(service, networks=["127.0.0.1"])
    assert (await ask(service, prover, scheme="Bearer")).status == 401
    assert service.context.authenticator.service_accounts.used_credentials == set()
    assert (await ask(service, prover, good(service, prover))).status == 200
    assert service.context.authenticator.service_accounts.used_credentials == {prover.credential}


@pytest.fixture
def failures_that_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five are forgotten in a second, as many as a busy machine may answer; for a service that starts after this."""
    monkeypatch.setattr(failed_auth_throttle, "FAILURES_PER_SECOND", 1e-6)


@pytest.mark.proves("R125", "T-36")
@pytest.mark.usefixtures("failures_that_stay")
async def test_failures_with_a_stolen_credential_do_not_delay_its_owner(
    service: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even on the same network: the holder of the key is recognised by the key, before the store is queried."""
    monkeypatch.setattr(failed_auth_throttle, "OVER_THRESHOLD_SECONDS", 3600.0)
    prover = bound_prover(service)
    assert (await ask(service, prover, good(service, prover))).status == 200
    for _ in range(failed_auth_throttle.MAX_FAILURES + 5):
        assert (await ask(service, prover, scheme="Bearer")).status == 401
    go, queries, find_credential = asyncio.Event(), [], service.context.authenticator.service_accounts.find_credential

    async def slow(token: str) -> Any:
        if not queries:
            queries.append(token)
            await go.wait()
        return await find_credential(token)

    monkeypatch.setattr(service.context.authenticator.service_accounts, "find_credential", slow)
    flood = [
        asyncio.create_task(ask(service, prover, scheme="Bearer")) for _ in range(failed_auth_throttle.MAX_QUEUED + 3)
    ]
    await asyncio.wait(flood, timeout=30, return_when=asyncio.FIRST_COMPLETED)
    assert (await ask(service, prover, good(service, prover))).status == 200
    go.set()
    assert {response.status for response in await asyncio.gather(*flood)} == {401, 429}


class TestIssuing:
    """Issuing credentials by the API; without confirmation, which other tests cover."""

    @pytest.fixture
    def options(self) -> dict[str, Any]:
        return {"confirm_protected": False}

    async def issue(self, service: Driver, **body: Any) -> Response:
        auth = f"Bearer {service.robot}"
        await service.call("POST", "/api/v1/service-accounts", {"name": "scorer"}, auth=auth)
        return await service.call("POST", "/api/v1/service-accounts/scorer/credentials", body, auth=auth)

    @pytest.mark.proves("R58", "T-46")
    @pytest.mark.parametrize("curve", CURVES)
    async def test_a_credential_is_bound_when_it_is_issued(self, service: Driver, curve: str) -> None:
        prover = Prover(curve, "")
        response = await self.issue(service, jwk=prover.jwk, networks=["127.0.0.0/8", "2001:DB8::/32"])
        assert response.status == 201, response.body
        data = response.json["data"]
        networks = ["127.0.0.0/8", "2001:db8::/32"]
        assert (data["key"], data["networks"]) == (prover.thumbprint, networks)
        prover.credential = data["credential"]
        with service.context.store.write(OPERATOR) as tx:
            grant_reader(tx)
        assert (await ask(service, prover, good(service, prover))).status == 200
        assert (await ask(service, prover, scheme="Bearer")).status == 401
        listed = await service.call(
            "GET", "/api/v1/service-accounts/scorer/credentials", auth=f"Bearer {service.robot}"
        )
        assert listed.json["rows"][0][4:] == [prover.thumbprint, ", ".join(networks)]
        a = tables.audit
        with service.context.store.read() as tx:
            body = tx.conn.scalars(select(a.c.body).where(a.c.event == "credential.issued")).all()[-1]
        details = json.loads(body)["details"]
        assert (details["key"], details["networks"]) == (prover.thumbprint, networks)

    @pytest.mark.proves("R58", "R74")
    async def test_invalid_keys_and_networks_are_refused(self, service: Driver) -> None:
        one, two = Prover("Ed25519", ""), Prover("P-256", "")
        for body in (
            {"jwk": one.private_jwk}, {"jwk": two.private_jwk}, {"jwk": {**one.jwk, "kid": "x"}}, {"jwk": {}},
            {"jwk": {**one.jwk, "y": two.jwk["y"]}}, {"jwk": {**two.jwk, "y": one.jwk["x"]}}, {"jwk": "x"},
            {"jwk": {"kty": "oct", "k": "x"}}, {"jwk": {**one.jwk, "x": "x"}}, {"jwk": {**one.jwk, "crv": "P-256"}},
            {"key": one.thumbprint}, {"networks": []}, {"networks": "10.0.0.0/8"}, {"networks": ["0.0.0.0/0"]},
            {"networks": ["10.0.0.1/8"]}, {"networks": [1]}, {"networks": ["10.0.0.0/8"] * 33}, {"networks": ["::/0"]},
        ):  # fmt: skip
            response = await self.issue(service, **body)
            assert response.status == 400, body
            for secret in (one.private_jwk["d"], two.private_jwk["d"]):
                assert secret not in response.body.decode()
        private = await self.issue(service, jwk=one.private_jwk)
        assert "private key" in private.json["detail"]
        with service.context.store.read() as tx:
            assert tx.conn.scalar(select(func.count()).select_from(tables.credentials)) == 1, "robot's"


@pytest.mark.proves("R58", "R77")
async def test_a_pending_credential_names_its_binding_and_keeps_it(service: Driver) -> None:
    prover = Prover("P-256", "")
    with service.context.store.write(OPERATOR) as tx:
        accounts.create_service_account(tx, "scorer")
    pending = await service.call(
        "POST",
        "/api/v1/service-accounts/scorer/credentials",
        {"jwk": prover.jwk, "networks": ["127.0.0.1/32"]},
        auth=f"Bearer {service.robot}",
    )
    assert pending.status == 202, pending.body
    description = pending.json["data"]["what"]
    assert prover.thumbprint in description
    assert "127.0.0.1/32" in description
    boss = Actor(Identity.user("boss"), Channel.PANEL)
    with service.context.store.read() as tx:
        boss = replace(boss, recent_login_until=tx.now + timedelta(minutes=5))
    with service.context.store.write(boss) as tx:
        prover.credential = command_handlers.confirm_pending_change(tx, pending.json["data"]["pending"]).data[
            "credential"
        ]
    with service.context.store.write(OPERATOR) as tx:
        grant_reader(tx)
    assert (await ask(service, prover, good(service, prover))).status == 200
    assert (await ask(service, prover, scheme="Bearer")).json["code"] == "proof-missing"


async def test_the_metadata_lists_dpop(service: Driver) -> None:
    metadata = (await service.call("GET", "/.well-known/oauth-authorization-server")).json
    assert metadata["dpop_signing_alg_values_supported"] == ["ES256", "EdDSA"]
    assert metadata["introspection_endpoint_auth_methods_supported"] == ["Bearer", "DPoP"]
    openapi = (await service.call("GET", "/api/v1/openapi.json")).json
    assert openapi["components"]["securitySchemes"]["serviceAccountBound"]["scheme"] == "DPoP"
    for methods in openapi["paths"].values():
        for operation in methods.values():
            assert ({"serviceAccount": []} in operation["security"]) == (
                {"serviceAccountBound": []} in operation["security"]
            )


@pytest.mark.proves("R51", "R58")
async def test_introspection_accepts_a_bound_credential(service: Driver) -> None:
    prover = bound_prover(service)
    with service.context.store.write(OPERATOR) as tx:
        assignments.unauthorized_write_assignment(tx, "AIZEN_ADMIN", "system", SCORER, reason="test")
    eve = await service.open("eve")
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    path = "/oauth/introspect"
    for headers, status in (({}, 401), ({"DPoP": good(service, prover, "POST", path)}, 200)):
        response = await service.call(
            "POST",
            path,
            raw=f"token={eve.token}".encode(),
            headers={**form, **headers},
            auth=f"DPoP {prover.credential}",
        )
        assert response.status == status, response.body


class TestFlood:
    @pytest.fixture
    def options(self) -> dict[str, Any]:
        return {"rate": {"requests_per_second": 0.001, "burst": 3}}

    @pytest.mark.proves("R125", "R127")
    async def test_too_many_valid_proofs_fill_no_table(self, service: Driver) -> None:
        prover = bound_prover(service)
        statuses = [(await ask(service, prover, good(service, prover))).status for _ in range(8)]
        assert statuses == [200] * 3 + [429] * 5
        with service.context.store.read() as tx:
            assert tx.conn.scalar(select(func.count()).select_from(tables.used_dpop_proofs)) == 3


@pytest.mark.proves("R58")
async def test_the_documented_example_works(tmp_path: Path) -> None:
    async with running(tmp_path, "127.0.0.1", free_port()) as service:
        await run_example(service, tmp_path)


async def run_example(service: Driver, tmp_path: Path) -> None:
    prover = bound_prover(service)
    key, credential = tmp_path / "key.pem", tmp_path / "credential"
    key.write_bytes(prover.private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    credential.write_text(prover.credential + "\n")
    script = ROOT / "deploy" / "service-account" / "ask.py"

    async def run(path: str, *body: str) -> Any:
        command = [sys.executable, str(script), str(key), str(credential), service.url + path, *body]
        process = await asyncio.to_thread(
            subprocess.run, command, capture_output=True, text=True, timeout=60, check=False
        )
        assert process.returncode == 0, process.stderr
        return json.loads(process.stdout)

    assert (await run("/api/v1/me"))["user"] == "scorer"
    assert (await run(ASK, json.dumps(REQUEST)))["decision"]["allowed"] is True

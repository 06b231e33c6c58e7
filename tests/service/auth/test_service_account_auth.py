"""Credentials of service accounts that are worth nothing to a thief: bound to a key, and to networks (R58, T-46)."""

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

from aizen_hub.accounts import command_handlers as carry_out
from aizen_hub.accounts.roles import assignments
from aizen_hub.accounts.service_accounts import service_accounts
from aizen_hub.accounts.service_accounts.credential_binding import Binding
from aizen_hub.accounts.sessions import locks
from aizen_hub.rbac.assignment import LockTarget
from aizen_hub.rbac.identity import Identity
from aizen_hub.service.auth import failed_auth_throttle as doubts
from aizen_hub.service.auth.service_account_auth import BURST, EVENT
from aizen_hub.service.factory import build
from aizen_hub.service.server import Server
from aizen_hub.store import tables
from aizen_hub.store.actor import Actor, Road
from aizen_hub.store.transaction import Write
from tests.fixtures.ports import free_port
from tests.service.conftest import INSTANCE, OPERATOR, Driver, Response, populate, settings_for
from tests.tokens.dpop_prover import Prover, bad_proofs

ROOT = Path(__file__).parents[3]
CURVES = ("Ed25519", "P-256")
ASK = "/api/v1/decisions"
QUESTION = {"permission": "read:training", "project": "p1"}
SCORER = Identity.service_account("scorer")


@asynccontextmanager
async def running(folder: Path, host: str, port: int) -> AsyncIterator[Driver]:
    """A service that is reached where its configuration says."""
    house = build(settings_for(folder, service={"host": host, "port": port}), instance=INSTANCE, environ={})
    server = Server(house, host, port)
    await server.start()
    driver = Driver(server)
    populate(house)
    try:
        yield driver
    finally:
        driver.close()
        await server.stop()


@pytest.fixture(params=CURVES)
def prover(request: pytest.FixtureRequest, service: Driver) -> Prover:
    """Who holds the key of a credential of ``scorer``, a reader of ``p1``."""
    return bound(service, request.param)


def bound(service: Driver, curve: str = "Ed25519", networks: Sequence[str] = ()) -> Prover:
    found = Prover(curve, "")
    found.credential = made(service, Binding.of(found.thumbprint, networks))
    return found


def made(service: Driver, binding: Binding = service_accounts.FREE) -> str:
    with service.house.store.write(OPERATOR) as tx:
        if tx.conn.execute(select(tables.service_accounts).filter_by(name="scorer")).first() is None:
            service_accounts.create(tx, "scorer")
            reads_p1(tx)
        return str(service_accounts.issue(tx, "scorer", timedelta(hours=1), binding).data["credential"])


def reads_p1(tx: Write) -> None:
    assignments.put(tx, "PROJECT_READER", "p1", SCORER, reason="test")


def address(service: Driver, path: str = ASK) -> str:
    return service.house.settings.service_url + path


def good(service: Driver, prover: Prover, method: str = "POST", path: str = ASK, **changes: Any) -> str:
    return prover.proof(method, address(service, path), int(time.time()), **changes)


async def ask(service: Driver, prover: Prover, proof: str | None = None, *, scheme: str = "DPoP") -> Response:
    headers = {} if proof is None else {"DPoP": proof}
    auth = f"{scheme} {prover.credential}"
    return await service.call("POST", ASK, QUESTION, auth=auth, headers=headers)


def send(port: int, headers: Sequence[tuple[str, str]], *, host: str = "127.0.0.1", source: str | None = None) -> Any:
    """Ask with exactly these headers, from an address of choice; returns status, code and challenge."""
    wire = http.client.HTTPConnection(host, port, timeout=15, source_address=None if source is None else (source, 0))
    try:
        body = json.dumps(QUESTION)
        wire.putrequest("POST", ASK)
        for name, value in (*headers, ("Content-Type", "application/json"), ("Content-Length", str(len(body)))):
            wire.putheader(name, value)
        wire.endheaders(body.encode())
        answer = wire.getresponse()
        return answer.status, json.loads(answer.read()).get("code"), answer.getheader("WWW-Authenticate")
    finally:
        wire.close()


def rows(service: Driver) -> list[dict[str, Any]]:
    a = tables.audit
    with service.house.store.read() as tx:
        found = tx.conn.scalars(select(a.c.body).where(a.c.event == EVENT).order_by(a.c.number))
        return [json.loads(body) for body in found]


def refusals(service: Driver) -> dict[str, int]:
    """How many credentials of service accounts were refused so far, by code."""
    found = {}
    for line in service.house.metrics.page().decode().splitlines():
        if line.startswith('aizen_refused_credentials_total{road="service-account"'):
            found[line.partition('why="')[2].partition('"')[0]] = int(float(line.rpartition(" ")[2]))
    return found


@pytest.mark.proves("R58")
async def test_it_opens_with_a_proof_and_not_without(service: Driver, prover: Prover) -> None:
    assert (await ask(service, prover, good(service, prover))).status == 200
    assert (await ask(service, prover, good(service, prover), scheme="dpop")).status == 200
    for proof, scheme in ((None, "Bearer"), (good(service, prover), "Bearer"), (None, "DPoP")):
        refused = await ask(service, prover, proof, scheme=scheme)
        assert (refused.status, refused.json["code"]) == (401, "proof-missing")
        assert prover.credential not in refused.body.decode()
        challenge = refused.headers["WWW-Authenticate"]
        assert challenge.startswith('DPoP realm="aizen", error="invalid_token", ')
        assert challenge.endswith('algs="ES256 EdDSA"')
    one, two = good(service, prover), good(service, prover)
    auth = ("Authorization", f"DPoP {prover.credential}")
    port = service.server.port
    for headers in ([auth, ("DPoP", one), ("DPoP", two)], [auth, ("DPoP", one), ("DPoP", one)], [auth, ("DPoP", "")]):
        status, code, _ = await asyncio.to_thread(send, port, headers)
        assert status == 401, headers
        assert code in ("proof-missing", "proof-malformed")
    status, code, _ = await asyncio.to_thread(send, port, [auth, auth, ("DPoP", one)])
    assert (status, code) == (401, "malformed")
    assert (await ask(service, prover, one)).status == 200, "nothing of this used it up"


@pytest.mark.proves("R58", "R37", "R38", "R39", "R41", "T-11")
async def test_no_other_proof_is_accepted_over_http(service: Driver, prover: Prover) -> None:
    assert (await ask(service, prover, good(service, prover))).status == 200
    wrong: list[Any] = []
    expected: dict[str, int] = {}
    now = int(time.time())
    for label, code, proof in bad_proofs(prover, "POST", address(service), now):
        if len(proof) > 8192 or not proof.isascii():
            continue  # those meet the limits of headers
        answer = await ask(service, prover, proof)
        found = answer.json.get("code")
        expected[found] = expected.get(found, 0) + 1
        challenge = answer.headers.get("WWW-Authenticate", "")
        error = "invalid_token" if found == "proof-wrong-key" else "invalid_dpop_proof"
        if answer.status != 401 or (code and found != code) or f'error="{error}"' not in challenge:
            wrong.append((label, code, answer.status, found, challenge))
        if prover.credential in answer.body.decode() or proof[:40] in answer.body.decode():
            wrong.append((label, "shown in the answer"))
    assert wrong == []
    assert sum(expected.values()) > 180
    assert refusals(service) == expected, "each is counted"
    assert (await ask(service, prover, good(service, prover))).status == 200, "its owner is not shut out"


@pytest.mark.proves("R58")
async def test_a_proof_is_good_once(service: Driver, prover: Prover) -> None:
    proof = good(service, prover)
    assert (await ask(service, prover, proof)).status == 200
    again = await ask(service, prover, proof)
    assert (again.status, again.json["code"]) == (401, "proof-replayed")
    proof = good(service, prover)
    answers = await asyncio.gather(*(ask(service, prover, proof) for _ in range(8)))
    assert sorted(one.status for one in answers) == [200] + 7 * [401]
    same_id = [good(service, prover, jti="one") for _ in range(2)]
    assert [(await ask(service, prover, one)).status for one in same_id] == [200, 401]


@pytest.mark.proves("R58")
async def test_a_proof_is_good_for_its_request_only(service: Driver, prover: Prover) -> None:
    me = "/api/v1/me"
    for proof in (
        good(service, prover, "GET", me),
        good(service, prover, "GET"),
        good(service, prover, "POST", me),
        prover.proof("POST", service.url + ASK, int(time.time())),  # where it was sent, and not what we are called
    ):
        refused = await ask(service, prover, proof)
        assert (refused.status, refused.json["code"]) == (401, "proof-wrong-request")
        host = await service.call(
            "POST", ASK, QUESTION, auth=f"DPoP {prover.credential}", headers={"DPoP": proof, "Host": "evil.example"}
        )
        assert host.status == 401
    auth = f"DPoP {prover.credential}"
    path = "/api/v1/assignments?scope=p1"
    proof = good(service, prover, "GET", path.partition("?")[0])
    assert (await service.call("GET", path, auth=auth, headers={"DPoP": proof})).status in (200, 403, 404)


@pytest.mark.proves("R58")
async def test_keys_and_credentials_belong_together(service: Driver, prover: Prover) -> None:
    other, free = bound(service), Prover("Ed25519", made(service))
    for credential, key, code in (
        (prover.credential, other, "proof-wrong-key"),
        (other.credential, prover, "proof-wrong-key"),
        (free.credential, prover, "not-bound"),
        ("aizen-sa-nobody", prover, "unknown"),
    ):
        key_for = Prover(key.curve, credential)
        key_for.private = key.private
        refused = await ask(service, key_for, good(service, key_for))
        assert (refused.status, refused.json["code"]) == (401, code)
        stolen = await ask(service, key_for, good(service, key))
        assert stolen.status == 401
    assert (await ask(service, free, scheme="Bearer")).status == 200
    assert (await ask(service, free, "x", scheme="Bearer")).status == 200, "beside a plain credential it says nothing"
    refused = await ask(service, free)
    assert (refused.status, refused.json["code"]) == (401, "not-bound")


@pytest.mark.proves("T-13", "T-49")
async def test_nobody_else_is_let_in_by_that_scheme(service: Driver, prover: Prover) -> None:
    eve = await service.open("eve")
    for text, method, path, body in (
        (eve.token, "POST", ASK, QUESTION),
        (eve.hub_token, "POST", ASK, QUESTION),
        (service.hub_secret, "POST", ASK, QUESTION),
        (service.hub_secret, "POST", "/api/v1/sessions/heartbeat", {"live": []}),
        (prover.credential, "POST", "/api/v1/sessions/heartbeat", {"live": []}),
    ):
        sender = Prover(prover.curve, text)
        sender.private = prover.private
        proof = good(service, sender, method, path)
        answer = await service.call(method, path, body, auth=f"DPoP {text}", headers={"DPoP": proof})
        assert (answer.status, answer.json["code"]) == (401, "unknown" if path == ASK else "wrong-road")
    proof = good(service, prover, "GET", "/services/aizen/api/v1/me")
    through = await service.call(
        "GET", "/services/aizen/api/v1/me", auth=f"DPoP {prover.credential}", headers={"DPoP": proof}
    )
    assert (through.status, through.json["code"]) == (401, "malformed")


@pytest.mark.proves("T-46", "R78")
@pytest.mark.parametrize("how", ["locked", "off", "expired", "withdrawn", "deleted"])
async def test_with_its_account_it_ends(service: Driver, how: str) -> None:
    prover = bound(service, networks=["127.0.0.0/8"])
    assert (await ask(service, prover, good(service, prover))).status == 200
    with service.house.store.write(OPERATOR) as tx:
        match how:
            case "locked":
                locks.lock(tx, LockTarget.IDENTITY, str(SCORER), reason="its credential was stolen")
            case "off":
                service_accounts.set_active(tx, "scorer", False)
            case "expired":
                tx.conn.execute(update(tables.credentials).values(expires=tx.now))
            case "withdrawn":
                (row,) = service_accounts.credentials(tx, "scorer").rows
                service_accounts.revoke(tx, "scorer", row[0])
            case _:
                service_accounts.remove(tx, "scorer")
    refused = await ask(service, prover, good(service, prover))
    assert (refused.status, refused.json["code"]) == (401, "unknown")
    assert rows(service) == [], "an ended one is nobody's"


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
async def test_a_pinned_one_opens_from_its_networks_only(
    service: Driver, networks: list[str], source: str, inside: bool
) -> None:
    headers = [("Authorization", f"Bearer {made(service, Binding.of(None, networks))}")]
    # Whatever a request says of itself does not count here: no proxy of ours stands before this address.
    for more in ([], [("X-Forwarded-For", "127.0.0.1")], [("X-Real-IP", "127.0.0.1"), ("Forwarded", "for=10.0.0.1")]):
        status, code, challenge = await asyncio.to_thread(send, service.server.port, [*headers, *more], source=source)
        assert (status, code) == ((200, None) if inside else (401, "wrong-network"))
        assert inside or challenge == 'Bearer realm="aizen"'
    assert refusals(service) == ({} if inside else {"wrong-network": 3})
    found = [(row["identity"], row["allowed"], row["reason"], row["source"]) for row in rows(service)]
    assert found == ([] if inside else 3 * [(str(SCORER), False, "wrong-network", source)])


@pytest.mark.proves("T-46", "R58")
async def test_neither_key_nor_network_replaces_the_other(service: Driver) -> None:
    prover = bound(service, networks=["127.0.0.2"])
    port, auth = service.server.port, ("Authorization", f"DPoP {prover.credential}")

    async def tried(source: str, proof: str | None) -> Any:
        headers = [auth] if proof is None else [auth, ("DPoP", proof)]
        return (await asyncio.to_thread(send, port, headers, source=source))[:2]

    assert await tried("127.0.0.2", good(service, prover)) == (200, None)
    assert await tried("127.0.0.2", None) == (401, "proof-missing")
    unused = good(service, prover)
    assert await tried("127.0.0.1", unused) == (401, "wrong-network")
    assert await tried("127.0.0.1", None) == (401, "wrong-network")
    assert await tried("127.0.0.2", unused) == (200, None), "from elsewhere nobody uses up a proof"


def _lacks_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as one:
            one.bind(("::1", 0))
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
            headers = [("Authorization", f"Bearer {made(service, Binding.of(None, networks))}")]
            status, _, _ = await asyncio.to_thread(send, service.server.port, headers, host="::1")
            assert status == (200 if inside else 401), networks


@pytest.mark.proves("T-46", "T-37", "R127")
async def test_refusals_are_recorded_and_nobody_floods_the_audit_with_them(service: Driver) -> None:
    prover, other = bound(service), bound(service)
    for _ in range(BURST + 15):
        assert (await ask(service, prover, scheme="Bearer")).status == 401
    found = rows(service)
    assert len(found) == BURST
    assert {(row["identity"], row["road"], row["reason"]) for row in found} == {
        (str(SCORER), "service-account", "proof-missing")
    }
    numbers = {row["details"]["credential"] for row in found}
    assert (await ask(service, other, scheme="Bearer")).status == 401
    (last,) = rows(service)[BURST:]
    assert last["details"]["credential"] not in numbers, "each credential has its own"
    for _ in range(5):
        assert (await service.call("GET", "/api/v1/me", auth="Bearer aizen-sa-nobody")).status == 401
    assert len(rows(service)) == BURST + 1, "of nobody known nothing is recorded"
    machines = service.house.roads._machines
    machines._rations._table[str(last["details"]["credential"] - 1)]._left = 5.0
    assert (await ask(service, prover, scheme="Bearer")).status == 401
    assert rows(service)[-1]["details"]["left_out"] == 15


async def test_a_refused_use_is_no_use(service: Driver) -> None:
    prover = bound(service, networks=["127.0.0.1"])
    assert (await ask(service, prover, scheme="Bearer")).status == 401
    assert service.house.used == set()
    assert (await ask(service, prover, good(service, prover))).status == 200
    assert service.house.used == {prover.credential}


@pytest.mark.proves("R125", "T-36")
async def test_who_fails_with_a_stolen_one_takes_nothing_from_its_owner(
    service: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even at the same place: who holds the key is known by the key, before the store is asked."""
    monkeypatch.setattr(doubts, "CROWDED_SECONDS", 3600.0)
    prover = bound(service)
    assert (await ask(service, prover, good(service, prover))).status == 200
    for _ in range(doubts.FAILURES + 5):
        assert (await ask(service, prover, scheme="Bearer")).status == 401
    go, asked, real = asyncio.Event(), [], service.house.service_account_of

    async def slow(token: str) -> Any:
        if not asked:
            asked.append(token)
            await go.wait()
        return await real(token)

    monkeypatch.setattr(service.house, "service_account_of", slow)
    flood = [asyncio.create_task(ask(service, prover, scheme="Bearer")) for _ in range(doubts.MOST_WAITING + 3)]
    await asyncio.wait(flood, timeout=30, return_when=asyncio.FIRST_COMPLETED)
    assert (await ask(service, prover, good(service, prover))).status == 200
    go.set()
    assert {one.status for one in await asyncio.gather(*flood)} == {401, 429}


class TestMaking:
    """The API; the confirmation is switched off, since these tests are about what is asked for."""

    @pytest.fixture
    def options(self) -> dict[str, Any]:
        return {"confirm_protected": False}

    async def issue(self, service: Driver, **body: Any) -> Response:
        auth = f"Bearer {service.robot}"
        await service.call("POST", "/api/v1/service-accounts", {"name": "scorer"}, auth=auth)
        return await service.call("POST", "/api/v1/service-accounts/scorer/credentials", body, auth=auth)

    @pytest.mark.proves("R58", "T-46")
    @pytest.mark.parametrize("curve", CURVES)
    async def test_a_credential_is_bound_when_it_is_made(self, service: Driver, curve: str) -> None:
        prover = Prover(curve, "")
        answer = await self.issue(service, jwk=prover.jwk, networks=["127.0.0.0/8", "2001:DB8::/32"])
        assert answer.status == 201, answer.body
        data = answer.json["data"]
        kept = ["127.0.0.0/8", "2001:db8::/32"]
        assert (data["key"], data["networks"]) == (prover.thumbprint, kept)
        prover.credential = data["credential"]
        with service.house.store.write(OPERATOR) as tx:
            reads_p1(tx)
        assert (await ask(service, prover, good(service, prover))).status == 200
        assert (await ask(service, prover, scheme="Bearer")).status == 401
        listed = await service.call(
            "GET", "/api/v1/service-accounts/scorer/credentials", auth=f"Bearer {service.robot}"
        )
        assert listed.json["rows"][0][4:] == [prover.thumbprint, ", ".join(kept)]
        a = tables.audit
        with service.house.store.read() as tx:
            body = tx.conn.scalars(select(a.c.body).where(a.c.event == "credential.issued")).all()[-1]
        details = json.loads(body)["details"]
        assert (details["key"], details["networks"]) == (prover.thumbprint, kept)

    @pytest.mark.proves("R58", "R74")
    async def test_what_is_no_public_key_or_network_is_refused(self, service: Driver) -> None:
        one, two = Prover("Ed25519", ""), Prover("P-256", "")
        for body in (
            {"jwk": one.private_jwk}, {"jwk": two.private_jwk}, {"jwk": {**one.jwk, "kid": "x"}}, {"jwk": {}},
            {"jwk": {**one.jwk, "y": two.jwk["y"]}}, {"jwk": {**two.jwk, "y": one.jwk["x"]}}, {"jwk": "x"},
            {"jwk": {"kty": "oct", "k": "x"}}, {"jwk": {**one.jwk, "x": "x"}}, {"jwk": {**one.jwk, "crv": "P-256"}},
            {"key": one.thumbprint}, {"networks": []}, {"networks": "10.0.0.0/8"}, {"networks": ["0.0.0.0/0"]},
            {"networks": ["10.0.0.1/8"]}, {"networks": [1]}, {"networks": ["10.0.0.0/8"] * 33}, {"networks": ["::/0"]},
        ):  # fmt: skip
            answer = await self.issue(service, **body)
            assert answer.status == 400, body
            for secret in (one.private_jwk["d"], two.private_jwk["d"]):
                assert secret not in answer.body.decode()
        private = await self.issue(service, jwk=one.private_jwk)
        assert "private half" in private.json["detail"]
        with service.house.store.read() as tx:
            assert tx.conn.scalar(select(func.count()).select_from(tables.credentials)) == 1, "robot's"


@pytest.mark.proves("R58", "R77")
async def test_what_waits_for_confirmation_says_what_is_bound_and_stays_so(service: Driver) -> None:
    prover = Prover("P-256", "")
    with service.house.store.write(OPERATOR) as tx:
        service_accounts.create(tx, "scorer")
    held = await service.call(
        "POST",
        "/api/v1/service-accounts/scorer/credentials",
        {"jwk": prover.jwk, "networks": ["127.0.0.1/32"]},
        auth=f"Bearer {service.robot}",
    )
    assert held.status == 202, held.body
    what = held.json["data"]["what"]
    assert prover.thumbprint in what
    assert "127.0.0.1/32" in what
    boss = Actor(Identity.user("boss"), Road.PANEL)
    with service.house.store.read() as tx:
        boss = replace(boss, fresh_until=tx.now + timedelta(minutes=5))
    with service.house.store.write(boss) as tx:
        prover.credential = carry_out.confirm(tx, held.json["data"]["pending"]).data["credential"]
    with service.house.store.write(OPERATOR) as tx:
        reads_p1(tx)
    assert (await ask(service, prover, good(service, prover))).status == 200
    assert (await ask(service, prover, scheme="Bearer")).json["code"] == "proof-missing"


async def test_the_documents_say_what_is_supported(service: Driver) -> None:
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
async def test_introspection_takes_a_bound_caller(service: Driver) -> None:
    prover = bound(service)
    with service.house.store.write(OPERATOR) as tx:
        assignments.put(tx, "AIZEN_ADMIN", "system", SCORER, reason="test")
    eve = await service.open("eve")
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    path = "/oauth/introspect"
    for headers, status in (({}, 401), ({"DPoP": good(service, prover, "POST", path)}, 200)):
        answer = await service.call(
            "POST",
            path,
            raw=f"token={eve.token}".encode(),
            headers={**form, **headers},
            auth=f"DPoP {prover.credential}",
        )
        assert answer.status == status, answer.body


class TestFlood:
    @pytest.fixture
    def options(self) -> dict[str, Any]:
        return {"rate": {"requests_per_second": 0.001, "burst": 3}}

    @pytest.mark.proves("R125", "R127")
    async def test_who_sends_too_many_good_proofs_fills_no_table(self, service: Driver) -> None:
        prover = bound(service)
        statuses = [(await ask(service, prover, good(service, prover))).status for _ in range(8)]
        assert statuses == [200] * 3 + [429] * 5
        with service.house.store.read() as tx:
            assert tx.conn.scalar(select(func.count()).select_from(tables.proofs)) == 3


@pytest.mark.proves("R58")
async def test_the_example_of_the_documents_gets_its_answer(tmp_path: Path) -> None:
    async with running(tmp_path, "127.0.0.1", free_port()) as service:
        await the_example(service, tmp_path)


async def the_example(service: Driver, tmp_path: Path) -> None:
    prover = bound(service)
    key, credential = tmp_path / "key.pem", tmp_path / "credential"
    key.write_bytes(prover.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    credential.write_text(prover.credential + "\n")
    script = ROOT / "deploy" / "service-account" / "ask.py"

    async def run(path: str, *body: str) -> Any:
        line = [sys.executable, str(script), str(key), str(credential), service.url + path, *body]
        done = await asyncio.to_thread(subprocess.run, line, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    assert (await run("/api/v1/me"))["user"] == "scorer"
    assert (await run(ASK, json.dumps(QUESTION)))["decision"]["allowed"] is True

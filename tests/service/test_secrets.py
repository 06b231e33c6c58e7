"""Known secrets are sent everywhere; then everything that was written is searched for them (R98)."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from aizen_hub.service.runtime.log_config import JsonLineFormatter
from aizen_hub.store import tables
from tests.service.conftest import Driver
from tests.tokens.dpop_prover import Prover


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLineFormatter())
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel("DEBUG")
    yield stream
    root.removeHandler(handler)
    root.setLevel(level)


@pytest.mark.proves("R98")
async def test_no_secret_is_written_anywhere(service: Driver, log: io.StringIO, tmp_path: Path) -> None:
    eve, boss = await service.open("eve"), await service.open("boss", None)
    secrets = {"role token": eve.token, "hub token": eve.hub_token, "hub secret": service.hub_secret}
    secrets["service account"] = service.robot
    secrets["wrong password"] = "canary-of-a-wrong-password"
    secrets["password"] = "canary-of-a-new-password"
    secrets["argument"] = "canary-of-an-argument"
    secrets["misplaced"] = "canary-of-a-misplaced-secret"
    prover = Prover("Ed25519", "")
    secrets["private key"] = prover.private_jwk["d"]
    await service.hub(
        "POST", "/login/password", {"provider": "local", "name": "eve", "password": secrets["wrong password"]}
    )
    created = await service.call("POST", "/api/v1/users", {"name": "newcomer"}, auth=boss.auth)
    secrets["activation"] = created.json["activation"]["token"]
    await service.call("POST", "/api/v1/activate", {"token": secrets["activation"], "password": secrets["password"]})
    await service.command(eve, f"install credentials s3 key={secrets['argument']}")
    await service.command(eve, f"instal credentials s3 key={secrets['misplaced']}")
    await service.command(eve, f"install credentials 's3 key={secrets['misplaced']}")
    await service.renew(eve)
    # Where they do not belong.
    answers = [
        await service.call("GET", "/api/v1/me", auth=f"Bearer {secrets['misplaced']}.a.b"),
        await service.call("GET", f"/api/v1/me?token={eve.token}", auth=eve.auth),
        await service.hub("POST", "/login", {"provider": "local", "subject": 1, "name": secrets["misplaced"]}),
        await service.hub(
            "POST", "/login/password", {"provider": "local", "name": "x", "password": [secrets["password"]]}
        ),
        await service.call("POST", "/api/v1/activate", {"token": "x", "pasword": secrets["password"]}),
        await service.call(
            "POST",
            "/oauth/token",
            raw=b"grant_type=" + secrets["misplaced"].encode(),
            headers={"Content-Type": "application/x-www-form-urlencoded"},
        ),
        await service.call("GET", "/api/v1/" + secrets["misplaced"]),
        await service.call(
            "GET", "/api/v1/me", auth=f"DPoP {service.robot}", headers={"DPoP": f"{secrets['misplaced']}.a.b"}
        ),
        await service.call(
            "POST",
            "/api/v1/service-accounts/robot/credentials",
            {"jwk": prover.private_jwk, "networks": [secrets["misplaced"]]},
            auth=f"Bearer {service.robot}",
        ),
    ]
    written = {f"response {index}": answer.body.decode() for index, answer in enumerate(answers)}
    written["log"] = log.getvalue()
    written["metrics"] = (await service.call("GET", "/metrics")).body.decode()
    with service.context.store.read() as tx:
        for table in tables.metadata.sorted_tables:
            rows = tx.conn.execute(select(table)).all()
            written[f"table {table.name}"] = "\n".join(
                " ".join(value.decode("latin-1") if isinstance(value, bytes) else str(value) for value in row)
                for row in rows
            )
    leaks = [(source, name) for source, text in written.items() for name, secret in secrets.items() if secret in text]
    assert not leaks
    assert "install credentials" in written["table audit"], "the search covers the audit"
    assert len(written["log"].splitlines()) > 10


@pytest.mark.proves("R99")
async def test_one_event_is_one_line(service: Driver, log: io.StringIO) -> None:
    eve = await service.open("eve")
    for text in ("list\nprojects", "x\u2028y", "a\x1b[31mred", '"}{"level":"error"'):
        await service.command(eve, text)
        await service.hub("POST", "/login", {"provider": "local", "subject": text[:3], "name": "eve", "groups": [text]})
    for line in log.getvalue().splitlines():
        entry = json.loads(line)
        assert entry["level"] in ("debug", "info", "warning", "error")
        assert line.isascii()


async def test_metrics_have_bounded_labels(service: Driver) -> None:
    for index in range(50):
        await service.call("GET", f"/api/v1/users/u{index}/nosuch{index}")
        await service.call("GET", "/api/v1/me", auth=f"Bearer x{index}")
    page = (await service.call("GET", "/metrics")).body.decode()
    assert "nosuch" not in page
    assert len(page.splitlines()) < 400
    for name in ("aizen_decisions", "aizen_request_seconds", "aizen_sessions", "aizen_sealed"):
        assert f"# TYPE {name}" in page

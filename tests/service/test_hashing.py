"""Passwords are hashed in their own thread pool, never inside a transaction (R128)."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from argon2 import PasswordHasher

from aizen_hub.accounts.credentials import passwords
from tests.service.conftest import PASSWORD, Driver


class RecordingHasher:
    """Records which thread hashes."""

    def __init__(self, inner: PasswordHasher) -> None:
        self.inner = inner
        self.threads: list[str] = []

    def hash(self, text: str) -> str:
        self.threads.append(threading.current_thread().name)
        return self.inner.hash(text)

    def verify(self, stored: str, text: str) -> bool:
        return self.inner.verify(stored, text)


@pytest.fixture
def hasher(service: Driver, monkeypatch: pytest.MonkeyPatch) -> RecordingHasher:
    recording = RecordingHasher(passwords._HASHER)
    monkeypatch.setattr(passwords, "_HASHER", recording)
    return recording


async def create(service: Driver, **body: Any) -> Any:
    return await service.call("POST", "/api/v1/users", body, auth=f"Bearer {service.robot}")  # type: ignore[attr-defined]


@pytest.mark.proves("R128")
async def test_no_transaction_waits_for_a_hash(service: Driver, hasher: RecordingHasher) -> None:
    assert (await create(service, name="nova", password=PASSWORD)).status == 201
    created = await create(service, name="lena")
    token = created.json["activation"]["token"]
    assert (await service.call("POST", "/api/v1/activate", {"token": token, "password": PASSWORD})).status == 204
    assert len(hasher.threads) == 2
    assert all(name.startswith("aizen-password") for name in hasher.threads), hasher.threads
    for name in ("nova", "lena"):
        answer = await service.hub("POST", "/login/password", {"provider": "local", "name": name, "password": PASSWORD})
        assert answer.json["outcome"] == "verified"


async def test_nothing_is_hashed_for_a_denied_request(service: Driver, hasher: RecordingHasher) -> None:
    eve = await service.open("eve")
    refused = await service.call("POST", "/api/v1/users", {"name": "nova", "password": PASSWORD}, auth=eve.auth)
    assert refused.status == 403
    answer = await service.call("POST", "/api/v1/activate", {"token": "x" * 43, "password": PASSWORD})
    assert answer.status == 401
    assert hasher.threads == []
    assert (await create(service, name="nova", password="nova " * 5)).status == 400

"""Passwords are hashed by the threads that are there for it, never while a transaction holds the others up (R128)."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from argon2 import PasswordHasher

from aizen_hub.accounts.credentials import passwords
from tests.service.conftest import PASSWORD, Driver


class Watched:
    """Notes which thread hashes."""

    def __init__(self, inner: PasswordHasher) -> None:
        self.inner = inner
        self.threads: list[str] = []

    def hash(self, text: str) -> str:
        self.threads.append(threading.current_thread().name)
        return self.inner.hash(text)

    def verify(self, stored: str, text: str) -> bool:
        return self.inner.verify(stored, text)


@pytest.fixture
def watched(service: Driver, monkeypatch: pytest.MonkeyPatch) -> Watched:
    found = Watched(passwords._HASHER)
    monkeypatch.setattr(passwords, "_HASHER", found)
    return found


async def create(service: Driver, **body: Any) -> Any:
    return await service.call("POST", "/api/v1/users", body, auth=f"Bearer {service.robot}")  # type: ignore[attr-defined]


@pytest.mark.proves("R128")
async def test_no_transaction_waits_for_a_hash(service: Driver, watched: Watched) -> None:
    assert (await create(service, name="nova", password=PASSWORD)).status == 201
    made = await create(service, name="lena")
    token = made.json["activation"]["token"]
    assert (await service.call("POST", "/api/v1/activate", {"token": token, "password": PASSWORD})).status == 204
    assert len(watched.threads) == 2
    assert all(name.startswith("aizen-password") for name in watched.threads), watched.threads
    for name in ("nova", "lena"):
        answer = await service.hub("POST", "/login/password", {"provider": "local", "name": name, "password": PASSWORD})
        assert answer.json["outcome"] == "verified"


async def test_nothing_is_hashed_for_who_may_not(service: Driver, watched: Watched) -> None:
    eve = await service.open("eve")
    refused = await service.call("POST", "/api/v1/users", {"name": "nova", "password": PASSWORD}, auth=eve.auth)
    assert refused.status == 403
    answer = await service.call("POST", "/api/v1/activate", {"token": "x" * 43, "password": PASSWORD})
    assert answer.status == 401
    assert watched.threads == []
    assert (await create(service, name="nova", password="nova " * 5)).status == 400

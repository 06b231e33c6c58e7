"""The saved login is read back as it was written, and any other value is ignored."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from aizen_hub.hub.login.auth_state import SavedLogin
from aizen_hub.hub.login.provider import AuthenticatedIdentity

IDENTITY = AuthenticatedIdentity("idp", "sub-of-alice", "alice", provider_state={"refresh": "r1", "sid": "s1"})
STORED = {
    "provider": "idp",
    "subject": "s",
    "name": "alice",
    "checked_at": 7.0,
    "provider_state": {},
    "sign_out_revision": 3,
}


class FakeUser:
    def __init__(self, state: Any) -> None:
        self._state = state

    async def get_auth_state(self) -> Any:
        return self._state


def read(state: Any) -> SavedLogin | None:
    return asyncio.run(SavedLogin.load(FakeUser(state)))


def test_it_is_read_back_as_written() -> None:
    saved = SavedLogin.from_identity(IDENTITY)
    assert read(saved.to_auth_state()) == saved
    assert (saved.provider, saved.subject, saved.name, saved.provider_state) == (
        "idp",
        "sub-of-alice",
        "alice",
        IDENTITY.provider_state,
    )
    assert "r1" not in repr(saved)


def test_entries_of_the_provider_are_beside_it() -> None:
    identity = AuthenticatedIdentity("lab", "s", "alice", auth_state={"user_attributes": {"mail": ["a@example.org"]}})
    saved = SavedLogin.from_identity(identity, 5)
    assert saved.to_auth_state()["user_attributes"] == {"mail": ["a@example.org"]}
    assert read(saved.to_auth_state()) == saved
    assert saved.sign_out_revision == 5


def test_entries_of_others_stay_when_a_credential_is_replaced() -> None:
    saved = read({"aizen": STORED, "theirs": 1})
    assert saved is not None
    assert saved.to_auth_state({"refresh": "r2"}) == {
        "aizen": {**STORED, "provider_state": {"refresh": "r2"}},
        "theirs": 1,
    }
    assert saved.to_auth_state() == {"aizen": STORED, "theirs": 1}


@pytest.mark.parametrize(
    "state",
    [
        None,
        [],
        "aizen",
        {},
        {"aizen": None},
        {"aizen": []},
        {"aizen": {}},
        *({"aizen": {key: value for key, value in STORED.items() if key != missing}} for missing in list(STORED)[:4]),
        {"aizen": {**STORED, "checked_at": "yesterday"}},
        {"aizen": {**STORED, "checked_at": None}},
        {"aizen": {**STORED, "provider_state": "text"}},
        {"aizen": {**STORED, "provider_state": 7}},
    ],
)
def test_values_of_another_form_are_ignored(state: Any) -> None:
    assert read(state) is None

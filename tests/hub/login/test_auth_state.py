"""What the hub keeps of a sign-in is read back as it was written, and everything else is nothing."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from aizen_hub.hub.login.auth_state import KeptSignIn
from aizen_hub.hub.login.provider import Proof

PROOF = Proof("idp", "sub-of-alice", "alice", keep={"refresh": "r1", "sid": "s1"})
WHOLE = {"provider": "idp", "subject": "s", "name": "alice", "checked_at": 7.0, "keep": {}}


class Somebody:
    def __init__(self, state: Any) -> None:
        self._state = state

    async def get_auth_state(self) -> Any:
        return self._state


def read(state: Any) -> KeptSignIn | None:
    return asyncio.run(KeptSignIn.of_user(Somebody(state)))


def test_it_comes_back_as_it_was_kept() -> None:
    kept = KeptSignIn.of_proof(PROOF)
    assert read(kept.state()) == kept
    assert (kept.provider, kept.subject, kept.name, kept.keep) == ("idp", "sub-of-alice", "alice", PROOF.keep)
    assert "r1" not in repr(kept)


def test_what_others_keep_stays_when_a_credential_is_replaced() -> None:
    kept = read({"aizen": WHOLE, "theirs": 1})
    assert kept is not None
    assert kept.state({"refresh": "r2"}) == {"aizen": {**WHOLE, "keep": {"refresh": "r2"}}, "theirs": 1}
    assert kept.state() == {"aizen": WHOLE, "theirs": 1}


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
        *({"aizen": {key: value for key, value in WHOLE.items() if key != left}} for left in list(WHOLE)[:4]),
        {"aizen": {**WHOLE, "checked_at": "yesterday"}},
        {"aizen": {**WHOLE, "checked_at": None}},
        {"aizen": {**WHOLE, "keep": "text"}},
        {"aizen": {**WHOLE, "keep": 7}},
    ],
)
def test_what_we_did_not_write_is_nothing(state: Any) -> None:
    assert read(state) is None

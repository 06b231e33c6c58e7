"""Names that are built from several parts stand for one thing only (R33)."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from multidict import CIMultiDict

from aizen_hub.hub.hub_groups import ADMIN_GROUP, GROUPS
from aizen_hub.rbac.identity import Identity, Kind
from aizen_hub.service.pipeline.idempotency import Key

identities = st.builds(Identity, st.sampled_from(Kind), st.text(min_size=1, max_size=20))
members = st.dictionaries(st.sampled_from(["user", "role", "project", "r"]), st.text(max_size=6), max_size=3)


@pytest.mark.proves("R33", "R30")
@given(identities, identities)
@example(Identity.user("group:a"), Identity.group("a"))
def test_an_identity_as_text_is_one_identity(one: Identity, other: Identity) -> None:
    assert Identity.parse(str(one)) == one
    assert (str(one) == str(other)) == (one == other)


def key(path: dict[str, str]) -> Key:
    call: Any = SimpleNamespace(
        headers=CIMultiDict({"Idempotency-Key": "k"}),
        route=SimpleNamespace(keyed=True, name="PUT /x"),
        members=path,
        body=None,
        identity=Identity.user("u"),
    )
    found = Key.of(call)
    assert found is not None
    return found


@pytest.mark.proves("R33")
@given(members, members)
@example({"user": "a1:r", "r": "b"}, {"user": "a", "r": "1:rb"})
def test_kept_answers_of_two_addresses_are_two(one: dict[str, str], other: dict[str, str]) -> None:
    assert (key(one) == key(other)) == (one == other)


@pytest.mark.proves("R33")
@given(st.text(), st.text())
def test_no_project_has_the_hub_group_of_the_admins_or_of_another(one: str, other: str) -> None:
    assert GROUPS + one != ADMIN_GROUP
    assert (GROUPS + one == GROUPS + other) == (one == other)

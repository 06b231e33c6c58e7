"""Identifiers built from several parts are unambiguous (R33)."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from multidict import CIMultiDict, CIMultiDictProxy

from aizen_hub.hub.hub_groups import ADMIN_GROUP, GROUP_PREFIX
from aizen_hub.rbac.identity import Identity, IdentityKind
from aizen_hub.service.http.idempotency import IdempotencyKey

identities = st.builds(Identity, st.sampled_from(IdentityKind), st.text(min_size=1, max_size=20))
members = st.dictionaries(st.sampled_from(["user", "role", "project", "r"]), st.text(max_size=6), max_size=3)


@pytest.mark.proves("R33", "R30")
@given(identities, identities)
@example(Identity.user("group:a"), Identity.group("a"))
def test_the_text_of_an_identity_is_unique(left: Identity, right: Identity) -> None:
    assert Identity.parse(str(left)) == left
    assert (str(left) == str(right)) == (left == right)


def idempotency_key(path: dict[str, str]) -> IdempotencyKey:
    route: Any = SimpleNamespace(idempotent=True, name="PUT /x")
    headers = CIMultiDictProxy(CIMultiDict({"Idempotency-Key": "k"}))
    key = IdempotencyKey.of_request(route, headers, Identity.user("u"), path, None)
    assert key is not None
    return key


@pytest.mark.proves("R33")
@given(members, members)
@example({"user": "a1:r", "r": "b"}, {"user": "a", "r": "1:rb"})
def test_idempotency_keys_differ_by_route_parameters(left: dict[str, str], right: dict[str, str]) -> None:
    assert (idempotency_key(left) == idempotency_key(right)) == (left == right)


@pytest.mark.proves("R33")
@given(st.text(), st.text())
def test_hub_group_names_are_unique(left: str, right: str) -> None:
    assert GROUP_PREFIX + left != ADMIN_GROUP
    assert (GROUP_PREFIX + left == GROUP_PREFIX + right) == (left == right)

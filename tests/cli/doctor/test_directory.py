"""``aizen-hub doctor``: the filter by which it looks for any group; the checks themselves: planted_faults.yaml."""

from __future__ import annotations

import pytest

from aizen_hub.cli.doctor import directory


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("(member={userdn})", "(member=*)"),
        ("(|(member={userdn})(memberUid={uid}))", "(|(member=*)(memberUid=*))"),
        # With a star as the value the rule of Active Directory for groups in groups matches nothing.
        ("(member:1.2.840.113556.1.4.1941:={userdn})", "(member=*)"),
        ("(&(objectClass=group)(member:dn:1.2.840.113556.1.4.1941:={userdn}))", "(&(objectClass=group)(member=*))"),
    ],
)
def test_any_member_is_looked_for_without_a_matching_rule(given: str, wanted: str) -> None:
    assert directory._match_any_member(given) == wanted

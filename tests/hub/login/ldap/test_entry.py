"""Interpretation of directory entries."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from aizen_hub.hub.login.ldap.entry import DirectoryEntry, EntryError, subject_filter

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def entry(**values: list[bytes]) -> DirectoryEntry:
    return DirectoryEntry(
        "uid=alice,dc=x", {name.replace("_", "-").lower(): tuple(value) for name, value in values.items()}
    )


@pytest.mark.parametrize(
    ("values", "state"),
    [
        ({}, None),
        ({"userAccountControl": [b"512"]}, None),
        ({"userAccountControl": [b"66048"]}, None),
        ({"userAccountControl": [b"514"]}, "disabled"),
        ({"userAccountControl": [b"66050"]}, "disabled"),
        ({"userAccountControl": [b"528"]}, "locked"),
        ({"userAccountControl": [b"x"]}, "in an unknown state"),
        ({"msDS_User_Account_Control_Computed": [b"16"]}, "locked"),
        ({"accountExpires": [b"0"]}, None),
        ({"accountExpires": [b"9223372036854775807"]}, None),
        ({"accountExpires": [b"132539328000000000"]}, "expired"),
        ({"accountExpires": [b"140000000000000000"]}, None),
        ({"accountExpires": [b"-1000000000000000000000000"]}, "in an unknown state"),
        ({"shadowExpire": [b"-1"]}, None),
        ({"shadowExpire": [b"18000"]}, "expired"),
        ({"shadowExpire": [b"20454"]}, "expired"),
        ({"shadowExpire": [b"20455"]}, None),
        ({"pwdAccountLockedTime": [b"000001010000Z"]}, "locked"),
        ({"pwdEndTime": [b"20250101000000Z"]}, "expired"),
        ({"pwdEndTime": [b"20270101000000Z"]}, None),
        ({"pwdEndTime": [b"soon"]}, "in an unknown state"),
        ({"nsAccountLock": [b"TRUE"]}, "disabled"),
        ({"nsAccountLock": [b"false"]}, None),
        ({"loginDisabled": [b"yes"]}, "disabled"),
        ({"userAccountControl": [b"512"], "accountExpires": [b"132539328000000000"]}, "expired"),
    ],
)
@pytest.mark.proves("R18")
def test_the_state_of_an_account(values: dict[str, list[bytes]], state: str | None) -> None:
    assert entry(**values).disabled_reason(NOW) == state


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([b"alice"], "alice"),
        ([b"  alice "], "alice"),
        ([b"alice", b"\xff"], "alice"),
        ([b"alice", b"Alice2"], "alice"),
        ([b"a" * 1024], "a" * 1024),
        ([], None),
        ([b"alice", b"ALICE"], None),
        ([b"bob", b"carol"], None),
        ([b"a" * 1025], None),
        ([b"al\0ice"], None),
        ([b"al\x1bice"], None),
        ([b"\xff\xfe"], None),
        ([""], None),
        (["\u202ealice".encode()], None),
        (["a\u200blice".encode()], None),
    ],
)
@pytest.mark.proves("R21", "T-20")
def test_one_value_where_one_is_expected(values: list[bytes], text: str | None) -> None:
    person = entry(uid=[value if isinstance(value, bytes) else b"" for value in values])
    if text is None:
        with pytest.raises(EntryError, match="`uid`"):
            person.single_value("uid", prefer="alice")
    else:
        assert person.single_value("uid", prefer="alice") == text


def test_the_subject_is_the_immutable_id() -> None:
    assert (
        entry(entryUUID=[b"6ba7b810-9dad-11d1-80b4-00c04fd430c8"]).subject() == "6ba7b810-9dad-11d1-80b4-00c04fd430c8"
    )
    guid = bytes(range(16))
    assert entry(objectGUID=[guid]).subject() == "03020100-0504-0706-0809-0a0b0c0d0e0f"
    assert subject_filter("objectGUID", "03020100-0504-0706-0809-0a0b0c0d0e0f") == (
        "(objectGUID=" + "".join(f"\\{byte:02x}" for byte in guid) + ")"
    )


@pytest.mark.parametrize(
    "values", [{}, {"entryUUID": [b"a", b"b"]}, {"entryUUID": [b"a\0"]}, {"mail": [b"a@example.org"]}]
)
@pytest.mark.proves("R22")
def test_an_entry_without_an_immutable_id_is_rejected(values: dict[str, list[bytes]]) -> None:
    with pytest.raises(EntryError):
        entry(**values).subject()


@pytest.mark.parametrize("subject", ["*", "a)(uid=*", "a b", "ü", "a*", "\\2a"])
@pytest.mark.proves("R12")
def test_a_subject_never_widens_a_filter(subject: str) -> None:
    for attribute in ("entryUUID", "objectGUID", "nsUniqueId", "GUID"):
        with pytest.raises(ValueError, match=r"."):
            subject_filter(attribute, subject)

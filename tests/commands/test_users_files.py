"""The two users files: the documented examples, and all faults at once with their pointers."""

from __future__ import annotations

import json

import pytest

from aizen_hub.catalogs.catalog import Catalog
from aizen_hub.commands.users_files import AlertPreferences, MemberEntry, UserEntry, read_project_file, read_users_file
from aizen_hub.problems import BadInput, TooLarge
from aizen_hub.rbac.role import Role, ScopeKind


def test_the_documented_users_file(catalog: Catalog) -> None:
    text = """[{"id": "user1", "username": "User One", "email": "user1@example.org", "phone": "+15550100",
               "alerts": {"email": true, "phone": false}, "roles": ["PROJECT_CREATOR"]}]"""
    assert read_users_file(text, catalog) == (
        UserEntry(
            id="user1",
            username="User One",
            email="user1@example.org",
            phone="+15550100",
            alerts=AlertPreferences(email=True),
            roles=("PROJECT_CREATOR",),
        ),
    )


def test_the_documented_project_file(catalog: Catalog) -> None:
    text = b'[{"id": "user1", "roles": ["PROJECT_EXECUTOR"], "alerts": ["training", "prediction"]}]'
    entry = MemberEntry(id="user1", roles=("PROJECT_EXECUTOR",), alerts=("training", "prediction"))
    assert read_project_file(text, catalog) == (entry,)


def test_no_roles_key_is_not_an_empty_one(catalog: Catalog) -> None:
    without, empty = read_users_file('[{"id": "a"}, {"id": "b", "roles": []}]', catalog)
    assert without.roles is None
    assert empty.roles == ()


@pytest.mark.parametrize(
    ("text", "preferences"),
    [("[]", AlertPreferences()), ("{}", AlertPreferences()), ('["phone"]', AlertPreferences(phone=True))],
)
def test_alerts_can_be_a_list(catalog: Catalog, text: str, preferences: AlertPreferences) -> None:
    assert read_users_file(f'[{{"id": "a", "alerts": {text}}}]', catalog)[0].alerts == preferences
    with pytest.raises(BadInput) as caught:
        read_users_file('[{"id": "a", "alerts": ["training", 7]}]', catalog)
    assert [fault.pointer for fault in caught.value.faults] == ["/0/alerts/training", "/0/alerts/7"]


@pytest.mark.proves("R74", "R76", "R104", "I9")
def test_all_faults_are_reported_at_once_with_pointers(catalog: Catalog) -> None:
    rows = [
        {"id": "a", "is_admin": True, "roles": ["AIZEN_ADMIN", "PROJECT_ADMIN", "AIZEN_ADMlN"], "email": 3},
        {"id": "a", "alerts": {"email": "yes", "fax": True}},
        "b",
        {"roles": "AIZEN_ADMIN", "phone": "call me", "email": "no address"},
        {"id": "", "roles": ["PROJECT_CREATOR", "PROJECT_CREATOR"], "a/b~c": 1},
        {"id": "fine", "roles": ["PROJECT_CREATOR"]},
    ]
    with pytest.raises(BadInput) as caught:
        read_users_file(json.dumps(rows), catalog)
    faults = {fault.pointer: fault for fault in caught.value.faults}
    assert list(faults) == [
        "/1/id",  # found while iterating over the rows, the others by their types
        *("/0/email", "/0/roles/1", "/0/roles/2", "/0/is_admin"),
        *("/1/alerts/email", "/1/alerts/fax"),
        "/2",
        *("/3/id", "/3/email", "/3/phone", "/3/roles"),
        *("/4/id", "/4/roles", "/4/a~1b~0c"),
    ]
    assert len(caught.value.faults) == len(faults)
    assert faults["/0/roles/1"].allowed == ("PROJECT_CREATOR", "AIZEN_ADMIN")
    assert faults["/1/id"].detail == "`a` is already at index 0"
    assert faults["/4/roles"].detail == "`PROJECT_CREATOR` is listed twice"
    assert caught.value.detail == "the file has 15 faults; nothing was changed"
    assert caught.value.to_json()["errors"][0].keys() >= {"pointer", "detail"}


def test_a_project_file_takes_project_roles_and_known_services(catalog: Catalog) -> None:
    rows = [
        {"id": "a", "roles": ["AIZEN_ADMIN"], "alerts": ["training", "weather"]},
        {"id": "b", "email": "b@example.org"},
    ]
    with pytest.raises(BadInput) as caught:
        read_project_file(json.dumps(rows), catalog)
    assert [fault.pointer for fault in caught.value.faults] == ["/0/roles/0", "/0/alerts/1", "/1/email"]
    assert "PROJECT_READER" in caught.value.faults[0].allowed
    assert "datasource" in caught.value.faults[1].allowed


def test_custom_roles_are_accepted_if_passed_in(catalog: Catalog) -> None:
    lead = Role("lead", scopes=frozenset({ScopeKind.PROJECT}))
    text = '[{"id": "a", "roles": ["lead"]}]'
    assert read_project_file(text, catalog, {**catalog.roles, "lead": lead})[0].roles == ("lead",)
    with pytest.raises(BadInput):
        read_project_file(text, catalog)
    with pytest.raises(BadInput):
        read_users_file(text, catalog, {**catalog.roles, "lead": lead})


@pytest.mark.parametrize("text", ["", "{}", "null", '"a"', "[", "[{}] []", '[{"id": "a", "id": "b"}]', "[NaN]"])
def test_invalid_files(catalog: Catalog, text: str) -> None:
    for read in (read_users_file, read_project_file):
        with pytest.raises(BadInput):
            read(text, catalog)


def test_an_empty_list_is_valid(catalog: Catalog) -> None:
    assert read_users_file("[]", catalog) == ()
    assert read_project_file("[]", catalog) == ()


@pytest.mark.proves("T-51")
def test_text_from_a_file_is_bounded_and_plain_in_a_fault(catalog: Catalog) -> None:
    rows = [{"id": "\x1b[31m" + "x" * 10_000}, {"id": "b", "roles": ["\u202e" + "R" * 10_000]}, {"k" * 10_000: 1}]
    with pytest.raises(BadInput) as caught:
        read_users_file(json.dumps(rows), catalog)
    for fault in caught.value.faults:
        assert len(fault.detail) < 300
        assert len(fault.pointer) <= 512
        assert fault.detail.isascii()
    with pytest.raises(TooLarge):
        read_users_file("[" + '{"id": "x"},' * 200_000 + "{}]", catalog)

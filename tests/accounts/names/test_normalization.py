"""Names: canonical form, look-alikes, reservation and release."""

# ruff: noqa: RUF001 - look-alikes are the subject of these tests
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aizen_hub.accounts.names import name_release, normalization
from aizen_hub.accounts.names.normalization import (
    NameKind,
    canonical_name,
    canonical_or_none,
    confusable_skeleton,
)
from aizen_hub.accounts.projects import lifecycle
from aizen_hub.accounts.roles import custom_roles
from aizen_hub.accounts.users import registration
from aizen_hub.problems import BadInput, Conflict, Problem
from aizen_hub.rbac.identity import Identity
from tests.accounts.harness import OPERATOR, AccountsHarness


@pytest.mark.proves("R27")
@given(st.text(max_size=80), st.sampled_from(NameKind))
def test_the_canonical_form_is_its_own_canonical_form(text: str, kind: NameKind) -> None:
    try:
        name = canonical_name(text, kind)
    except BadInput:
        return
    assert canonical_name(name, kind) == name
    assert 0 < len(name) <= normalization.MAX_CHARACTERS


@pytest.mark.proves("R27")
@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Alice", "alice"),
        ("ＡＬＩＣＥ", "alice"),
        ("STRASSE", "strasse"),
        ("Straße", "strasse"),
        ("ﬁona", "fiona"),
        ("d.o-e_1+x", "d.o-e_1+x"),
        ("用户", "用户"),
        ("नमस्ते", "नमस्ते"),
    ],
)
def test_one_spelling(text: str, name: str) -> None:
    assert canonical_name(text) == name


@pytest.mark.proves("R28", "R29")
@pytest.mark.parametrize("kind", [NameKind.USER, NameKind.PROJECT, NameKind.SERVICE_ACCOUNT, NameKind.ROLE])
@pytest.mark.parametrize(
    "text",
    [
        "",
        "admin\n",
        "admin\r",
        "\nadmin",
        "ad min",
        "admin ",
        "ad\u00a0min",
        "ad\u200bmin",
        "ad\u200dmin",
        "\u202eadmin",
        "admin\u2066",
        "ad\0min",
        "adm\ue000in",
        "\ud800",
        "аdmin",  # Cyrillic a
        "αdmin",  # Greek alpha
        "../admin",
        "..",
        ".",
        "a/b",
        "a\\b",
        "a%2fb",
        "a?b",
        "a#b",
        "user:x"[4:],
        "*",
        "-a",
        ".a",
        "a.",
        "a,b",
        'a"b',
        "a'b",
        "a;b",
        "a`b",
        "$(a)",
        "a\u0301\u0301\u0301" * 30,
        "x" * 65,
        "用" * 50,
    ],
    ids=ascii,
)
def test_hostile_spellings_are_refused(text: str, kind: NameKind) -> None:
    with pytest.raises(BadInput):
        canonical_name(text, kind)
    assert canonical_or_none(text, kind) is None


@pytest.mark.parametrize(
    ("kind", "text"), [(NameKind.PROJECT, "system"), (NameKind.PROJECT, "ＳＹＳＴＥＭ"), (NameKind.USER, "me")]
)
def test_reserved_words_are_not_names(kind: NameKind, text: str) -> None:
    with pytest.raises(BadInput, match="is reserved"):
        canonical_name(text, kind)


@pytest.mark.proves("R29")
@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (NameKind.PROJECT, "systern"),
        (NameKind.USER, "systern"),
        (NameKind.SERVICE_ACCOUNT, "соге"),  # all Cyrillic
        (NameKind.USER, "n0ne"),
        (NameKind.USER, "rne"),
        (NameKind.PROJECT, "a1l"),
        (NameKind.GROUP, "a11"),
        (NameKind.GROUP, "a1l"),
        (NameKind.SERVICE_ACCOUNT, "0perat0r"),
        (NameKind.ROLE, "aIl"),
        (NameKind.ROLE, "SYSTERN"),
    ],
    ids=ascii,
)
def test_look_alikes_of_reserved_words_are_not_names(kind: NameKind, text: str) -> None:
    with pytest.raises(BadInput, match="reserved"):
        canonical_name(text, kind)


@pytest.mark.parametrize("text", ["systems", "meg", "allan", "newton", "nonesuch", "rnega"])
def test_names_that_only_contain_a_reserved_word_are_names(text: str) -> None:
    assert canonical_name(text) == text


@pytest.mark.parametrize("text", ["Domain Users", "/projects/admin", "ops@example.org", "team (eu)"])
def test_a_directory_group_keeps_its_whole_name(text: str) -> None:
    assert canonical_name(text, NameKind.GROUP) == text.casefold()


@pytest.mark.proves("T-15", "R29")
@pytest.mark.parametrize(
    "text", ["Admin", "ADMIN", "ａｄｍｉｎ", "adrnin", "аdmin", "ad\u200bmin", "admin\n", "αdmin", "admіn"]
)
def test_no_look_alike_of_the_admin_is_registered(harness: AccountsHarness, text: str) -> None:
    before = harness.state()
    with pytest.raises((Conflict, BadInput)):
        harness.execute(OPERATOR, registration.create_user, text, provider="ldap")
    assert harness.state() == before


@pytest.mark.proves("R27")
def test_a_whole_name_in_another_script_that_looks_the_same_is_refused(harness: AccountsHarness) -> None:
    harness.register_users("scope")
    with pytest.raises(Conflict, match="looks like"):
        harness.execute(OPERATOR, registration.create_user, "ѕсоре", provider="ldap")  # all Cyrillic


@pytest.mark.proves("T-53")
@pytest.mark.parametrize(
    "text", ["AIZEN_ADMIN", "aizen_admin", "Aizen_Admin", "АIZEN_ADMIN", "AIZEN_ADMlN", "A1ZEN_ADMIN", "AIZEN_ADMIN "]
)
def test_no_custom_role_looks_like_a_built_in_one(harness: AccountsHarness, text: str) -> None:
    with pytest.raises((Conflict, BadInput)):
        harness.execute("admin", custom_roles.create_role, text, permissions=["read"])


@pytest.mark.proves("T-53")
@pytest.mark.parametrize("text", ["p1", "P1", "ｐ1", "pl", "рl"])
def test_no_project_looks_like_another(harness: AccountsHarness, text: str) -> None:
    with pytest.raises((Conflict, BadInput)):
        harness.execute("carl", lifecycle.create_project, text)


@pytest.mark.proves("R30")
def test_the_name_spaces_are_separate(harness: AccountsHarness) -> None:
    from aizen_hub.accounts.groups import management
    from aizen_hub.accounts.service_accounts import accounts

    harness.execute("admin", management.create_group, "rita")
    harness.execute("admin", accounts.create_service_account, "rita")
    harness.execute("carl", lifecycle.create_project, "rita")
    assert harness.roles_of(Identity.group("rita"), "p1") == set()
    assert harness.roles_of(Identity.user("rita"), "p1") == {"PROJECT_READER"}


@pytest.mark.proves("R31")
def test_a_deleted_name_stays_reserved_until_it_is_released(harness: AccountsHarness) -> None:
    harness.run_command("admin", "delete user emma")
    with pytest.raises(Conflict, match="stays reserved"):
        harness.execute(OPERATOR, registration.create_user, "emma", provider="ldap")
    with pytest.raises(Conflict, match="looks like"):
        harness.execute(OPERATOR, registration.create_user, "ernrna", provider="ldap")
    harness.execute("admin", name_release.release_name, NameKind.USER, "emma")
    harness.register_users("emma")
    assert harness.roles_of("emma", "p1") == set()


def test_a_name_in_use_is_not_released(harness: AccountsHarness) -> None:
    with pytest.raises(Problem, match="not the name of a deleted"):
        harness.execute("admin", name_release.release_name, NameKind.USER, "emma")


@pytest.mark.proves("R31")
def test_a_name_with_something_left_is_not_released(harness: AccountsHarness) -> None:
    from aizen_hub.jobs import quota

    emma = Identity.user("emma")
    harness.execute(
        OPERATOR, quota.start_job, decision_id="d", identity=emma, project="p1", session=None, command="c", key="k"
    )
    harness.run_command("admin", "delete user emma")
    with pytest.raises(Conflict, match="running jobs"):
        harness.execute("admin", name_release.release_name, NameKind.USER, "emma")


@pytest.mark.proves("R29")
@given(st.text(alphabet="abcdefghijklmnopqrstuvwxyz0123456789._-", min_size=1, max_size=20))
def test_the_skeleton_of_a_skeleton_is_itself(name: str) -> None:
    assert confusable_skeleton(confusable_skeleton(name)) == confusable_skeleton(name)

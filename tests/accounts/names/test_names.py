"""Names: one spelling, no look-alikes, nothing inherited."""

# ruff: noqa: RUF001 - look-alikes are the subject of these tests
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aizen_hub.accounts.names import name_release as releases
from aizen_hub.accounts.names import names
from aizen_hub.accounts.names.names import NameKind, canonical, known_as, short_name, skeleton
from aizen_hub.accounts.projects import projects
from aizen_hub.accounts.roles import roles
from aizen_hub.accounts.users import users
from aizen_hub.problems import BadInput, Conflict, Problem
from aizen_hub.rbac.identity import Identity
from tests.accounts.harness import OPERATOR, House


@pytest.mark.proves("R27")
@given(st.text(max_size=80), st.sampled_from(NameKind))
def test_the_canonical_form_is_its_own_canonical_form(text: str, kind: NameKind) -> None:
    try:
        name = canonical(text, kind)
    except BadInput:
        return
    assert canonical(name, kind) == name
    assert 0 < len(name) <= names.MAX_CHARACTERS


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
    assert canonical(text) == name


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
        canonical(text, kind)
    assert known_as(text, kind) is None


@pytest.mark.parametrize(
    ("kind", "text"), [(NameKind.PROJECT, "system"), (NameKind.PROJECT, "ＳＹＳＴＥＭ"), (NameKind.USER, "me")]
)
def test_words_of_the_system_are_no_names(kind: NameKind, text: str) -> None:
    with pytest.raises(BadInput, match="word of the system"):
        canonical(text, kind)


@pytest.mark.parametrize("text", ["Domain Users", "/projects/admin", "ops@example.org", "team (eu)"])
def test_a_directory_group_keeps_its_whole_name(text: str) -> None:
    assert canonical(text, NameKind.GROUP) == text.casefold()


@pytest.mark.proves("T-15", "R29")
@pytest.mark.parametrize(
    "text", ["Admin", "ADMIN", "ａｄｍｉｎ", "adrnin", "аdmin", "ad\u200bmin", "admin\n", "αdmin", "admіn"]
)
def test_nobody_is_registered_beside_the_admin_under_another_spelling(house: House, text: str) -> None:
    before = house.state()
    with pytest.raises((Conflict, BadInput)):
        house.do(OPERATOR, users.create, text, provider="ldap")
    assert house.state() == before


@pytest.mark.proves("R27")
def test_a_whole_name_in_another_script_that_looks_the_same_is_refused(house: House) -> None:
    house.people("scope")
    with pytest.raises(Conflict, match="looks like"):
        house.do(OPERATOR, users.create, "ѕсоре", provider="ldap")  # all Cyrillic


@pytest.mark.proves("T-53")
@pytest.mark.parametrize(
    "text", ["AIZEN_ADMIN", "aizen_admin", "Aizen_Admin", "АIZEN_ADMIN", "AIZEN_ADMlN", "A1ZEN_ADMIN", "AIZEN_ADMIN "]
)
def test_no_custom_role_looks_like_a_built_in_one(house: House, text: str) -> None:
    with pytest.raises((Conflict, BadInput)):
        house.do("admin", roles.create, text, permissions=["read"])


@pytest.mark.proves("T-53")
@pytest.mark.parametrize("text", ["p1", "P1", "ｐ1", "pl", "рl"])
def test_no_project_looks_like_another(house: House, text: str) -> None:
    with pytest.raises((Conflict, BadInput)):
        house.do("carl", projects.create, text)


@pytest.mark.proves("R30")
def test_the_name_spaces_are_separate(house: House) -> None:
    from aizen_hub.accounts.groups import groups
    from aizen_hub.accounts.service_accounts import service_accounts

    house.do("admin", groups.create, "rita")
    house.do("admin", service_accounts.create, "rita")
    house.do("carl", projects.create, "rita")
    assert house.roles_of(Identity.group("rita"), "p1") == set()
    assert house.roles_of(Identity.user("rita"), "p1") == {"PROJECT_READER"}


@pytest.mark.proves("R31")
def test_a_deleted_name_stays_reserved_until_it_is_released(house: House) -> None:
    house.run("admin", "delete user emma")
    with pytest.raises(Conflict, match="stays reserved"):
        house.do(OPERATOR, users.create, "emma", provider="ldap")
    with pytest.raises(Conflict, match="looks like"):
        house.do(OPERATOR, users.create, "ernrna", provider="ldap")
    house.do("admin", releases.release, NameKind.USER, "emma")
    house.people("emma")
    assert house.roles_of("emma", "p1") == set()


def test_a_name_in_use_is_not_released(house: House) -> None:
    with pytest.raises(Problem, match="not the name of a deleted"):
        house.do("admin", releases.release, NameKind.USER, "emma")


@pytest.mark.proves("R31")
def test_a_name_with_something_left_is_not_released(house: House) -> None:
    from aizen_hub.jobs import quota as jobs

    emma = Identity.user("emma")
    house.do(OPERATOR, jobs.start, decision_id="d", identity=emma, project="p1", session=None, command="c", key="k")
    house.run("admin", "delete user emma")
    with pytest.raises(Conflict, match="running jobs"):
        house.do("admin", releases.release, NameKind.USER, "emma")


@pytest.mark.parametrize(
    ("external", "local"), [("ann@example.org", "ann"), ("ann", "ann"), ("@x", "@x"), ("ann@", "ann@"), ("a@b@c", "a")]
)
def test_the_short_name_of_a_mail_address_is_its_local_part(external: str, local: str) -> None:
    assert short_name(external) == local


@pytest.mark.proves("R29")
@given(st.text(alphabet="abcdefghijklmnopqrstuvwxyz0123456789._-", min_size=1, max_size=20))
def test_the_skeleton_of_a_skeleton_is_itself(name: str) -> None:
    assert skeleton(skeleton(name)) == skeleton(name)

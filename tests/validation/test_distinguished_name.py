"""Distinguished names: equality independent of notation, and escaping of values."""

from __future__ import annotations

from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aizen_hub.validation.distinguished_name import Dn, DnError, escape_filter, escape_value, leaf_rdn_value

BASE = "cn=team,ou=groups,dc=lab,dc=test"
VALUES = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


@pytest.mark.parametrize(
    "text",
    [
        "CN=team,OU=groups,DC=lab,DC=test",
        "cn=TEAM,ou=Groups,dc=LAB,dc=test",
        "cn = team , ou = groups , dc = lab , dc = test",
        "cn=\\74eam,ou=groups,dc=lab,dc=test",
        "2.5.4.3=team,2.5.4.11=groups,0.9.2342.19200300.100.1.25=lab,dc=test",
        "OID.2.5.4.3=team,commonName=x",
        "commonName=team,organizationalUnitName=groups,domainComponent=lab,dc=test",
        "cn=team;ou=groups;dc=lab;dc=test",
    ],
)
@pytest.mark.proves("R19", "T-20")
def test_equal_names(text: str) -> None:
    same = "commonName=x" not in text
    assert (Dn.parse(text) == Dn.parse(BASE)) is same


@pytest.mark.parametrize(
    "text",
    [
        "cn=team\\,ou=groups,dc=lab,dc=test",
        "cn=team,ou=groups,dc=lab",
        "cn=team,ou=groups,dc=lab,dc=test,dc=more",
        "cn=teams,ou=groups,dc=lab,dc=test",
        "cn=tea,ou=groups,dc=lab,dc=test",
        "cn=x+cn=team,ou=groups,dc=lab,dc=test",
        "ou=team,ou=groups,dc=lab,dc=test",
        "cn=#7465616d,ou=groups,dc=lab,dc=test",
        "",
    ],
)
@pytest.mark.proves("R19")
def test_different_names(text: str) -> None:
    assert Dn.parse(text) != Dn.parse(BASE)


def test_the_order_inside_one_component_means_nothing() -> None:
    assert Dn.parse("cn=a+uid=b,dc=x") == Dn.parse("uid=B+cn=A,dc=x")
    assert Dn.parse("cn=a,uid=b,dc=x") != Dn.parse("uid=b,cn=a,dc=x")


def test_escaped_blanks_are_preserved() -> None:
    assert leaf_rdn_value("cn=a\\ ,dc=x") == "a "
    assert leaf_rdn_value("cn=\\ a  ,dc=x") == " a"


@pytest.mark.parametrize("bad", ["cn", "cn=a,", "=a", "cn=a,b", 'cn="a"', "cn=a<b", "cn=a\\", "cn=a\\zz", "cn=#1",
                                 "c n=a", "cn=#41 x", "cn=\\ff", "a" * 5000, "cn=a\0b", ",", "cn=a,,dc=x"])  # fmt: skip
def test_malformed(bad: str) -> None:
    with pytest.raises(DnError):
        Dn.parse(bad)


def test_is_within_compares_components() -> None:
    base = Dn.parse("ou=groups,dc=lab,dc=test")
    assert Dn.parse(BASE).is_within(base)
    assert not Dn.parse("cn=team,ou=more groups,dc=lab,dc=test").is_within(base)
    assert not Dn.parse("cn=x\\,ou=groups,dc=lab,dc=test").is_within(base)
    assert not Dn.parse("dc=lab,dc=test").is_within(base)


@given(VALUES)
@pytest.mark.proves("R12")
def test_any_text_becomes_one_value_of_one_component(text: str) -> None:
    dn = f"uid={escape_value(text)},{BASE}"
    parsed = Dn.parse(dn)
    assert parsed.parts[1:] == Dn.parse(BASE).parts
    assert len(parsed.parts[0]) == 1
    assert leaf_rdn_value(dn) == text


@given(VALUES)
@pytest.mark.proves("R12")
def test_any_text_in_a_filter_is_plain(text: str) -> None:
    escaped = escape_filter(text)
    assert not set(escaped) & set("()*\0")
    back = escaped.encode()
    for code in (b"5c", b"2a", b"28", b"29", b"00"):
        if code != b"5c":
            back = back.replace(b"\\" + code, bytes.fromhex(code.decode()))
    assert back.replace(b"\\5c", b"\\") == text.encode() or "\\" in text


@pytest.mark.parametrize("value", [b"alice", 1, None, ["a"]])
@pytest.mark.proves("R12")
def test_only_text_is_escaped(value: Any) -> None:
    for escape in (escape_value, escape_filter):
        with pytest.raises(TypeError):
            escape(cast(str, value))


@given(VALUES, VALUES)
def test_values_are_compared_without_case_and_repeated_blanks(left: str, right: str) -> None:
    from unicodedata import normalize

    def fold(text: str) -> list[str]:
        return [part for part in normalize("NFKC", normalize("NFKC", text).casefold()).split(" ") if part]

    equal = Dn.parse(f"cn={escape_value(left)}") == Dn.parse(f"cn={escape_value(right)}")
    assert equal == (fold(left) == fold(right))


@given(st.lists(st.lists(st.tuples(st.sampled_from(["cn", "OU", "2.5.4.3", "dc"]), VALUES), min_size=1, max_size=2)))
@pytest.mark.proves("R19")
def test_equal_names_have_one_canonical_text(parts: list[list[tuple[str, str]]]) -> None:
    written = ",".join("+".join(f"{kind}={escape_value(value)}" for kind, value in part) for part in parts)
    other = " , ".join("+".join(f" {kind.upper()} = {escape_value(v)}" for kind, v in part[::-1]) for part in parts)
    name = Dn.parse(written)
    assert Dn.parse(name.text) == name
    assert Dn.parse(name.text).text == name.text == Dn.parse(other).text

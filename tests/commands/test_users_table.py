"""Tables of people: CSV as spreadsheets write it, users files in JSON, and what is refused."""

from __future__ import annotations

import json

import pytest

from aizen_hub.commands.users_table import MAX_ROWS, read_users_table, to_users_file
from aizen_hub.problems import BadInput


@pytest.mark.parametrize(
    "text",
    [
        "login,name,mail,roles\nrita,Rita Sandoval,rita@acme.example,PROJECT_CREATOR AIZEN_ADMIN\n",
        "Login;Name;E-Mail;Roles\r\nrita;Rita Sandoval;rita@acme.example;PROJECT_CREATOR AIZEN_ADMIN\r\n",
        "\ufeffuid\tcn\tmail\trole\nrita\tRita Sandoval\trita@acme.example\tPROJECT_CREATOR;AIZEN_ADMIN",
        '"login","name","email","roles"\n"rita","Rita Sandoval","rita@acme.example","PROJECT_CREATOR;AIZEN_ADMIN"',
        json.dumps(
            [
                {
                    "id": "rita",
                    "username": "Rita Sandoval",
                    "email": "rita@acme.example",
                    "roles": ["PROJECT_CREATOR", "AIZEN_ADMIN"],
                }
            ]
        ),
    ],
    ids=["commas", "semicolons", "tabs", "quotes", "json"],
)
def test_the_same_person_from_each_kind_of_table(text: str) -> None:
    (row,) = read_users_table(text)
    assert row.entry == {
        "id": "rita",
        "username": "Rita Sandoval",
        "email": "rita@acme.example",
        "roles": ["PROJECT_CREATOR", "AIZEN_ADMIN"],
    }
    assert json.loads(to_users_file([row])) == [row.entry]


def test_rows_know_their_line_and_empty_lines_and_fields_are_left_out() -> None:
    rows = read_users_table('login,name,mail\n\nrita,"Rita\nSandoval",\npaul,,paul@acme.example\n')
    assert [(row.line, row.name, dict(row.entry)) for row in rows] == [
        (3, "rita", {"id": "rita", "username": "Rita\nSandoval"}),
        (5, "paul", {"id": "paul", "email": "paul@acme.example"}),
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "empty"),
        (" \n", "empty"),
        ("login,name\n", "no people"),
        ("[]", "no people"),
        ("name,mail\nRita,r@acme.example\n", "no column holds the logins"),
        ("login,shoe size\nrita,38\n", "`shoe size` is unknown"),
        ("login,user\nrita,rita\n", "two columns hold the same"),
        ("login,name\nrita,Rita,more\n", "line 2 has 3 fields"),
        ('login\n"rita\n', "cannot be read"),
        ('["rita"]', "entry 1 is not an object"),
        ("[1", "JSON"),
        ("login\n" + "\n".join(f"u{number}" for number in range(MAX_ROWS + 1)), f"{MAX_ROWS + 1} people"),
    ],
)
def test_what_is_refused_says_why(text: str, expected: str) -> None:
    with pytest.raises(BadInput) as caught:
        read_users_table(text)
    assert expected in caught.value.detail

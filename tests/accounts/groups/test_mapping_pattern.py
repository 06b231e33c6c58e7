"""Patterns of mapping rules for group names: exact names, and templates that contain the project."""

from __future__ import annotations

import pytest

from aizen_hub.accounts.groups.mapping_pattern import GroupPattern
from aizen_hub.accounts.names import normalization
from aizen_hub.problems import BadInput


class TestPattern:
    @pytest.mark.parametrize(
        ("group", "project"),
        [
            ("aizen-p1-executors", "p1"),
            ("aizen-a-b-executors", "a-b"),
            ("aizen--executors", None),
            ("aizen-executors", None),
            ("aizen-p1-executor", None),
            ("xaizen-p1-executors", None),
            ("aizen-P1-executors", None),
            ("aizen-p 1-executors", None),
            ("aizen-system-executors", None),
            ("aizen-/p1-executors", None),
        ],
    )
    def test_a_template_names_the_project(self, group: str, project: str | None) -> None:
        assert GroupPattern.parse("Aizen-{project}-Executors").extract_project(group) == project

    @pytest.mark.parametrize(
        "text",
        ["{project}", "-{project}-", "a-{project}-{project}", "a-{name}", "a-{", "a-}{project}", "{project", "", "a\n"],
    )
    def test_what_is_no_pattern(self, text: str) -> None:
        with pytest.raises(BadInput):
            GroupPattern.parse(text)

    @pytest.mark.proves("R19", "T-20")
    @pytest.mark.parametrize(
        ("group", "project"),
        [
            ("cn=aizen-p1-executors,ou=groups,dc=example,dc=org", "p1"),
            ("CN=AIZEN-P1-Executors , OU=Groups, DC=Example,DC=org", "p1"),
            ("2.5.4.3=aizen-p1-executors;ou=groups;dc=example;dc=org", "p1"),
            ("cn=aizen-\\70\\31-executors,ou=groups,dc=example,dc=org", "p1"),
            ("cn=aizen-a\\+b-executors,ou=groups,dc=example,dc=org", "a+b"),
            ("cn=aizen-a+cn=b-executors,ou=groups,dc=example,dc=org", None),
            ("cn=aizen-p1-executors,ou=mine,ou=groups,dc=example,dc=org", None),
            ("cn=aizen-p1-executors\\,ou=groups,dc=example,dc=org", None),
            ("cn=aizen-p1\\,ou\\=x-executors,ou=groups,dc=example,dc=org", None),
            ("cn=aizen-p1-executors,ou=groups,dc=example,dc=org,dc=evil", None),
            ("cn=aizen-p1-executors", None),
            ("aizen-p1-executors", None),
        ],
    )
    def test_a_template_inside_a_distinguished_name(self, group: str, project: str | None) -> None:
        pattern = GroupPattern.parse("CN=aizen-{project}-executors, OU=groups,DC=example,DC=org")
        assert GroupPattern.parse(pattern.text) == pattern
        name = normalization.canonical_or_none(group, normalization.NameKind.GROUP)
        assert (None if name is None else pattern.extract_project(name)) == project

    @pytest.mark.parametrize(
        "text",
        [
            "cn={project}",
            "{project}=a,dc=x",
            "cn={project}+uid=a,dc=x",
            "cn=zq0z\\71,ou={project}",
            "cn={project},ou={project}",
            "cn={project},ou=",
            "cn=a{project},=b",
        ],
    )
    def test_what_is_no_template_of_a_distinguished_name(self, text: str) -> None:
        with pytest.raises(BadInput):
            GroupPattern.parse(text)

    @pytest.mark.parametrize(
        ("group", "project"),
        [
            ("/projects/churn", "churn"),
            ("/Projects/Churn", "churn"),
            ("/projects/churn/admins", None),
            ("/projects", None),
            ("/projects/", None),
            ("/x/projects/churn", None),
            ("projects/churn", None),
            ("churn", None),
        ],
    )
    def test_a_whole_path_is_the_name(self, group: str, project: str | None) -> None:
        pattern = GroupPattern.parse("/projects/{project}")
        name = normalization.canonical_or_none(group, normalization.NameKind.GROUP)
        assert (None if name is None else pattern.extract_project(name)) == project

    def test_an_exact_name_is_one_name(self) -> None:
        pattern = GroupPattern.parse("/Projects/Ops")
        assert pattern.matches("/projects/ops")
        assert not pattern.matches("/projects/ops2")

"""Namespaces of projects: valid, distinct, and never one that exists for something else."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aizen_hub.hub.spawn.project_namespace import check_template, namespace_of

TEMPLATE = "aizen-{project}"
LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


@pytest.mark.parametrize("template", ["aizen-{project}", "a-{project}", "team-1-{project}"])
def test_a_template_is_a_beginning_and_the_project(template: str) -> None:
    check_template(template)


@pytest.mark.parametrize(
    "template", ["{project}", "aizen", "aizen{project}", "-{project}", "Aizen-{project}", "{user}-{project}", "a" * 99]
)
def test_a_template_by_which_a_project_could_choose_a_namespace_is_refused(template: str) -> None:
    with pytest.raises(ValueError, match="such as `aizen-"):
        check_template(template)


def test_a_plain_name_stays_readable() -> None:
    assert namespace_of(TEMPLATE, "churn") == "aizen-churn"


@given(st.lists(st.text(min_size=1, max_size=256), min_size=2, max_size=4, unique=True))
def test_every_project_has_a_valid_namespace_of_its_own(projects: list[str]) -> None:
    names = [namespace_of(TEMPLATE, project) for project in projects]
    assert all(LABEL.fullmatch(name) for name in names), names
    assert len(set(names)) == len(projects)


def test_names_that_differ_in_case_or_at_their_end_are_distinct() -> None:
    pairs = [("churn", "Churn"), ("a" * 200 + "b", "a" * 200 + "c"), ("a-b", "a--b"), ("a_b", "a.b")]
    for left, right in pairs:
        assert namespace_of(TEMPLATE, left) != namespace_of(TEMPLATE, right)

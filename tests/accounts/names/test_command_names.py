"""Names in commands are canonical before the decision."""

from __future__ import annotations

import pytest

from aizen_hub.accounts.names.command_names import canonicalize_names
from aizen_hub.catalogs.loader import load_catalog
from aizen_hub.commands.authorization_request import build_authorization_request
from aizen_hub.commands.parser import parse_command
from aizen_hub.rbac.identity import Identity

CATALOG = load_catalog("aizen")


@pytest.mark.proves("R27")
@pytest.mark.parametrize(
    ("text", "canonical", "project"),
    [
        ("show project Churn", "show project churn", "churn"),
        ("alter project CHURN,config=F.json", "alter project churn,config=F.json", "churn"),
        ("grant role PROJECT_READER to ALICE", "grant role PROJECT_READER to alice", None),
        ("delete users Bob,ALICE", "delete users bob,alice", None),
        ("start training Churn", "start training Churn", None),
        ("list projects", "list projects", None),
    ],
)
def test_names_of_a_command_are_canonicalized(text: str, canonical: str, project: str | None) -> None:
    command = canonicalize_names(parse_command(text, CATALOG))
    assert (command.canonical, command.project) == (canonical, project)
    assert canonicalize_names(command) == command


@pytest.mark.proves("R27")
def test_own_roles_are_listed_in_any_spelling() -> None:
    actor = Identity.user("alice")
    assert (
        build_authorization_request(
            canonicalize_names(parse_command("list roles for ALICE", CATALOG)), None, actor
        ).permission
        is None
    )
    assert (
        build_authorization_request(
            canonicalize_names(parse_command("list roles for bob", CATALOG)), None, actor
        ).permission
        is not None
    )

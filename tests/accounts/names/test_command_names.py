"""The names in a command get their one spelling before the decision."""

from __future__ import annotations

import pytest

from aizen_hub.accounts.names.command_names import settle
from aizen_hub.catalogs.loader import load_catalog
from aizen_hub.commands.authorization_request import request_for
from aizen_hub.commands.parser import read
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
def test_settled(text: str, canonical: str, project: str | None) -> None:
    command = settle(read(text, CATALOG))
    assert (command.canonical, command.project) == (canonical, project)
    assert settle(command) == command


@pytest.mark.proves("R27")
def test_one_s_own_roles_are_open_in_any_spelling() -> None:
    asker = Identity.user("alice")
    assert request_for(settle(read("list roles for ALICE", CATALOG)), None, asker).permission is None
    assert request_for(settle(read("list roles for bob", CATALOG)), None, asker).permission is not None

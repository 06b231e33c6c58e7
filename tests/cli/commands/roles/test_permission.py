"""Permissions, custom roles and assignments on the command line, against a service of each catalog."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from aizen_hub.accounts.users import registration
from aizen_hub.cli import connection
from aizen_hub.cli.main import cli
from aizen_hub.client.sync_client import SyncClient
from aizen_hub.problems import BadInput, Conflict, Problem
from aizen_hub.rbac.identity import Identity
from aizen_hub.service.factory import SERVICE_ACTOR, build_context
from aizen_hub.service.server import Server
from tests.cli.conftest import RecordingServer
from tests.service.conftest import INSTANCE, Driver, hashed, settings_for

Run = Callable[..., Awaitable[Result]]
CATALOGS = ("aizen", "aihub", "xat", "zenml")


@pytest.fixture
def catalog() -> str:
    return "xat"


@pytest.fixture
async def run(catalog: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Run]:
    """Run a command as the admin of a service with the catalog."""
    settings = settings_for(tmp_path, catalog=catalog, admin_user="local:root")
    context = build_context(settings, instance=INSTANCE, environ={})
    server = Server(context, "127.0.0.1", 0)
    await server.start()
    driver = Driver(server)
    with context.store.write(SERVICE_ACTOR) as tx:
        registration.create_user(tx, "boss", password=hashed(), roles=[context.catalog.admin_role or ""])
        registration.create_user(tx, "ann", password=hashed())
    boss = await driver.open("boss", None)
    client = SyncClient(driver.url, boss.auth)
    monkeypatch.setattr(connection, "create_client", lambda url, token_file, **_: client)

    async def call(*arguments: str) -> Result:
        return await asyncio.to_thread(CliRunner().invoke, cli, list(arguments), standalone_mode=False)

    call.driver = driver  # type: ignore[attr-defined]
    try:
        yield call
    finally:
        driver.close()
        await server.stop()


def table_of(result: Result) -> list[dict[str, Any]]:
    assert result.return_value == 0, result.exception
    records: list[dict[str, Any]] = json.loads(result.stdout)
    return records


def problem_of(result: Result) -> Problem:
    assert isinstance(result.exception, Problem), result.output
    return result.exception


@pytest.mark.parametrize("catalog", CATALOGS)
async def test_permissions_are_listed_in_every_catalog(run: Run, catalog: str) -> None:
    named = table_of(await run("permission", "list", "-o", "json"))
    assert named
    assert {row["origin"] for row in named} == {"built in"}
    assert all(row["roles"] and row["description"] for row in named), named
    every = table_of(await run("permission", "list", "--all", "-o", "json"))
    assert {row["permission"] for row in every} > {row["permission"] for row in named}


@pytest.mark.parametrize("catalog", ["zenml"])
async def test_zenml_has_three_permissions(run: Run) -> None:
    rows = table_of(await run("permission", "list", "-o", "json"))
    assert {row["permission"]: set(row["roles"]) for row in rows} == {
        "read": {"admin", "guest"},
        "write": {"admin"},
        "me": {"admin", "guest"},
    }


@pytest.mark.parametrize(("text", "nearest"), [("fly", None), ("raed", "read"), ("read:projct", "read:project`")])
@pytest.mark.parametrize("catalog", CATALOGS)
async def test_an_unknown_permission_is_refused_with_the_nearest(run: Run, text: str, nearest: str | None) -> None:
    problem = problem_of(await run("role", "create", "PILOT", "-p", text))
    assert isinstance(problem, BadInput)
    (fault,) = problem.faults
    assert f"there is no permission `{text}`: the nearest is `{nearest or ''}" in fault.detail.casefold()


@pytest.mark.parametrize("catalog", CATALOGS)
async def test_roles_are_assigned_and_assignments_listed(run: Run) -> None:
    created = await run("role", "create", "HELPER", "--scope", "system")
    assert created.return_value == 0, created.exception
    assigned = await run("role", "assign", "HELPER", "--user", "ann")
    assert assigned.return_value == 0, assigned.exception
    rows = table_of(await run("role", "assignment", "list", "-o", "json"))
    (row,) = [row for row in rows if row["role"] == "HELPER"]
    assert (row["scope"], row["identity"], row["granted_by"]) == ("system", "user:ann", "user:boss")


@pytest.mark.parametrize("catalog", ["zenml"])
async def test_a_zenml_role_is_created_assigned_and_listed_as_documented(run: Run) -> None:
    for name, permissions, outcome in (
        ("viewer", ("read", "me"), "granted viewer to `ann`"),
        ("editor", ("read", "write", "me"), "confirm"),  # it is worth the protected role `admin`
    ):
        options = [option for permission in permissions for option in ("-p", permission)]
        assert (await run("role", "create", name, *options)).return_value == 0
        assigned = await run("role", "assign", name, "--user", "ann")
        assert assigned.return_value == 0, assigned.exception
        assert outcome in assigned.stderr
    (row,) = table_of(await run("role", "assignment", "list", "--user", "ann", "-o", "json"))
    assert (row["role"], row["scope"], row["identity"]) == ("viewer", "system", "user:ann")


@pytest.mark.parametrize("catalog", ["zenml"])
async def test_a_role_given_at_creation_replaces_that_of_the_default_group(run: Run) -> None:
    for name, options in (("gil", ("--role", "guest")), ("eva", ())):
        answer = await run("user", "create", name, *options)
        assert answer.return_value == 0, answer.exception
    with run.driver.context.store.read() as tx:  # type: ignore[attr-defined]
        held = {name: {each.role for each in tx.rights(Identity.user(name)).held_roles} for name in ("gil", "eva")}
    assert held == {"gil": {"guest"}, "eva": {"admin"}}


async def test_a_limit_is_a_named_permission_of_a_role(run: Run) -> None:
    for name, limit in (("5 Project Limit", "projects=5"), ("10 Project Limit", "projects=10"), ("2 Jobs", "jobs=2")):
        created = await run("permission", "create", name, "--limit", limit, "--description", "so many")
        assert created.return_value == 0, created.exception
    assert (await run("role", "create", "Builder", "-p", "Read", "-p", "5 project limit")).return_value == 0
    assert (await run("permission", "assign", "2 Jobs", "--role", "Builder")).return_value == 0
    for refused in (
        await run("permission", "assign", "10 Project Limit", "--role", "Builder"),
        await run("role", "create", "Other", "-p", "5 Project Limit", "-p", "10 Project Limit"),
        await run("role", "alter", "Builder", "-p", "10 Project Limit"),
    ):
        problem = problem_of(refused)
        text = "; ".join([problem.detail, *(fault.detail for fault in problem.faults)])
        assert "a role has one permission per kind of limit: `10 Project Limit`" in text
    shown = table_of(await run("permission", "list", "--role", "Builder", "-o", "json"))
    assert [(row["permission"], row["kind"], row["limit"]) for row in shown] == [
        ("Read", "existential", None),
        ("2 Jobs", "limit", "jobs: 2"),
        ("5 Project Limit", "limit", "projects: 5"),
    ]
    assert (await run("role", "show", "Builder", "-o", "json")).stdout.count("5 Project Limit") == 1
    assert isinstance(problem_of(await run("permission", "delete", "5 Project Limit")), Conflict)
    assert (await run("permission", "remove", "5 Project Limit", "--role", "Builder")).return_value == 0
    assert (await run("permission", "assign", "10 Project Limit", "--role", "Builder")).return_value == 0
    assert (await run("permission", "delete", "5 Project Limit")).return_value == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ("role", "create", "R", "--limit", "jobs=1", "--limit", "jobs=2"),
        ("permission", "create", "X"),
        ("permission", "create", "X", "--allows", "read", "--limit", "jobs=1"),
        ("role", "assign", "R"),
        ("role", "assign", "R", "--user", "ann", "--group", "crew"),
        ("role", "assignment", "list", "--user", "ann", "--group", "crew"),
    ],
)
def test_contradicting_or_missing_options_are_rejected(
    recording_server: RecordingServer, arguments: tuple[str, ...]
) -> None:
    assert isinstance(recording_server.run(*arguments).exception, click.UsageError)
    assert recording_server.requests == []


def test_a_role_without_scopes_leaves_them_to_the_catalog(recording_server: RecordingServer) -> None:
    assert recording_server.run("role", "create", "R", "-p", "read").return_value == 0
    assert recording_server.run("role", "create", "R", "--scope", "system").return_value == 0
    assert [body.get("scopes") for _, _, body in recording_server.requests] == [None, ["system"]]

"""The command line against a running hub, with hub tokens that users created themselves."""

from __future__ import annotations

import json
import re
import shlex
import time
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

from aizen_hub.cli.examples import EXAMPLES
from aizen_hub.cli.exit_codes import ExitCode
from aizen_hub.client.sync_client import SyncClient
from aizen_hub.demo.browser import Browser, LoginRejectedError
from aizen_hub.problems import Denied
from tests.fixtures.command_line import CommandLine, CompletedCall, create_token, is_token_valid
from tests.fixtures.hub import HubHandle, environment_of, running_hub


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubHandle]:
    def seed(tx: Any) -> None:
        from aizen_hub.accounts.projects import lifecycle
        from aizen_hub.accounts.roles import assignments
        from aizen_hub.rbac.identity import Identity

        lifecycle.create_project(tx, "churn", owner=Identity.user("lead"))
        # mia needs every right of tess to unlock her.
        assignments.grant_roles(tx, ["PROJECT_CREATOR"], "system", Identity.user("mia"))

    accounts = {"ada": "AIZEN_ADMIN", "mia": "AIZEN_ADMIN", "lead": "", "rob": "", "sam": "", "tess": "PROJECT_CREATOR"}
    # The directory is only configured; it is not running.
    directory = {"server_address": "127.0.0.1", "server_port": 9, "tls_strategy": "insecure"}
    directory |= {"lookup_dn": False, "bind_dn_template": "uid={username},dc=lab,dc=test"}
    providers = [
        {"name": "local", "kind": "local"},
        {"name": "lab", "kind": "ldap", "insecure_tls": True, "config": directory},
    ]
    folder = tmp_path_factory.mktemp("cli")
    with running_hub(folder, {"providers": providers}, accounts=accounts, seed=seed, fake_servers=("tess",)) as running:
        yield running


@pytest.fixture(scope="module")
def run(hub: HubHandle) -> CommandLine:
    return CommandLine(hub)


def confirm_all(hub: HubHandle) -> None:
    """Confirm the pending unlocks, as a user does in the panel after signing in again (see `test_panel`)."""
    from aizen_hub.accounts import command_handlers
    from aizen_hub.cli.local_store import open_store, operator_actor
    from aizen_hub.store.tables import pending_changes as p

    with open_store(hub.settings) as store, store.write(operator_actor()) as tx:
        for change_id in tx.conn.execute(p.select().where(p.c.state == "waiting", p.c.kind == "unlock")).scalars():
            command_handlers.confirm_pending_change(tx, change_id)


def done(answer: CompletedCall) -> str:
    assert answer.returncode == ExitCode.DONE, answer.stderr
    return answer.stdout


def test_a_user_is_invited_signs_in_and_is_deleted(hub: HubHandle, run: CommandLine) -> None:
    link = done(run("ada", "user", "create", "nora", "--email", "nora@example.org")).strip()
    assert link.startswith(f"{hub.url}/services/aizen/activate#")
    with pytest.raises(LoginRejectedError):
        Browser(hub.url).login("nora", "a long enough pass phrase")
    new_link = done(run("ada", "user", "activation-link", "nora")).strip()
    assert new_link != link, "a new link invalidates the old one"
    page = Browser(hub.url).request(
        "POST",
        "/services/aizen/api/v1/activate",
        json.dumps({"token": new_link.rpartition("#")[2], "password": "a long enough pass phrase"}).encode(),
        {"Content-Type": "application/json"},
    )
    assert page.status == 204, page.text
    Browser(hub.url).login("nora", "a long enough pass phrase")
    assert "nora" in done(run("ada", "user", "list", "-o", "name")).splitlines()
    done(run("ada", "user", "delete", "nora", "--yes"))
    with pytest.raises(LoginRejectedError):
        Browser(hub.url).login("nora", "a long enough pass phrase")
    assert run("ada", "user", "create", "nora").returncode == ExitCode.CONFLICT, "a deleted name stays reserved"
    answer = run("ada", "user", "release", "nora", input="n\n")
    assert answer.returncode == 130, "it asks before it deletes anything"
    assert "the hub still has a record of the user `nora`" in answer.stderr
    assert hub_has_user(hub, "nora")
    answer = run("ada", "user", "release", "nora", input="y\n")
    assert answer.returncode == ExitCode.DONE, answer.stderr
    assert not hub_has_user(hub, "nora"), "the admin needs no right at the hub"
    done(run("ada", "user", "create", "nora"))
    done(run("ada", "user", "create", "olaf"))
    assert run("ada", "user", "release", "olaf").returncode == ExitCode.NOT_FOUND, "it is in use"
    done(run("ada", "user", "delete", "olaf", "--yes"))
    assert run("rob", "user", "release", "olaf").returncode == ExitCode.DENIED
    done(run("ada", "user", "release", "olaf"))
    done(run("ada", "user", "create", "olaf"))


def hub_has_user(hub: HubHandle, name: str) -> bool:
    import sqlite3

    with sqlite3.connect(f"file:{hub.folder / 'jupyterhub.sqlite'}?mode=ro", uri=True) as database:
        return database.execute("SELECT 1 FROM users WHERE name = ?", (name,)).fetchone() is not None


@pytest.mark.proves("R144")
def test_the_example_of_mapping_put_works_for_an_administrator(run: CommandLine) -> None:
    provider, group, role, *_ = shlex.split(EXAMPLES["mapping put"])
    assert provider == "ldap"
    answer = run("ada", "mapping", "put", "lab", group, role, "--dry-run")
    assert answer.returncode == ExitCode.DONE, answer.stderr
    answer = run("ada", "mapping", "put", "lab", "aizen-{project}-executors", "PROJECT_EXECUTOR", "--dry-run")
    assert answer.returncode == ExitCode.DENIED
    command = re.search(r"`aizen-hub (grant [^`]+)`", answer.stderr)
    assert command is not None, answer.stderr
    done(run("ada", *shlex.split(command[1])))
    done(run("ada", "mapping", "put", "lab", "aizen-{project}-executors", "PROJECT_EXECUTOR", "--dry-run"))
    done(run("ada", "revoke", "PROJECT_CREATOR", "--from", "ada"))


@pytest.mark.proves("R144")
def test_a_policy_file_names_the_role_to_take_first(run: CommandLine, tmp_path: Path) -> None:
    file = tmp_path / "access.yaml"
    file.write_text("projects: [churn, fraud]\n")
    answer = run("ada", "policy", "plan", str(file))
    assert answer.returncode == ExitCode.DENIED
    command = re.search(r"`aizen-hub (grant [^`]+)`", answer.stderr)
    assert command is not None, answer.stderr
    done(run("ada", *shlex.split(command[1])))
    done(run("ada", "policy", "plan", str(file)))
    done(run("ada", "revoke", "PROJECT_CREATOR", "--from", "ada"))


def test_roles_are_granted_and_revoked(run: CommandLine) -> None:
    question = ("can-i", "start training churn", "--project", "churn")
    assert run("rob", *question).returncode == ExitCode.NOT_FOUND, "without a role the project does not exist"
    done(run("lead", "grant", "PROJECT_READER", "--to", "rob", "--project", "churn"))
    answer = run("rob", *question)
    assert (answer.returncode, answer.stdout) == (ExitCode.DENIED, "no\n")
    done(run("lead", "grant", "PROJECT_EXECUTOR", "--to", "rob", "--project", "churn", "--reason", "helps out"))
    answer = run("rob", *question)
    assert (answer.returncode, answer.stdout) == (ExitCode.DONE, "yes\n")
    holders = json.loads(done(run("ada", "role", "holders", "--identity", "rob", "-o", "json")))
    assert "helps out" in json.dumps(holders)
    done(run("lead", "revoke", "PROJECT_EXECUTOR", "--from", "rob", "--project", "churn"))
    answer = run("rob", *question, "--why", "-o", "json")
    assert answer.returncode == ExitCode.DENIED
    assert json.loads(answer.stdout)["allowed"] is False
    done(run("lead", "revoke", "PROJECT_READER", "--from", "rob", "--project", "churn"))


def test_a_grant_beyond_the_own_rights_is_denied_with_what_is_missing(run: CommandLine) -> None:
    answer = run("lead", "grant", "PROJECT_CREATOR", "--to", "rob")
    assert answer.returncode == ExitCode.DENIED
    assert "ada" in answer.stderr, "it names who can grant it"
    answer = run("ada", "grant", "PROJECT_EXECUTOR", "--to", "rob", "--project", "churn")
    assert answer.returncode == ExitCode.DENIED
    assert "missing" in answer.stderr
    assert answer.stdout == ""


def test_a_protected_role_needs_confirmation(run: CommandLine) -> None:
    answer = run("ada", "user", "create", "otto", "--role", "AIZEN_ADMIN", "-o", "json")
    assert answer.returncode == ExitCode.DONE, answer.stderr
    rows = json.loads(done(run("ada", "role", "holders", "--identity", "otto", "-o", "json")))
    assert rows == []
    for verb, preposition in (("grant", "--to"), ("revoke", "--from")):
        who = "sam" if verb == "grant" else "mia"
        answer = run("ada", verb, "AIZEN_ADMIN", preposition, who)
        assert answer.returncode == ExitCode.DONE, answer.stderr
        assert "waiting for confirmation in the panel" in answer.stderr


def test_missing_and_invisible_projects_are_indistinguishable(run: CommandLine) -> None:
    hidden, missing = run("rob", "project", "show", "churn"), run("rob", "project", "show", "nothing")
    assert hidden.returncode == missing.returncode == ExitCode.NOT_FOUND
    hidden_text, missing_text = (
        re.sub("decision=[0-9a-f]+", "decision=…", answer.stderr) for answer in (hidden, missing)
    )
    assert hidden_text.replace("churn", "nothing") == missing_text


def test_a_lock_is_effective_at_once(hub: HubHandle, run: CommandLine) -> None:
    done(run("sam", "project", "list"))
    done(run("ada", "lock", "add", "identity", "sam", "--reason", "left the team"))
    assert run("sam", "project", "list").returncode in (ExitCode.DENIED, ExitCode.NOT_SIGNED_IN)
    assert "left the team" in done(run("ada", "lock", "list"))
    done(run("ada", "lock", "remove", "identity", "sam", "--reason", "found it"))
    confirm_all(hub)


def is_signed_in(browser: Browser) -> bool:
    return "/hub/login" not in browser.get("/hub/home").url


def until(condition: Callable[[], bool]) -> None:
    """Wait until the condition holds."""
    for _ in range(600):
        if condition():
            return
        time.sleep(0.1)
    raise AssertionError("the condition did not become true")


@pytest.mark.proves("R78", "R130")
def test_one_command_stops_a_user(hub: HubHandle, run: CommandLine) -> None:
    tess = hub.login("tess")
    tess.spawn("")
    token = create_token(tess, "tess")
    assert is_token_valid(hub, token)
    assert run("rob", "user", "stop", "tess", "--reason", "x").returncode == ExitCode.DENIED
    assert run("ada", "user", "stop", "unknown", "--reason", "x").returncode == ExitCode.NOT_FOUND
    assert is_signed_in(tess), "a denial stops nothing"
    preview = done(run("ada", "user", "stop", "tess", "--reason", "left the team", "--dry-run"))
    assert "session" in preview
    assert is_signed_in(tess), "a preview changes nothing"
    answer = run("ada", "user", "stop", "tess", "--reason", "left the team")
    assert answer.returncode == ExitCode.DONE, answer.stderr
    assert "1 session ended, 1 server stopped" in answer.stderr
    assert not is_token_valid(hub, token)
    assert not is_signed_in(tess)
    with pytest.raises(LoginRejectedError):
        hub.login("tess")
    assert "left the team" in done(run("ada", "lock", "list"))
    assert "tess" not in done(run("ada", "session", "list"))
    assert "lock remove identity tess" in answer.stderr, "the undo is named"
    assert "PROJECT_CREATOR" in done(run("ada", "lock", "remove", "identity", "tess", "--reason", "back", "--dry-run"))
    # ada holds no right of tess: a lock is no grant, and a user who may lock may unlock.
    answer = run("ada", "lock", "remove", "identity", "tess", "--reason", "back", "--until", "2099-01-01T00:00Z")
    assert answer.returncode == ExitCode.DONE, answer.stderr
    assert "waiting for confirmation in the panel" in answer.stderr
    confirm_all(hub)
    assert "2099-01-01T00:00:00Z" in done(run("ada", "lock", "list")), "a lock without an end got one"
    done(run("ada", "lock", "remove", "identity", "tess", "--reason", "back"))
    confirm_all(hub)
    new_browser = hub.login("tess")
    assert new_browser.server() is None
    assert not is_token_valid(hub, token), "deleted tokens stay deleted"


@pytest.mark.proves("R130")
def test_a_user_is_stopped_by_the_api(hub: HubHandle, run: CommandLine) -> None:
    sam = hub.login("sam")
    page = Browser(hub.url).request(
        "POST",
        "/services/aizen/api/v1/users/sam/stop",
        json.dumps({"reason": "lost the laptop"}).encode(),
        {"Content-Type": "application/json", "Authorization": f"token {create_token(hub.login('ada'), 'ada')}"},
    )
    assert page.status == 200, page.text
    assert page.json()["data"]["sessions_ended"] == 0
    assert not is_signed_in(sam)
    done(run("ada", "lock", "remove", "identity", "sam", "--reason", "found it"))
    confirm_all(hub)


def test_a_new_password_signs_out_everywhere_and_leaves_servers(hub: HubHandle, run: CommandLine) -> None:
    tess = hub.login("tess")
    home = tess.spawn("")
    token, other = create_token(tess, "tess"), hub.login("tess")
    link = done(run("mia", "user", "activation-link", "tess")).strip()
    assert is_signed_in(tess), "an unused link changes nothing"
    hub.passwords["tess"] = "another long enough phrase"
    page = Browser(hub.url).request(
        "POST",
        "/services/aizen/api/v1/activate",
        json.dumps({"token": link.rpartition("#")[2], "password": hub.passwords["tess"]}).encode(),
        {"Content-Type": "application/json"},
    )
    assert page.status == 204, page.text
    until(lambda: not is_token_valid(hub, token))
    assert not is_signed_in(tess)
    assert not is_signed_in(other)
    new_browser = hub.login("tess")
    assert new_browser.server() is not None, "the server keeps running"
    variables = environment_of(new_browser, home)
    assert is_token_valid(hub, variables["JUPYTERHUB_API_TOKEN"]), "with its own token"
    until(lambda: "signed out `tess`" in hub.log)
    assert is_signed_in(new_browser), "a password change signs out once"
    new_browser.stop()


@pytest.mark.proves("R32", "T-16")
def test_logins_are_linked_listed_and_unlinked(hub: HubHandle, run: CommandLine) -> None:
    answer = run("lead", "user", "login", "link", "sam", "lab", "id-1")
    assert answer.returncode == ExitCode.DENIED
    answer = run("ada", "user", "login", "link", "lead", "lab", "id-1")
    assert answer.returncode == ExitCode.DENIED
    assert "missing" in answer.stderr, "ada does not have the rights of the admin of churn"
    done(run("ada", "user", "login", "link", "sam", "lab", "id-1"))
    assert run("ada", "user", "login", "link", "rob", "lab", "id-1").returncode == ExitCode.CONFLICT
    assert run("ada", "user", "login", "link", "sam", "nowhere", "id-2").returncode == ExitCode.ERROR
    assert run("rob", "user", "login", "list", "sam").returncode == ExitCode.DENIED
    rows = json.loads(done(run("sam", "user", "login", "list", "sam", "-o", "json")))
    assert [list(row.values())[1:4] for row in rows] == [["local", "sam", "registration"], ["lab", "id-1", "further"]]
    hub_client = hub.hub_client()
    report = {"provider": "lab", "subject": "id-1", "name": "newcomer"}
    assert hub_client.post("/api/v1/login", report)["user"] == "sam"
    browser = hub.login("sam")
    login_id = str(next(iter(rows[1].values())))
    assert run("ada", "user", "login", "unlink", "rob", login_id).returncode == ExitCode.NOT_FOUND
    done(run("ada", "user", "login", "unlink", "sam", login_id))
    assert hub_client.post("/api/v1/login", report)["outcome"] == "not-registered"
    until(lambda: not is_signed_in(browser))


def test_limits_are_set_shown_and_cleared(run: CommandLine) -> None:
    done(run("ada", "limit", "set", "rob", "jobs", "2", "--project", "churn"))
    assert "2" in done(run("ada", "limit", "show", "rob", "--project", "churn"))
    done(run("ada", "limit", "clear", "rob", "jobs", "--project", "churn"))


@pytest.mark.proves("R31", "T-47")
@pytest.mark.parametrize(
    ("kind", "make"),
    [("project", ()), ("group", ()), ("role", ("-p", "read:audit", "--scope", "system")), ("service-account", ())],
)
def test_a_deleted_name_is_reserved_until_it_is_released(run: CommandLine, kind: str, make: tuple[str, ...]) -> None:
    who = "mia" if kind == "project" else "ada"
    done(run(who, kind, "create", "RARE", *make))
    name = "RARE" if kind == "role" else "rare"
    assert run("mia", kind, "release", name).returncode == ExitCode.NOT_FOUND, "it is in use"
    done(run(who, kind, "delete", name, *(("--yes",) if kind != "role" else ())))
    assert run(who, kind, "create", name, *make).returncode == ExitCode.CONFLICT
    assert run("rob", kind, "release", name).returncode == ExitCode.DENIED
    done(run("mia", kind, "release", name))
    assert run("mia", kind, "release", name).returncode == ExitCode.NOT_FOUND
    done(run(who, kind, "create", name, *make))


def test_a_role_request_is_approved_denied_and_withdrawn(run: CommandLine) -> None:
    done(run("lead", "grant", "PROJECT_READER", "--to", "rob", "--project", "churn"))
    ask = ("request", "ask", "PROJECT_EXECUTOR", "--project", "churn", "--reason", "to retrain")
    done(run("rob", *ask, "--until", "2040-01-01"))
    assert run("rob", *ask, "--until", "2001-01-01").returncode == ExitCode.ERROR

    def request_id_of(who: str, *more: str) -> str:
        rows = json.loads(done(run(who, "request", "list", *more, "-o", "json")))
        (request_id,) = [row["id"] for row in rows if row.get("state") == "waiting" or more]
        return str(request_id)

    mine = request_id_of("rob")
    assert request_id_of("lead", "--to-decide") == mine
    assert run("rob", "request", "approve", mine).returncode in (ExitCode.DENIED, ExitCode.NOT_FOUND)
    done(run("lead", "request", "approve", mine, "--until", "2035-01-01T00:00Z", "--comment", "a shorter while"))
    held = json.loads(done(run("lead", "role", "holders", "--identity", "rob", "--project", "churn", "-o", "json")))
    assert any(row["until"] == "2035-01-01T00:00:00Z" for row in held)
    done(run("rob", "request", "ask", "PROJECT_ADMIN", "--project", "churn", "--reason", "to clean up"))
    done(run("lead", "request", "deny", request_id_of("rob"), "--comment", "ask me"))
    assert "ask me" in done(run("rob", "request", "list"))
    done(run("rob", "request", "ask", "PROJECT_ADMIN", "--project", "churn", "--reason", "once more"))
    done(run("rob", "request", "withdraw", request_id_of("rob")))
    done(run("lead", "revoke", "PROJECT_EXECUTOR", "PROJECT_READER", "--from", "rob", "--project", "churn"))


def test_access_queries_about_other_users(run: CommandLine) -> None:
    assert "user:lead" in done(run("lead", "who-can", "delete:training", "--project", "churn"))
    assert run("rob", "who-can", "delete:training", "--project", "churn").returncode == ExitCode.NOT_FOUND
    question = ("what-if", "rob", "start training x", "--project", "churn")
    assert run("lead", *question).returncode == ExitCode.DENIED
    assert done(run("lead", *question, "--role", "PROJECT_EXECUTOR", "--at", "2030-01-01")) == "yes\n"
    assert run("rob", "can-i", "start training x", "--project", "churn").returncode == ExitCode.NOT_FOUND


def test_a_custom_role_is_changed_after_a_dry_run(run: CommandLine) -> None:
    done(run("ada", "role", "create", "CHECKER", "-p", "read:audit", "--scope", "system"))
    assert run("ada", "role", "alter", "CHECKER").returncode == ExitCode.USAGE
    done(run("ada", "role", "alter", "CHECKER", "-p", "read:access", "--dry-run"))
    assert "read:access" not in row_of(run, "CHECKER")
    done(run("ada", "role", "alter", "CHECKER", "-p", "read:access"))
    assert "read:access" in row_of(run, "CHECKER")
    done(run("ada", "role", "delete", "CHECKER"))


def row_of(run: CommandLine, role: str) -> str:
    rows = json.loads(done(run("ada", "role", "list", "-o", "json")))
    return json.dumps(next(row for row in rows if role in row.values()))


def test_service_accounts_and_contact_data(run: CommandLine, tmp_path: Path) -> None:
    done(run("ada", "service-account", "create", "nightly", "--description", "every night"))
    assert "nightly" in done(run("ada", "service-account", "list"))
    answer = run("ada", "service-account", "issue", "nightly", "--days", "2")
    assert (answer.returncode, answer.stdout) == (ExitCode.DONE, "")
    assert "waiting for confirmation" in answer.stderr
    key = tmp_path / "key.jwk"
    key.write_text('{"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "kid": "1"}')
    bound = ("service-account", "issue", "nightly", "--key", str(key), "--from", "10.20.0.0/16", "--from", "::1")
    answer = run("ada", *bound)
    assert "bound to the key kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k" in answer.stderr
    assert "valid only from 10.20.0.0/16, ::1/128" in answer.stderr
    assert run("ada", *bound, "--from", "10.20.0.1/16").returncode == ExitCode.ERROR
    done(run("ada", "service-account", "switch", "nightly", "off"))
    assert run("rob", "service-account", "delete", "nightly", "--yes").returncode != ExitCode.DONE
    done(run("ada", "service-account", "delete", "nightly", "--yes"))
    done(run("rob", "user", "alter", "rob", "--email", "rob@example.org", "--alerts"))
    assert "rob@example.org" in done(run("ada", "user", "list", "-o", "wide"))
    assert run("rob", "user", "alter", "sam", "--email", "x@example.org").returncode == ExitCode.DENIED


def test_a_project_is_replaced_only_at_the_given_version(run: CommandLine, tmp_path: Path) -> None:
    file = tmp_path / "members.json"
    members = [{"id": "lead", "roles": ["PROJECT_ADMIN"]}, {"id": "rob", "roles": ["PROJECT_READER"]}]
    file.write_text(json.dumps(members))
    version = str(json.loads(done(run("lead", "project", "show", "churn", "-o", "json")))["version"])
    assert "user:rob" in done(run("lead", "project", "alter", "churn", str(file), "--dry-run"))
    done(run("lead", "project", "alter", "churn", str(file), "--version", version))
    assert run("lead", "project", "alter", "churn", str(file), "--version", version).returncode == ExitCode.CONFLICT
    output = done(run("lead", "project", "show", "churn"))
    assert "PROJECT_READER" in output
    file.write_text(json.dumps(members[:1]))
    done(run("lead", "project", "alter", "churn", str(file)))


def test_groups_carry_roles(run: CommandLine) -> None:
    done(run("ada", "group", "create", "ops", "--description", "on call"))
    done(run("ada", "group", "add", "ops", "rob"))
    assert "user:rob" in done(run("ada", "group", "members", "ops"))
    done(run("lead", "grant", "PROJECT_READER", "--to", "group:ops", "--project", "churn"))
    done(run("rob", "can-i", "read:training", "--project", "churn"))
    done(run("ada", "group", "remove", "ops", "rob"))
    answer = run("rob", "can-i", "read:training", "--project", "churn", "-q")
    assert (answer.returncode, answer.stdout) == (ExitCode.NOT_FOUND, "")
    done(run("ada", "group", "delete", "ops", "--yes"))


def test_projects_and_their_members_from_a_file(hub: HubHandle, run: CommandLine, tmp_path: Path) -> None:
    members = tmp_path / "members.json"
    members.write_text('[{"id": "rob", "roles": ["PROJECT_READER"], "alerts": []}]')
    assert run("rob", "project", "create", "mine").returncode == ExitCode.DENIED
    done(run("ada", "grant", "PROJECT_CREATOR", "--to", "ada"))
    done(run("ada", "project", "create", "fraud", "--members", str(members)))
    assert "fraud" in done(run("rob", "project", "list"))
    assert "rob" in done(run("ada", "project", "show", "fraud"))
    done(run("ada", "project", "archive", "fraud", "--reason", "the case is closed"))
    done(run("rob", "can-i", "read:training", "--project", "fraud"))
    refused = run("ada", "project", "delete", "fraud", "--yes")
    assert refused.returncode == ExitCode.DENIED
    assert "archived and can only be read: the case is closed; AIZEN_ADMIN can restore it" in refused.stderr
    done(run("ada", "project", "restore", "fraud", "--reason", "it was opened again"))
    confirm_all(hub)
    assert run("ada", "project", "delete", "fraud", input="fruad\n").returncode == ExitCode.ERROR
    done(run("ada", "project", "delete", "fraud", input="fraud\n"))
    assert run("ada", "project", "create", "fraud").returncode == ExitCode.CONFLICT
    members.write_text('[{"id": "unknown", "roles": ["NO_ROLE"]}]')
    answer = run("ada", "project", "create", "other", "--members", str(members))
    assert answer.returncode == ExitCode.ERROR
    assert "/0/" in answer.stderr


def test_policy_export_plan_and_apply(run: CommandLine, tmp_path: Path) -> None:
    file = tmp_path / "access.yaml"
    file.write_text(done(run("ada", "policy", "export")))
    assert done(run("ada", "policy", "plan", str(file))) == "", "an exported policy needs no steps"
    assert run("rob", "policy", "export").returncode == ExitCode.DENIED

    document = yaml.safe_load(file.read_text())
    assert "churn" in document["projects"]
    document["assignments"].append(
        {"role": "PROJECT_ADMIN", "scope": "churn", "identity": "user:rob", "until": date(2099, 1, 1)}
    )
    document["assertions"] = [
        {"identity": "user:rob", "scope": "churn", "permission": "delete:training", "expect": "deny"}
    ]
    file.write_text(yaml.safe_dump(document))
    assert run("ada", "policy", "apply", str(file), "--yes").returncode == ExitCode.ERROR, "its assertion does not hold"
    document["assertions"][0]["expect"] = "allow"
    file.write_text(yaml.safe_dump(document))
    plan = done(run("ada", "policy", "plan", str(file)))
    assert "user:rob" in plan
    assert "churn" in plan
    assert run("rob", "can-i", "read:training", "--project", "churn").returncode == ExitCode.NOT_FOUND, (
        "a plan changes nothing"
    )
    assert run("ada", "policy", "apply", str(file), input="n\n").returncode == 130
    done(run("ada", "policy", "apply", str(file), input="y\n"))
    done(run("rob", "can-i", "delete:training", "--project", "churn"))
    assert run("lead", "policy", "apply", str(file), "--yes").returncode in (ExitCode.DONE, ExitCode.DENIED)
    done(run("ada", "revoke", "PROJECT_ADMIN", "--from", "rob", "--project", "churn"))
    file.write_text("catalog: {roles: {r: {permissions: [read]}}, commands: []}\n")
    assert run("ada", "policy", "apply", str(file), "--yes").returncode == ExitCode.CONFLICT, (
        "a file with a catalog cannot be applied"
    )


INJECTIONS = [
    "x'; DROP TABLE users;--",
    "' OR '1'='1",
    'a"b',
    "%",
    "user:%",
    "1 UNION SELECT hash FROM passwords",
    "\\",
]


@pytest.mark.proves("T-31", "R113")
@pytest.mark.parametrize("text", INJECTIONS)
def test_names_are_not_interpreted_as_sql(run: CommandLine, text: str) -> None:
    users_before = done(run("ada", "user", "list", "-o", "json"))
    assert run("ada", "user", "create", text).returncode == ExitCode.ERROR
    for question in (
        ("role", "holders", "--identity", f"user:{text}", "-o", "json"),
        ("role", "holders", "--role", text, "-o", "json"),
        ("limit", "show", f"user:{text}", "-o", "json"),
    ):
        answer = run("ada", *question)
        assert answer.returncode in (ExitCode.DONE, ExitCode.NOT_FOUND, ExitCode.ERROR), answer.stderr
        if answer.returncode == ExitCode.DONE:
            assert json.loads(answer.stdout) == [], "a pattern or condition matches no row"
    assert json.loads(done(run("ada", "user", "list", "-o", "json"))) == json.loads(users_before)


@pytest.mark.proves("R100")
def test_reading_the_audit_needs_permission_and_is_recorded(hub: HubHandle) -> None:
    def client(name: str) -> SyncClient:
        page = hub.login(name).api("POST", f"/hub/api/users/{name}/tokens", {"note": "audit", "expires_in": 600})
        return SyncClient(f"{hub.url}/services/aizen", f"token {page.json()['token']}")

    with pytest.raises(Denied):
        client("rob").get("/api/v1/audit")
    ada = client("ada")
    ada.get("/api/v1/audit?limit=1")
    rows = ada.get("/api/v1/audit?event=audit.read&identity=user:ada")["rows"]
    assert rows, "the first access is in the second result"
    rows = ada.get("/api/v1/audit?target=user:rob&limit=1000")["data"]["audit"]
    assert rows, "rob was registered and got a role"
    assert all("rob" in str(row["details"]) for row in rows)


def test_the_doctor_checks_the_running_service(hub: HubHandle, run: CommandLine) -> None:
    answer = run("ada", "doctor", "-c", str(hub.folder / "aizen.yaml"), "-o", "json")
    findings = {finding["message"]: finding for finding in json.loads(answer.stdout)}
    good = [what for what, finding in findings.items() if finding["level"] == "ok"]
    for part in ("is ready", "replica up to date", "has its session", "every purpose has a signing key"):
        assert any(part in what for what in good), findings
    failed = [what for what, finding in findings.items() if finding["level"] == "fail"]
    assert len(failed) == 1, failed
    assert "the directory `lab`" in failed[0], "the directory is not running"
    assert answer.returncode == ExitCode.ERROR
    assert (
        run("rob", "doctor", "-c", str(hub.folder / "aizen.yaml")).stdout.count(
            "not checked: servers without a session"
        )
        == 1
    )


def test_whoami_in_both_forms(run: CommandLine) -> None:
    assert json.loads(done(run("lead", "whoami", "-o", "json")))["user"] == "lead"
    answer = run("lead", "whoami")
    assert "PROJECT_ADMIN" in answer.stdout
    assert "lead" in answer.stderr

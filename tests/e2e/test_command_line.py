"""The command line against a running hub, with hub tokens that people made for themselves."""

from __future__ import annotations

import io
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Protocol

import pytest
import yaml

from aizen_hub.cli.exit_codes import Outcome
from aizen_hub.cli.main import main
from aizen_hub.client.sync_client import SyncClient
from aizen_hub.demo.browser import Browser, LoginRefused
from aizen_hub.problems import Denied
from tests.fixtures.hub import HubHandle, environment_of, running_hub


@dataclass(frozen=True)
class Ended:
    """What a shell would see of one call."""

    returncode: int
    stdout: str
    stderr: str


class Run(Protocol):
    def __call__(self, who: str, *arguments: str, input: str = "") -> Ended: ...


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubHandle]:
    def seed(tx: Any) -> None:
        from aizen_hub.accounts.projects import projects
        from aizen_hub.accounts.roles import assignments
        from aizen_hub.rbac.identity import Identity

        projects.create(tx, "churn", owner=Identity.user("lead"))
        # To let tess in again mia needs every right of tess.
        assignments.grant(tx, ["PROJECT_CREATOR"], "system", Identity.user("mia"))

    accounts = {"ada": "AIZEN_ADMIN", "mia": "AIZEN_ADMIN", "lead": "", "rob": "", "sam": "", "tess": "PROJECT_CREATOR"}
    # Nobody signs in at the directory here; it is there to be named.
    directory = {"server_address": "127.0.0.1", "server_port": 9, "tls_strategy": "insecure"}
    directory |= {"lookup_dn": False, "bind_dn_template": "uid={username},dc=lab,dc=test"}
    providers = [
        {"name": "local", "kind": "local"},
        {"name": "lab", "kind": "ldap", "insecure_tls": True, "config": directory},
    ]
    folder = tmp_path_factory.mktemp("cli")
    with running_hub(folder, {"providers": providers}, accounts=accounts, seed=seed, tiny=("tess",)) as running:
        yield running


@pytest.fixture(scope="module")
def run(hub: HubHandle) -> Run:
    tokens: dict[str, str] = {}

    def call(who: str, *arguments: str, input: str = "") -> Ended:
        if who not in tokens or not is_let_in(hub, tokens[who]):
            page = hub.login(who).api("POST", f"/hub/api/users/{who}/tokens", {"note": "test", "expires_in": 600})
            tokens[who] = page.json()["token"]
        out, err = io.StringIO(), io.StringIO()
        # The whole program, in this process: half of a call's time would be Python's start.
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
            patch.setenv("AIZEN_HUB_URL", hub.url)
            patch.setenv("AIZEN_HUB_TOKEN", tokens[who])
            patch.setattr(sys, "argv", ["aizen-hub", *arguments])
            patch.setattr(sys, "stdin", io.StringIO(input))
            with pytest.raises(SystemExit) as end:
                main()
        assert isinstance(end.value.code, int)
        return Ended(end.value.code, out.getvalue(), err.getvalue())

    return call


def done(answer: Ended) -> str:
    assert answer.returncode == Outcome.DONE, answer.stderr
    return answer.stdout


def test_a_person_is_invited_signs_in_and_is_deleted(hub: HubHandle, run: Run) -> None:
    link = done(run("ada", "user", "create", "nora", "--email", "nora@example.org")).strip()
    assert link.startswith(f"{hub.url}/services/aizen/activate#")
    with pytest.raises(LoginRefused):
        Browser(hub.url).login("nora", "a long enough pass phrase")
    again = done(run("ada", "user", "activation-link", "nora")).strip()
    assert again != link, "a new link voids the old one"
    page = Browser(hub.url).request(
        "POST",
        "/services/aizen/api/v1/activate",
        json.dumps({"token": again.rpartition("#")[2], "password": "a long enough pass phrase"}).encode(),
        {"Content-Type": "application/json"},
    )
    assert page.status == 204, page.text
    Browser(hub.url).login("nora", "a long enough pass phrase")
    rows = json.loads(done(run("ada", "user", "list", "-o", "json")))["rows"]
    assert "nora" in [row[0] for row in rows]
    done(run("ada", "user", "delete", "nora", "--yes"))
    with pytest.raises(LoginRefused):
        Browser(hub.url).login("nora", "a long enough pass phrase")
    assert run("ada", "user", "create", "nora").returncode == Outcome.CONFLICT, "a deleted name stays reserved"
    answer = run("ada", "user", "release", "nora")
    assert answer.returncode == Outcome.CONFLICT
    assert "the hub still has the user `nora`" in answer.stderr
    done(run("ada", "user", "create", "olaf"))
    assert run("ada", "user", "release", "olaf").returncode == Outcome.NOT_FOUND, "it is in use"
    done(run("ada", "user", "delete", "olaf", "--yes"))
    assert run("rob", "user", "release", "olaf").returncode == Outcome.DENIED
    done(run("ada", "user", "release", "olaf"))
    done(run("ada", "user", "create", "olaf"))


def test_roles_change_hands(run: Run) -> None:
    question = ("can-i", "start training churn", "--project", "churn")
    assert run("rob", *question).returncode == Outcome.NOT_FOUND, "no role there, so there is no such project"
    done(run("lead", "grant", "PROJECT_READER", "--to", "rob", "--project", "churn"))
    answer = run("rob", *question)
    assert (answer.returncode, answer.stdout) == (Outcome.DENIED, "no\n")
    done(run("lead", "grant", "PROJECT_EXECUTOR", "--to", "rob", "--project", "churn", "--reason", "helps out"))
    answer = run("rob", *question)
    assert (answer.returncode, answer.stdout) == (Outcome.DONE, "yes\n")
    holders = json.loads(done(run("ada", "role", "holders", "--identity", "rob", "-o", "json")))
    assert "helps out" in json.dumps(holders)
    done(run("lead", "revoke", "PROJECT_EXECUTOR", "--from", "rob", "--project", "churn"))
    answer = run("rob", *question, "--why", "-o", "json")
    assert answer.returncode == Outcome.DENIED
    assert json.loads(answer.stdout)["allowed"] is False
    done(run("lead", "revoke", "PROJECT_READER", "--from", "rob", "--project", "churn"))


def test_nobody_gives_more_than_they_may_and_learns_what_is_missing(run: Run) -> None:
    answer = run("lead", "grant", "PROJECT_CREATOR", "--to", "rob")
    assert answer.returncode == Outcome.DENIED
    assert "ada" in answer.stderr, "it names who could"
    answer = run("ada", "grant", "PROJECT_EXECUTOR", "--to", "rob", "--project", "churn")
    assert answer.returncode == Outcome.DENIED
    assert "missing" in answer.stderr
    assert answer.stdout == ""


def test_a_protected_role_waits_for_confirmation(run: Run) -> None:
    answer = run("ada", "user", "create", "otto", "--role", "AIZEN_ADMIN", "-o", "json")
    assert answer.returncode == Outcome.DONE, answer.stderr
    rows = json.loads(done(run("ada", "role", "holders", "--identity", "otto", "-o", "json")))["rows"]
    assert rows == []


def test_what_is_not_there_and_what_one_may_not_see_are_the_same(run: Run) -> None:
    hidden, missing = run("rob", "project", "show", "churn"), run("rob", "project", "show", "nothing")
    assert hidden.returncode == missing.returncode == Outcome.NOT_FOUND
    assert hidden.stderr.replace("churn", "nothing") == missing.stderr


def test_a_lock_stops_at_once(run: Run) -> None:
    done(run("sam", "project", "list"))
    done(run("ada", "lock", "add", "identity", "sam", "--reason", "left the team"))
    assert run("sam", "project", "list").returncode in (Outcome.DENIED, Outcome.NOT_SIGNED_IN)
    assert "left the team" in done(run("ada", "lock", "list"))
    done(run("ada", "lock", "remove", "identity", "sam"))


def token_of(browser: Browser, name: str) -> str:
    page = browser.api("POST", f"/hub/api/users/{name}/tokens", {"note": "test", "expires_in": 600})
    return str(page.json()["token"])


def is_let_in(hub: HubHandle, token: str) -> bool:
    page = Browser(hub.url).request("GET", "/hub/api/user", None, {"Authorization": f"token {token}"})
    return page.status == 200


def signed_in(browser: Browser) -> bool:
    return "/hub/login" not in browser.get("/hub/home").url


def until(what: Callable[[], bool]) -> None:
    """Wait for what the hub does within seconds."""
    for _ in range(200):
        if what():
            return
        time.sleep(0.1)
    raise AssertionError("it did not happen")


@pytest.mark.proves("R78", "R130")
def test_one_command_ends_a_person(hub: HubHandle, run: Run) -> None:
    tess = hub.login("tess")
    tess.spawn("")
    token = token_of(tess, "tess")
    assert is_let_in(hub, token)
    assert run("rob", "user", "stop", "tess", "--reason", "x").returncode == Outcome.DENIED
    assert run("ada", "user", "stop", "nobody", "--reason", "x").returncode == Outcome.NOT_FOUND
    assert signed_in(tess), "a refusal ends nothing"
    answer = run("ada", "user", "stop", "tess", "--reason", "left the team")
    assert answer.returncode == Outcome.DONE, answer.stderr
    assert "1 sessions ended, 1 servers stopped" in answer.stderr
    assert not is_let_in(hub, token)
    assert not signed_in(tess)
    with pytest.raises(LoginRefused):
        hub.login("tess")
    assert "left the team" in done(run("ada", "lock", "list"))
    assert [row for row in json.loads(done(run("ada", "session", "list", "-o", "json")))["rows"] if "tess" in row] == []
    answer = run("ada", "lock", "remove", "identity", "tess")
    assert answer.returncode == Outcome.DENIED
    assert "PROJECT_CREATOR" in answer.stderr, "whoever lets somebody in again holds their rights"
    done(run("mia", "lock", "remove", "identity", "tess"))
    again = hub.login("tess")
    assert again.server() is None
    assert not is_let_in(hub, token), "what was deleted does not come back"


@pytest.mark.proves("R130")
def test_the_same_by_the_api(hub: HubHandle, run: Run) -> None:
    sam = hub.login("sam")
    page = Browser(hub.url).request(
        "POST",
        "/services/aizen/api/v1/users/sam/stop",
        json.dumps({"reason": "lost the laptop"}).encode(),
        {"Content-Type": "application/json", "Authorization": f"token {token_of(hub.login('ada'), 'ada')}"},
    )
    assert page.status == 200, page.text
    assert page.json()["data"]["sessions_ended"] == 0
    assert not signed_in(sam)
    done(run("ada", "lock", "remove", "identity", "sam"))


def test_a_new_password_signs_out_everywhere_and_leaves_servers(hub: HubHandle, run: Run) -> None:
    tess = hub.login("tess")
    home = tess.spawn("")
    token, other = token_of(tess, "tess"), hub.login("tess")
    link = done(run("mia", "user", "activation-link", "tess")).strip()
    assert signed_in(tess), "a link that nobody used changes nothing"
    hub.passwords["tess"] = "another long enough phrase"
    page = Browser(hub.url).request(
        "POST",
        "/services/aizen/api/v1/activate",
        json.dumps({"token": link.rpartition("#")[2], "password": hub.passwords["tess"]}).encode(),
        {"Content-Type": "application/json"},
    )
    assert page.status == 204, page.text
    until(lambda: not is_let_in(hub, token))
    assert not signed_in(tess)
    assert not signed_in(other)
    again = hub.login("tess")
    assert again.server() is not None, "the server goes on"
    variables = environment_of(again, home)
    assert is_let_in(hub, variables["JUPYTERHUB_API_TOKEN"]), "with its own token"
    until(lambda: "signed `tess` out" in hub.log)
    assert signed_in(again), "one change signs out once"
    again.stop()


@pytest.mark.proves("R32", "T-16")
def test_further_logins_are_linked_listed_and_taken_away(hub: HubHandle, run: Run) -> None:
    answer = run("lead", "user", "login", "link", "sam", "lab", "id-1")
    assert answer.returncode == Outcome.DENIED
    answer = run("ada", "user", "login", "link", "lead", "lab", "id-1")
    assert answer.returncode == Outcome.DENIED
    assert "missing" in answer.stderr, "what the admin of churn holds is not ada's"
    done(run("ada", "user", "login", "link", "sam", "lab", "id-1"))
    assert run("ada", "user", "login", "link", "rob", "lab", "id-1").returncode == Outcome.CONFLICT
    assert run("ada", "user", "login", "link", "sam", "nowhere", "id-2").returncode == Outcome.ERROR
    assert run("rob", "user", "login", "list", "sam").returncode == Outcome.DENIED
    rows = json.loads(done(run("sam", "user", "login", "list", "sam", "-o", "json")))["rows"]
    assert [row[1:4] for row in rows] == [["local", "sam", "registration"], ["lab", "id-1", "further"]]
    road = hub.hub_road()
    report = {"provider": "lab", "subject": "id-1", "name": "somebody"}
    assert road.post("/api/v1/login", report)["user"] == "sam"
    browser = hub.login("sam")
    number = str(rows[1][0])
    assert run("ada", "user", "login", "unlink", "rob", number).returncode == Outcome.NOT_FOUND
    done(run("ada", "user", "login", "unlink", "sam", number))
    assert road.post("/api/v1/login", report)["outcome"] == "not-registered"
    until(lambda: not signed_in(browser))


def test_limits_name_their_source(run: Run) -> None:
    done(run("ada", "limit", "set", "rob", "jobs", "2", "--project", "churn"))
    assert "2" in done(run("ada", "limit", "show", "rob", "--project", "churn"))
    done(run("ada", "limit", "clear", "rob", "jobs", "--project", "churn"))


@pytest.mark.proves("R31", "T-47")
@pytest.mark.parametrize(
    ("kind", "make"),
    [("project", ()), ("group", ()), ("role", ("-p", "read:audit", "--scope", "system")), ("service-account", ())],
)
def test_a_deleted_name_is_reserved_until_it_is_released(run: Run, kind: str, make: tuple[str, ...]) -> None:
    who = "mia" if kind == "project" else "ada"
    done(run(who, kind, "create", "RARE", *make))
    name = "RARE" if kind == "role" else "rare"
    assert run("mia", kind, "release", name).returncode == Outcome.NOT_FOUND, "it is in use"
    done(run(who, kind, "delete", name, *(("--yes",) if kind != "role" else ())))
    assert run(who, kind, "create", name, *make).returncode == Outcome.CONFLICT
    assert run("rob", kind, "release", name).returncode == Outcome.DENIED
    done(run("mia", kind, "release", name))
    assert run("mia", kind, "release", name).returncode == Outcome.NOT_FOUND
    done(run(who, kind, "create", name, *make))


def test_a_request_goes_its_way(run: Run) -> None:
    done(run("lead", "grant", "PROJECT_READER", "--to", "rob", "--project", "churn"))
    ask = ("request", "ask", "PROJECT_EXECUTOR", "--project", "churn", "--reason", "to retrain")
    done(run("rob", *ask, "--until", "2040-01-01"))
    assert run("rob", *ask, "--until", "2001-01-01").returncode == Outcome.ERROR

    def number(who: str, *more: str) -> str:
        rows = json.loads(done(run(who, "request", "list", *more, "-o", "json")))["rows"]
        (found,) = [row[0] for row in rows if "waiting" in row or more]
        return str(found)

    mine = number("rob")
    assert number("lead", "--to-decide") == mine
    assert run("rob", "request", "approve", mine).returncode in (Outcome.DENIED, Outcome.NOT_FOUND)
    done(run("lead", "request", "approve", mine, "--until", "2035-01-01", "--comment", "a shorter while"))
    held = json.loads(done(run("lead", "role", "holders", "--identity", "rob", "--project", "churn", "-o", "json")))
    assert any("2035-01-01T00:00:00Z" in row for row in held["rows"])
    done(run("rob", "request", "ask", "PROJECT_ADMIN", "--project", "churn", "--reason", "to clean up"))
    done(run("lead", "request", "deny", number("rob"), "--comment", "ask me"))
    assert "ask me" in done(run("rob", "request", "list"))
    done(run("rob", "request", "ask", "PROJECT_ADMIN", "--project", "churn", "--reason", "once more"))
    done(run("rob", "request", "withdraw", number("rob")))
    done(run("lead", "revoke", "PROJECT_EXECUTOR", "PROJECT_READER", "--from", "rob", "--project", "churn"))


def test_questions_beyond_oneself(run: Run) -> None:
    assert "user:lead" in done(run("lead", "who-can", "delete:training", "--project", "churn"))
    assert run("rob", "who-can", "delete:training", "--project", "churn").returncode == Outcome.NOT_FOUND
    question = ("what-if", "rob", "start training x", "--project", "churn")
    assert run("lead", *question).returncode == Outcome.DENIED
    assert done(run("lead", *question, "--role", "PROJECT_EXECUTOR", "--at", "2030-01-01")) == "yes\n"
    assert run("rob", "can-i", "start training x", "--project", "churn").returncode == Outcome.NOT_FOUND


def test_a_custom_role_is_changed_after_a_look(run: Run) -> None:
    done(run("ada", "role", "create", "CHECKER", "-p", "read:audit", "--scope", "system"))
    assert run("ada", "role", "alter", "CHECKER").returncode == Outcome.USAGE
    done(run("ada", "role", "alter", "CHECKER", "-p", "read:access", "--dry-run"))
    assert "read:access" not in row_of(run, "CHECKER")
    done(run("ada", "role", "alter", "CHECKER", "-p", "read:access"))
    assert "read:access" in row_of(run, "CHECKER")
    done(run("ada", "role", "delete", "CHECKER"))


def row_of(run: Run, role: str) -> str:
    rows = json.loads(done(run("ada", "role", "list", "-o", "json")))["rows"]
    return json.dumps(next(row for row in rows if row[0] == role))


def test_service_accounts_and_contact_data(run: Run, tmp_path: Path) -> None:
    done(run("ada", "service-account", "create", "nightly", "--description", "every night"))
    assert "nightly" in done(run("ada", "service-account", "list"))
    answer = run("ada", "service-account", "issue", "nightly", "--days", "2")
    assert (answer.returncode, answer.stdout) == (Outcome.DONE, "")
    assert "waiting for confirmation" in answer.stderr
    key = tmp_path / "key.jwk"
    key.write_text('{"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "kid": "1"}')
    bound = ("service-account", "issue", "nightly", "--key", str(key), "--from", "10.20.0.0/16", "--from", "::1")
    answer = run("ada", *bound)
    assert "bound to the key kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k" in answer.stderr
    assert "good from 10.20.0.0/16, ::1/128 only" in answer.stderr
    assert run("ada", *bound, "--from", "10.20.0.1/16").returncode == Outcome.ERROR
    done(run("ada", "service-account", "switch", "nightly", "off"))
    assert run("rob", "service-account", "delete", "nightly", "--yes").returncode != Outcome.DONE
    done(run("ada", "service-account", "delete", "nightly", "--yes"))
    done(run("rob", "user", "alter", "rob", "--email", "rob@example.org", "--alerts"))
    assert "rob@example.org" in done(run("ada", "user", "list"))
    assert run("rob", "user", "alter", "sam", "--email", "x@example.org").returncode == Outcome.DENIED


def test_a_project_is_replaced_at_the_version_that_was_seen(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "members.json"
    people = [{"id": "lead", "roles": ["PROJECT_ADMIN"]}, {"id": "rob", "roles": ["PROJECT_READER"]}]
    file.write_text(json.dumps(people))
    version = str(json.loads(done(run("lead", "project", "show", "churn", "-o", "json")))["data"]["version"])
    assert "user:rob" in done(run("lead", "project", "alter", "churn", str(file), "--dry-run"))
    done(run("lead", "project", "alter", "churn", str(file), "--version", version))
    assert run("lead", "project", "alter", "churn", str(file), "--version", version).returncode == Outcome.CONFLICT
    shown = done(run("lead", "project", "show", "churn"))
    assert "PROJECT_READER" in shown
    file.write_text(json.dumps(people[:1]))
    done(run("lead", "project", "alter", "churn", str(file)))


def test_groups_carry_roles(run: Run) -> None:
    done(run("ada", "group", "create", "ops", "--description", "on call"))
    done(run("ada", "group", "add", "ops", "rob"))
    assert "user:rob" in done(run("ada", "group", "members", "ops"))
    done(run("lead", "grant", "PROJECT_READER", "--to", "group:ops", "--project", "churn"))
    done(run("rob", "can-i", "read:training", "--project", "churn"))
    done(run("ada", "group", "remove", "ops", "rob"))
    answer = run("rob", "can-i", "read:training", "--project", "churn", "-q")
    assert (answer.returncode, answer.stdout) == (Outcome.NOT_FOUND, "")
    done(run("ada", "group", "delete", "ops", "--yes"))


def test_projects_and_their_members_from_a_file(run: Run, tmp_path: Path) -> None:
    members = tmp_path / "members.json"
    members.write_text('[{"id": "rob", "roles": ["PROJECT_READER"], "alerts": []}]')
    assert run("rob", "project", "create", "mine").returncode == Outcome.DENIED
    done(run("ada", "grant", "PROJECT_CREATOR", "--to", "ada"))
    done(run("ada", "project", "create", "fraud", "--members", str(members)))
    assert "fraud" in done(run("rob", "project", "list"))
    assert "rob" in done(run("ada", "project", "show", "fraud"))
    assert run("ada", "project", "delete", "fraud", input="fruad\n").returncode == Outcome.ERROR
    done(run("ada", "project", "delete", "fraud", input="fraud\n"))
    assert run("ada", "project", "create", "fraud").returncode == Outcome.CONFLICT
    members.write_text('[{"id": "nobody", "roles": ["NO_ROLE"]}]')
    answer = run("ada", "project", "create", "other", "--members", str(members))
    assert answer.returncode == Outcome.ERROR
    assert "/0/" in answer.stderr


def test_policy_goes_round(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "access.yaml"
    file.write_text(done(run("ada", "policy", "export")))
    assert done(run("ada", "policy", "plan", str(file))) == "", "what was exported is what is there"
    assert run("rob", "policy", "export").returncode == Outcome.DENIED

    document = yaml.safe_load(file.read_text())
    assert "churn" in document["projects"]
    document["assignments"].append(
        {"role": "PROJECT_ADMIN", "scope": "churn", "identity": "user:rob", "until": date(2099, 1, 1)}
    )
    document["assertions"] = [
        {"identity": "user:rob", "scope": "churn", "permission": "delete:training", "expect": "deny"}
    ]
    file.write_text(yaml.safe_dump(document))
    assert run("ada", "policy", "apply", str(file), "--yes").returncode == Outcome.ERROR, "its assertion does not hold"
    document["assertions"][0]["expect"] = "allow"
    file.write_text(yaml.safe_dump(document))
    plan = done(run("ada", "policy", "plan", str(file)))
    assert "user:rob" in plan
    assert "churn" in plan
    assert run("rob", "can-i", "read:training", "--project", "churn").returncode == Outcome.NOT_FOUND, (
        "a plan is a plan"
    )
    assert run("ada", "policy", "apply", str(file), input="n\n").returncode == 130
    done(run("ada", "policy", "apply", str(file), input="y\n"))
    done(run("rob", "can-i", "delete:training", "--project", "churn"))
    assert run("lead", "policy", "apply", str(file), "--yes").returncode in (Outcome.DONE, Outcome.DENIED)
    done(run("ada", "revoke", "PROJECT_ADMIN", "--from", "rob", "--project", "churn"))
    file.write_text("catalog: {roles: {r: {permissions: [read]}}, commands: []}\n")
    assert run("ada", "policy", "apply", str(file), "--yes").returncode == Outcome.CONFLICT, "never a catalog"


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
def test_no_name_becomes_sql(run: Run, text: str) -> None:
    people = done(run("ada", "user", "list", "-o", "json"))
    assert run("ada", "user", "create", text).returncode == Outcome.ERROR
    for question in (
        ("role", "holders", "--identity", f"user:{text}", "-o", "json"),
        ("role", "holders", "--role", text, "-o", "json"),
        ("limit", "show", f"user:{text}", "-o", "json"),
    ):
        answer = run("ada", *question)
        assert answer.returncode in (Outcome.DONE, Outcome.NOT_FOUND, Outcome.ERROR), answer.stderr
        if answer.returncode == Outcome.DONE:
            assert json.loads(answer.stdout).get("rows") in ([], None), "a pattern or condition matches nobody"
    assert json.loads(done(run("ada", "user", "list", "-o", "json")))["rows"] == json.loads(people)["rows"]


@pytest.mark.proves("R100")
def test_reading_the_audit_is_a_right_and_leaves_a_row(hub: HubHandle) -> None:
    def client(name: str) -> SyncClient:
        page = hub.login(name).api("POST", f"/hub/api/users/{name}/tokens", {"note": "audit", "expires_in": 600})
        return SyncClient(f"{hub.url}/services/aizen", f"token {page.json()['token']}")

    with pytest.raises(Denied):
        client("rob").get("/api/v1/audit")
    ada = client("ada")
    ada.get("/api/v1/audit?limit=1")
    rows = ada.get("/api/v1/audit?event=audit.read&identity=user:ada")["rows"]
    assert rows, "the first reading is in the second"


def test_the_doctor_sees_the_running_house(hub: HubHandle, run: Run) -> None:
    answer = run("ada", "doctor", "-c", str(hub.folder / "aizen.yaml"), "-o", "json")
    findings = {one["what"]: one for one in json.loads(answer.stdout)}
    good = [what for what, one in findings.items() if one["level"] == "ok"]
    for part in ("is ready", "keeps up with the store", "has its session", "every purpose has a key"):
        assert any(part in what for what in good), findings
    failed = [what for what, one in findings.items() if one["level"] == "fail"]
    assert len(failed) == 1, failed
    assert "the directory `lab`" in failed[0], "which nobody started"
    assert answer.returncode == Outcome.ERROR
    assert run("rob", "doctor", "-c", str(hub.folder / "aizen.yaml")).stdout.count("did not tell more") == 1


def test_whoami_in_both_forms(run: Run) -> None:
    assert json.loads(done(run("lead", "whoami", "-o", "json")))["user"] == "lead"
    answer = run("lead", "whoami")
    assert "PROJECT_ADMIN" in answer.stdout
    assert "lead" in answer.stderr

"""The scenario of the check: commands of the five personas and their expected results."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from aizen_hub.cli.exit_codes import ExitCode
from aizen_hub.client.sync_client import SyncClient
from aizen_hub.demo.browser import Browser, LoginRejectedError
from aizen_hub.demo.config import environment
from aizen_hub.demo.deployment import Deployment
from aizen_hub.demo.forged_tokens import TokenForger
from aizen_hub.demo.notebook_user import NotebookUser
from aizen_hub.demo.panel_scenario import check_panel
from aizen_hub.demo.personas import ADMIN, EXECUTOR, LEAD, PERSONAS, PROJECT, READER
from aizen_hub.demo.step_counter import StepCounter, expect
from aizen_hub.problems import NotAuthenticated, Problem
from aizen_hub.settings import Settings

ROLE_CREDENTIAL_CODE = (
    "import os, pathlib; f = os.environ.get('AIZEN_TOKEN_FILE');"
    " print(pathlib.Path(f).read_text().strip() if f else os.environ['AIZEN_TOKEN'])"
)


NEW_USER = "otto"
_ROLE_SECONDS = 15
_APPROVE_CODE = (
    "import datetime; client = get_ipython()._aizen_extension.runner.client\n"
    "until = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds={seconds})\n"
    "client.post_json('/api/v1/requests/{request}/approve', dict(until=until.isoformat()))\n"
    "print('approved')"
)


def run_scenario(deployment: Deployment, users: Mapping[str, NotebookUser], steps: StepCounter) -> None:
    """Run all parts in order; each restores the roles that it changes."""
    _check_wrong_password(deployment, steps)
    _check_every_role(users, steps)
    _check_grant_and_revoke(users, steps)
    _check_request(users, steps)
    _check_tokens(deployment, users, steps)
    _check_files(users, steps)
    _check_limit(deployment, users, steps)
    _check_command_line(deployment, users, steps)
    check_panel(deployment, users, steps, partial(_run_cli, deployment), NEW_USER)


def _check_wrong_password(deployment: Deployment, steps: StepCounter) -> None:
    with steps.step("a wrong password does not sign in"):
        try:
            Browser(deployment.ports.url).login(READER.name, "not the password")
        except LoginRejectedError:
            return
        expect(False, "it signed in")


def _check_every_role(users: Mapping[str, NotebookUser], steps: StepCounter) -> None:
    steps.heading("every role has one allowed and one denied command")
    for person in PERSONAS:
        with steps.step(f"{person.role}: `{person.allowed_command}` is executed"):
            users[person.name].run_allowed(person.allowed_command)
        with steps.step(f"{person.role}: `{person.denied_command}` is denied with a reason"):
            users[person.name].run_denied(person.denied_command)
    with steps.step("the executor's training ran in the core and has a result"):
        status = users[EXECUTOR.name].run_allowed("status training churn")
        expect("done" in json.dumps(status) or "finished" in json.dumps(status), f"it shows {status}")
    with steps.step("an unknown command returns the most similar one"):
        output = users[READER.name].run_command("lst trainings")
        expect("list trainings" in json.dumps(output), f"it shows {output}")


def _check_grant_and_revoke(users: Mapping[str, NotebookUser], steps: StepCounter) -> None:
    steps.heading("granting and revoking, in kernels that are running")
    lead, reader = users[LEAD.name], users[READER.name]
    line = "start training churn"
    with steps.step("the denial names the role and who can grant it"):
        output = reader.run_denied(line)
        expect(output["decision"].get("role") == EXECUTOR.role, f"it names {output['decision'].get('role')}")
        expect(LEAD.name in output.get("who_can_grant", ()), f"it names {output.get('who_can_grant')}")
    with steps.step(f"{LEAD.name} grants the role from a notebook"):
        lead.run_allowed(f"grant role {EXECUTOR.role} to {READER.name}")
    with steps.step("the reader's next command is executed"):
        reader.run_allowed(line)
    with steps.step(f"{LEAD.name} revokes the role"):
        lead.run_allowed(f"revoke role {EXECUTOR.role} from {READER.name}")
    with steps.step("the reader's next command is denied"):
        reader.run_denied(line)
    with steps.step("an executor cannot grant"):
        output = users[EXECUTOR.name].run_command(f"grant role PROJECT_ADMIN to {EXECUTOR.name}")
        expect(output["type"] == "refusal", f"it shows {output}")


def _check_request(users: Mapping[str, NotebookUser], steps: StepCounter) -> None:
    steps.heading("a request for a role from a refusal, its approval, and its end")
    lead, reader = users[LEAD.name], users[READER.name]
    line = "configure training asked epochs=1 pause=0"
    request = ""
    with steps.step("the refusal links to a request that is filled in"):
        ask = str(reader.run_denied(line).get("ask"))
        expect("/me/ask?" in ask and EXECUTOR.role in ask and PROJECT in ask, f"it links to {ask}")
    with steps.step(f"{READER.name} asks for the role in a cell"):
        asked = reader.run_allowed(f'request {EXECUTOR.role} for 4h because "retrain before Thursday"')
        request = str((asked.get("data") or {}).get("request"))
    with steps.step(f"{LEAD.name} approves, for {_ROLE_SECONDS} seconds"):
        lead.run_python(_APPROVE_CODE.format(request=request, seconds=_ROLE_SECONDS))
    with steps.step("the reader's next command is executed"):
        reader.run_allowed(line)
    with steps.step("the role ends by itself"):
        _wait_until(lambda: reader.run_command(line)["type"] == "refusal", "the role did not end", _ROLE_SECONDS + 60)
    with steps.step(f"{LEAD.name} grants it until the end of a duration, which is shown"):
        lead.run_allowed(f"grant role {EXECUTOR.role} to {READER.name} for 2 hours")
        roles = reader.run_allowed("%aizen whoami")["rows"]
        expect(any(row[0] == EXECUTOR.role and row[2] for row in roles), f"it shows {roles}")
        lead.run_allowed(f"revoke role {EXECUTOR.role} from {READER.name}")


def _check_tokens(deployment: Deployment, users: Mapping[str, NotebookUser], steps: StepCounter) -> None:
    steps.heading("invalid tokens")
    url = deployment.ports.service_url
    valid_token = ""
    with steps.step("the valid token is accepted"):
        valid_token = users[READER.name].run_python(ROLE_CREDENTIAL_CODE)
        me = SyncClient(url, f"Bearer {valid_token}").get("/api/v1/me")
        expect(me["user"] == READER.name and me["project"] == PROJECT, f"it returned {me}")
    if not valid_token:
        return
    forger = TokenForger(Settings.load(deployment.folder.config, {}), valid_token)
    for description, token in (
        ("forged: another name with the original signature", forger.altered()),
        ("forged: signed with another key", forger.own_key()),
        ("expired", forger.expired()),
        ("foreign: for another service", forger.other_service()),
        ("foreign: of a session that does not exist", forger.other_session()),
        ("foreign: the server's hub token", users[READER.name].run_python("print(os.environ['JUPYTERHUB_API_TOKEN'])")),
    ):
        with steps.step(f"rejected: {description}"):
            client = SyncClient(url, f"Bearer {token}")
            for call in (
                lambda client=client: client.get("/api/v1/me"),
                lambda client=client: client.post("/api/v1/commands", {"text": "list trainings"}),
            ):
                _expect_error(call, NotAuthenticated)
    with steps.step("the command line rejects a server's hub token"):
        token = users[ADMIN.name].run_python("import os; print(os.environ['JUPYTERHUB_API_TOKEN'])")
        client = SyncClient(deployment.ports.url + "/services/aizen", f"token {token}")
        _expect_error(lambda: client.get("/api/v1/me"), NotAuthenticated)


def _check_files(users: Mapping[str, NotebookUser], steps: StepCounter) -> None:
    steps.heading("users and a project from JSON files")
    admin = users[ADMIN.name]
    new_users = [
        {"id": "nora", "username": "Nora New", "email": "nora@example.org", "alerts": {"email": True, "phone": False}},
        {"id": NEW_USER, "username": "Otto Old", "email": "otto@example.org", "roles": ["PROJECT_CREATOR"]},
    ]
    members = [{"id": "nora", "roles": ["PROJECT_EXECUTOR"], "alerts": ["training"]}]
    admin.run_python(_write_json_code("people.json", new_users) + _write_json_code("members.json", members))
    with steps.step("the admin adds two users from a file"):
        admin.run_allowed("add users people.json")
        expect("nora" in json.dumps(admin.run_allowed("list users")), "nora is not in the list")
    with steps.step("a file with one invalid row changes nothing and the error names the row"):
        admin.run_python(
            _write_json_code(
                "bad.json",
                [{"id": "pia", "username": "Pia", "email": "pia@example.org"}, {"id": "quin", "roles": ["NO_ROLE"]}],
            )
        )
        output = admin.run_command("add users bad.json")
        expect(output["type"] == "refusal" and "/1/roles/0" in json.dumps(output), f"it shows {output}")
        expect("pia" not in json.dumps(admin.run_allowed("list users")), "pia was registered")
    with steps.step("the admin grants herself PROJECT_CREATOR and creates a project with members from a file"):
        admin.run_allowed(f"grant role PROJECT_CREATOR to {ADMIN.name}")
        admin.run_allowed("create project fraud,config=members.json")
        admin.run_allowed(f"revoke role PROJECT_CREATOR from {ADMIN.name}")
    with steps.step("a reader's `alter project` is denied and the denial names what is missing"):
        reader = users[READER.name]
        reader.run_python(_write_json_code("members.json", members))
        output = reader.run_denied(f"alter project {PROJECT},config=members.json")
        text = json.dumps(output)
        expect("grant:project" in text and LEAD.role in text, f"it shows {output}")


def _check_limit(deployment: Deployment, users: Mapping[str, NotebookUser], steps: StepCounter) -> None:
    steps.heading("a limit of one running job")
    executor = users[EXECUTOR.name]
    line = ["limit", "set", EXECUTOR.name, "jobs", "1", "--project", PROJECT]
    with steps.step(f"{ADMIN.name} sets the limit on the command line"):
        result = _run_cli(deployment, users[ADMIN.name], *line)
        expect(result.returncode == 0, f"exit {result.returncode}: {result.stderr}")
    with executor.in_second_notebook("start training slow") as slow:
        with steps.step("the first job runs, the second is denied and the denial names the source of the limit"):
            _wait_until(
                lambda: "running" in json.dumps(executor.run_allowed("status training slow")),
                "the first job did not start",
            )
            output = executor.run_command("start training churn")
            text = json.dumps(output)
            expect(output["type"] == "refusal" and "limit" in text and EXECUTOR.name in text, f"it shows {output}")
        with steps.step("after `stop training slow` the next job runs"):
            executor.run_allowed("stop training slow")
            executor.run_allowed("start training churn")
            expect("stopped" in slow.result(20).text, f"the first cell shows {slow.result().text[-300:]}")


def _check_command_line(deployment: Deployment, users: Mapping[str, NotebookUser], steps: StepCounter) -> None:
    steps.heading("the command line, with the user's own hub token")
    lead, reader = users[LEAD.name], users[READER.name]
    with steps.step("whoami prints the user and the role"):
        result = _run_cli(deployment, reader, "whoami", "-o", "json")
        expect(result.returncode == 0 and READER.role in result.stdout, f"{result.stdout} {result.stderr}")
    with steps.step("can-i exits with 0 for yes and with 3 for no"):
        query = ("can-i", "start training churn", "--project", PROJECT)
        yes, no = _run_cli(deployment, lead, *query), _run_cli(deployment, reader, *query)
        expect(yes.returncode == ExitCode.DONE, f"the lead: {yes.returncode} {yes.stdout} {yes.stderr}")
        expect(no.returncode == ExitCode.DENIED, f"the reader: {no.returncode} {no.stdout} {no.stderr}")


def _run_cli(deployment: Deployment, user: NotebookUser, *arguments: str) -> subprocess.CompletedProcess[str]:
    environ = {**environment(), "AIZEN_HUB_URL": deployment.ports.url, "AIZEN_HUB_TOKEN": _create_hub_token(user)}
    return subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", "from aizen_hub.cli.main import main; main()", *arguments],
        env=environ,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def _create_hub_token(user: NotebookUser) -> str:
    page = user.browser.api("POST", f"/hub/api/users/{user.person.name}/tokens", {"note": "check", "expires_in": 600})
    expect(page.status == 201, f"the hub issued no token: {page.status} {page.text[:200]}")
    return str(page.json()["token"])


def _expect_error(call: Any, error_class: type[Problem]) -> None:
    try:
        response = call()
    except error_class:
        return
    expect(False, f"it was accepted: {response}")


def _write_json_code(name: str, value: Any) -> str:
    return f"import pathlib; pathlib.Path({name!r}).write_text({json.dumps(value)!r})\n"


def _wait_until(condition: Callable[[], bool], sentence: str, seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        expect(time.monotonic() < deadline, sentence)
        time.sleep(0.1)

"""What the five people do, and what each step must show."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from aizen_hub.cli.exit_codes import Outcome
from aizen_hub.client.sync_client import SyncClient
from aizen_hub.demo.browser import Browser, LoginRefused
from aizen_hub.demo.config import environment
from aizen_hub.demo.deployment import Deployment
from aizen_hub.demo.forged_tokens import Forger
from aizen_hub.demo.notebook_user import Seat
from aizen_hub.demo.personas import ADMIN, EXECUTOR, LEAD, PEOPLE, PROJECT, READER
from aizen_hub.demo.step_counter import Tally, expect
from aizen_hub.problems import NotAuthenticated, Problem
from aizen_hub.settings import Settings

READ_IT = (
    "import os, pathlib; f = os.environ.get('AIZEN_TOKEN_FILE');"
    " print(pathlib.Path(f).read_text().strip() if f else os.environ['AIZEN_TOKEN'])"
)


def journey(deployment: Deployment, seats: Mapping[str, Seat], tally: Tally) -> None:
    """Walk through everything, one chapter after the other; each leaves the roles as it found them."""
    _wrong_password(deployment, tally)
    _every_role(seats, tally)
    _grant_and_revoke(seats, tally)
    _tokens(deployment, seats, tally)
    _files(seats, tally)
    _limit(deployment, seats, tally)
    _command_line(deployment, seats, tally)


def _wrong_password(deployment: Deployment, tally: Tally) -> None:
    with tally.step("a wrong password does not sign in"):
        try:
            Browser(deployment.ports.url).login(READER.name, "not the password")
        except LoginRefused:
            return
        expect(False, "it did")


def _every_role(seats: Mapping[str, Seat], tally: Tally) -> None:
    tally.part("every role sees one allowed and one refused command")
    for person in PEOPLE:
        with tally.step(f"{person.role}: `{person.allowed}` is carried out"):
            seats[person.name].allowed(person.allowed)
        with tally.step(f"{person.role}: `{person.refused}` is refused, with its reason"):
            seats[person.name].refused(person.refused)
    with tally.step("the executor's training ran in the core and gave a result"):
        status = seats[EXECUTOR.name].allowed("status training churn")
        expect("done" in json.dumps(status) or "finished" in json.dumps(status), f"it shows {status}")
    with tally.step("an unknown command is answered with the nearest one"):
        shown = seats[READER.name].type("lst trainings")
        expect("list trainings" in json.dumps(shown), f"it shows {shown}")


def _grant_and_revoke(seats: Mapping[str, Seat], tally: Tally) -> None:
    tally.part("granting and revoking, in kernels that are running")
    lead, reader = seats[LEAD.name], seats[READER.name]
    line = "start training churn"
    with tally.step("the refusal names the role and who could grant it"):
        shown = reader.refused(line)
        expect(shown["decision"].get("role") == EXECUTOR.role, f"it names {shown['decision'].get('role')}")
        expect(LEAD.name in shown.get("who_can_grant", ()), f"it names {shown.get('who_can_grant')}")
    with tally.step(f"{LEAD.name} grants the role from a notebook"):
        lead.allowed(f"grant role {EXECUTOR.role} to {READER.name}")
    with tally.step("the reader's next command is carried out"):
        reader.allowed(line)
    with tally.step(f"{LEAD.name} revokes it again"):
        lead.allowed(f"revoke role {EXECUTOR.role} from {READER.name}")
    with tally.step("the reader's next command is refused"):
        reader.refused(line)
    with tally.step("an executor cannot grant"):
        shown = seats[EXECUTOR.name].type(f"grant role PROJECT_ADMIN to {EXECUTOR.name}")
        expect(shown["type"] == "refusal", f"it shows {shown}")


def _tokens(deployment: Deployment, seats: Mapping[str, Seat], tally: Tally) -> None:
    tally.part("tokens that are not what they should be")
    url = deployment.ports.service_url
    genuine = ""
    with tally.step("the genuine token is accepted"):
        genuine = seats[READER.name].python(READ_IT)
        me = SyncClient(url, f"Bearer {genuine}").get("/api/v1/me")
        expect(me["user"] == READER.name and me["project"] == PROJECT, f"it is taken for {me}")
    if not genuine:
        return
    forger = Forger(Settings.load(deployment.folder.config, {}), genuine)
    for what, token in (
        ("forged: another name under a genuine signature", forger.altered()),
        ("forged: signed with another key", forger.own_key()),
        ("expired", forger.expired()),
        ("foreign: made for another service", forger.other_service()),
        ("foreign: of a session that does not exist", forger.other_session()),
        ("foreign: the server's hub token", seats[READER.name].python("print(os.environ['JUPYTERHUB_API_TOKEN'])")),
    ):
        with tally.step(f"refused: {what}"):
            client = SyncClient(url, f"Bearer {token}")
            for call in (
                lambda client=client: client.get("/api/v1/me"),
                lambda client=client: client.post("/api/v1/commands", {"text": "list trainings"}),
            ):
                _must_refuse(call, NotAuthenticated)
    with tally.step("a server's hub token is no way in for the command line"):
        token = seats[ADMIN.name].python("import os; print(os.environ['JUPYTERHUB_API_TOKEN'])")
        client = SyncClient(deployment.ports.url + "/services/aizen", f"token {token}")
        _must_refuse(lambda: client.get("/api/v1/me"), NotAuthenticated)


def _files(seats: Mapping[str, Seat], tally: Tally) -> None:
    tally.part("people and a project from JSON files")
    admin = seats[ADMIN.name]
    people = [
        {"id": "nora", "username": "Nora New", "email": "nora@example.org", "alerts": {"email": True, "phone": False}},
        {"id": "otto", "username": "Otto Old", "email": "otto@example.org", "roles": ["PROJECT_CREATOR"]},
    ]
    members = [{"id": "nora", "roles": ["PROJECT_EXECUTOR"], "alerts": ["training"]}]
    admin.python(_write("people.json", people) + _write("members.json", members))
    with tally.step("the admin adds two users from a file"):
        admin.allowed("add users people.json")
        expect("nora" in json.dumps(admin.allowed("list users")), "nora is not in the list")
    with tally.step("a file with one bad row changes nothing and names the row"):
        admin.python(
            _write(
                "bad.json",
                [{"id": "pia", "username": "Pia", "email": "pia@example.org"}, {"id": "quin", "roles": ["NO_ROLE"]}],
            )
        )
        shown = admin.type("add users bad.json")
        expect(shown["type"] == "refusal" and "/1/roles/0" in json.dumps(shown), f"it shows {shown}")
        expect("pia" not in json.dumps(admin.allowed("list users")), "pia was registered")
    with tally.step("the admin takes PROJECT_CREATOR, and makes a project with its members from a file"):
        admin.allowed(f"grant role PROJECT_CREATOR to {ADMIN.name}")
        admin.allowed("create project fraud,config=members.json")
        admin.allowed(f"revoke role PROJECT_CREATOR from {ADMIN.name}")
    with tally.step("a reader's `alter project` is refused and names what is missing"):
        reader = seats[READER.name]
        reader.python(_write("members.json", members))
        shown = reader.refused(f"alter project {PROJECT},config=members.json")
        text = json.dumps(shown)
        expect("grant:project" in text and LEAD.role in text, f"it shows {shown}")


def _limit(deployment: Deployment, seats: Mapping[str, Seat], tally: Tally) -> None:
    tally.part("a limit of one running job")
    executor = seats[EXECUTOR.name]
    line = ["limit", "set", EXECUTOR.name, "jobs", "1", "--project", PROJECT]
    with tally.step(f"{ADMIN.name} sets it on the command line"):
        answer = _run(deployment, seats[ADMIN.name], *line)
        expect(answer.returncode == 0, f"exit {answer.returncode}: {answer.stderr}")
    with executor.elsewhere("start training slow") as slow:
        with tally.step("the first job runs, the second is refused and names the limit's source"):
            _until(lambda: "running" in json.dumps(executor.allowed("status training slow")), "the first job never ran")
            shown = executor.type("start training churn")
            text = json.dumps(shown)
            expect(shown["type"] == "refusal" and "limit" in text and EXECUTOR.name in text, f"it shows {shown}")
        with tally.step("after `stop training slow` the next one runs"):
            executor.allowed("stop training slow")
            executor.allowed("start training churn")
            expect("stopped" in slow.result(20).text, f"the first cell shows {slow.result().text[-300:]}")


def _command_line(deployment: Deployment, seats: Mapping[str, Seat], tally: Tally) -> None:
    tally.part("the command line, with a hub token of one's own")
    lead, reader = seats[LEAD.name], seats[READER.name]
    with tally.step("whoami names the person and the role"):
        answer = _run(deployment, reader, "whoami", "-o", "json")
        expect(answer.returncode == 0 and READER.role in answer.stdout, f"{answer.stdout} {answer.stderr}")
    with tally.step("can-i says yes with exit code 0, and no with exit code 3"):
        question = ("can-i", "start training churn", "--project", PROJECT)
        yes, no = _run(deployment, lead, *question), _run(deployment, reader, *question)
        expect(yes.returncode == Outcome.DONE, f"the lead: {yes.returncode} {yes.stdout} {yes.stderr}")
        expect(no.returncode == Outcome.DENIED, f"the reader: {no.returncode} {no.stdout} {no.stderr}")


def _run(deployment: Deployment, seat: Seat, *arguments: str) -> subprocess.CompletedProcess[str]:
    environ = {**environment(), "AIZEN_HUB_URL": deployment.ports.url, "AIZEN_HUB_TOKEN": _hub_token(seat)}
    return subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", "from aizen_hub.cli.main import main; main()", *arguments],
        env=environ,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def _hub_token(seat: Seat) -> str:
    page = seat.browser.api("POST", f"/hub/api/users/{seat.person.name}/tokens", {"note": "check", "expires_in": 600})
    expect(page.status == 201, f"the hub gave no token: {page.status} {page.text[:200]}")
    return str(page.json()["token"])


def _must_refuse(call: Any, kind: type[Problem]) -> None:
    try:
        answer = call()
    except kind:
        return
    expect(False, f"it was accepted: {answer}")


def _write(name: str, value: Any) -> str:
    return f"import pathlib; pathlib.Path({name!r}).write_text({json.dumps(value)!r})\n"


def _until(true: Callable[[], bool], sentence: str, seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        expect(time.monotonic() < end, sentence)
        time.sleep(0.1)

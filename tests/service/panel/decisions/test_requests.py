"""Page *Requests*: the queue, one request with what helps to decide it, and the decisions."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest

from aizen_hub.accounts.roles import access_requests, assignments, custom_roles
from aizen_hub.rbac.identity import Identity
from aizen_hub.store.actor import Actor, Channel
from aizen_hub.store.transaction import WriteTransaction
from tests.service.conftest import Driver
from tests.service.panel.window import FakeHub, Window

BOSS = Actor(Identity.user("boss"), Channel.PANEL)


def ask(driver: Driver, user: str, role: str = "PROJECT_EXECUTOR", days: int | None = 7, reason: str = "demo") -> str:
    with driver.context.store.write(Actor(Identity.user(user), Channel.PANEL)) as tx:
        until = None if days is None else tx.now + timedelta(days=days)
        made: str = access_requests.request_access(tx, role, "p1", reason=reason, until=until).data["request"]
    return made


def find(driver: Driver, role: str, user: str) -> object:
    with driver.context.store.read() as tx:
        return assignments.find_assignment(tx, role, "p1", Identity.user(user))


async def test_the_queue_and_one_request(hub_service: Driver, window: Window) -> None:
    request = ask(hub_service, "rob", reason="<i>retrain</i>")
    session = await hub_service.open("rob")
    for _ in range(2):
        await hub_service.command(session, "start training churn")
    await window.sign_in("ada", "me")
    queue = (await window.get("requests")).body.decode()
    assert f'href="/services/aizen/requests/{request}"' in queue
    text = (await window.get(f"requests/{request}")).body.decode()
    assert "<i>retrain</i>" not in text
    assert "&lt;i&gt;retrain&lt;/i&gt;" in text
    assert "rob asks for PROJECT_EXECUTOR in p1" in text
    assert re.search(r"\d+ more commands in p1, on top of \d+:", text)
    assert re.search(r"<b>Training</b>: [^<]*run", text)
    assert "<code>start training</code></a> 2 times" in text
    assert re.search(r"still could not do</b><span class=\"az-sub\">Delete", text)
    assert "eve" in text, "who has the role already"


@pytest.mark.proves("R72")
@pytest.mark.parametrize(("user", "status"), [("eve", 404), ("zoe", 404), ("nil", 404), ("ada", 200), ("rob", 200)])
async def test_who_sees_a_request(hub_service: Driver, window: Window, user: str, status: int) -> None:
    request = ask(hub_service, "rob")
    await window.sign_in(user, "me")
    answer = await window.get(f"requests/{request}")
    assert answer.status == status
    assert (b'id="aizen-approve"' in answer.body) == (user == "ada")
    if status == 404:
        unknown = await window.get(f"requests/{'f' * 32}")
        assert unknown.status == 404
    assert (request.encode() in (await window.get("requests")).body) == (user == "ada")


async def test_a_request_is_approved_for_less_time(hub_service: Driver, window: Window) -> None:
    request = ask(hub_service, "rob", days=20)
    token = await window.sign_in("ada", "me")
    page = f"requests/{request}"
    form = {"xsrf": token, "give": "PROJECT_EXECUTOR", "note": "one week is enough"}
    longer = await window.post(f"{page}/approve", {**form, "until": "30d"})
    assert longer.status == 422, longer.body
    assert b"at most" in longer.body
    assert b"one week is enough" in longer.body, "what was typed stays"
    approved = await window.post(f"{page}/approve", {**form, "until": "7d"})
    assert approved.status == 303, approved.body
    row = find(hub_service, "PROJECT_EXECUTOR", "rob")
    assert row is not None
    assert row.ends == row.granted + timedelta(days=7)  # type: ignore[attr-defined]
    text = (await window.get("requests")).body.decode()
    assert "Approved: you gave rob PROJECT_EXECUTOR in p1." in text
    assert "<bdi>one week is enough</bdi>" in text
    undo = re.search(r'name="undo" value="([0-9a-f]+)"', text)
    assert undo is not None
    await window.post("undo", {"xsrf": token, "undo": undo[1], "back": ""})
    assert find(hub_service, "PROJECT_EXECUTOR", "rob") is None


async def test_a_smaller_role_is_offered_and_given(hub_service: Driver, window: Window) -> None:
    with hub_service.context.store.write(BOSS) as tx:
        custom_roles.create_role(tx, "TRAINER", permissions=["execute:training"], scopes=["project"])
    request = ask(hub_service, "rob")
    session = await hub_service.open("rob")
    await hub_service.command(session, "start training churn")
    token = await window.sign_in("ada", "me")
    text = (await window.get(f"requests/{request}")).body.decode()
    assert "A smaller role would do" in text
    form = {"xsrf": token, "until": "longest", "give": "TRAINER"}
    assert (await window.post(f"requests/{request}/approve", form)).status == 303
    assert find(hub_service, "TRAINER", "rob") is not None
    assert find(hub_service, "PROJECT_EXECUTOR", "rob") is None
    assert "Waiting" not in (await window.get(f"requests/{request}")).body.decode().split("<main")[1]


@pytest.mark.parametrize("give", ["PROJECT_ADMIN", "AIZEN_ADMIN", "NOTHING"])
async def test_more_than_asked_is_not_given(hub_service: Driver, window: Window, give: str) -> None:
    request = ask(hub_service, "rob")
    token = await window.sign_in("ada", "me")
    answer = await window.post(f"requests/{request}/approve", {"xsrf": token, "until": "longest", "give": give})
    assert answer.status == 422
    assert find(hub_service, give, "rob") is None


@pytest.mark.parametrize(("comment", "status"), [("", 422), ("no", 422), ("Executor is enough", 303)])
async def test_a_denial_needs_a_sentence(hub_service: Driver, window: Window, comment: str, status: int) -> None:
    request = ask(hub_service, "rob", "PROJECT_ADMIN")
    token = await window.sign_in("ada", "me")
    answer = await window.post(f"requests/{request}/deny", {"xsrf": token, "comment": comment})
    assert answer.status == status
    if status == 303:
        own = Window(hub_service, window.hub)
        await own.sign_in("rob", "me")
        text = (await own.get(f"requests/{request}")).body.decode()
        assert "Denied" in text
        assert comment in text


async def test_an_own_request_is_withdrawn_and_not_decided(hub_service: Driver, hub: FakeHub) -> None:
    request = ask(hub_service, "rob")
    window = Window(hub_service, hub)
    token = await window.sign_in("rob", "me")
    refused = await window.post(
        f"requests/{request}/approve", {"xsrf": token, "until": "longest", "give": "PROJECT_EXECUTOR"}
    )
    assert refused.status in (404, 422)
    assert find(hub_service, "PROJECT_EXECUTOR", "rob") is None
    assert (await window.post(f"requests/{request}/withdraw", {"xsrf": token})).status == 303
    assert b"Withdrawn" in (await window.get(f"requests/{request}")).body


async def test_a_grant_by_any_channel_settles_it(hub_service: Driver, window: Window) -> None:
    request = ask(hub_service, "rob")

    def grant(tx: WriteTransaction) -> None:
        assignments.grant_roles(tx, ["PROJECT_EXECUTOR"], "p1", Identity.user("rob"))

    with hub_service.context.store.write(Actor(Identity.user("ada"), Channel.CLI)) as tx:
        grant(tx)
    token = await window.sign_in("ada", "me")
    assert request.encode() not in (await window.get("requests")).body.split(b'id="decided"')[0]
    late = await window.post(f"requests/{request}/deny", {"xsrf": token, "comment": "too late now"})
    assert late.status == 422
    assert b"already confirmed" in late.body

"""Access requests: refused when they cannot be granted, told to those concerned, and named by a short id."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from aizen_hub.accounts import pending_changes
from aizen_hub.accounts.roles import access_requests
from aizen_hub.accounts.users import profiles
from aizen_hub.problems import BadInput, Conflict, NotFound, Problem, TooManyRequests
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.settings import AlertSettings, MailSettings
from aizen_hub.store import tables
from tests.accounts.harness import OPERATOR, AccountsHarness


def request(sandbox: AccountsHarness, role: str, scope: str = "p1", who: str = "tim", **more: Any) -> str:
    request_id: str = sandbox.execute(who, access_requests.request_access, role, scope, **more).data["request"]
    return request_id


@pytest.fixture
def mailing(sandbox: AccountsHarness, monkeypatch: pytest.MonkeyPatch) -> AccountsHarness:
    """Users with a mail address, and a service that sends alerts."""
    mail = MailSettings(host="mail.example.org", sender="hub@example.org")
    settings = sandbox.settings.model_copy(update={"alerts": AlertSettings(mail=mail)})
    monkeypatch.setattr(sandbox.outer_tx, "settings", settings)
    for name in ("tim", "paul", "rita"):
        sandbox.execute(name, profiles.update_user, name, email=f"{name}@example.org", alerts={"email": True})
    return sandbox


def alerts_of(sandbox: AccountsHarness) -> list[tuple[str, str]]:
    with sandbox.read() as tx:
        rows = tx.conn.execute(tables.outbox.select().order_by(tables.outbox.c.id)).all()
    return [(row.recipient, row.event) for row in rows]


@pytest.mark.parametrize(
    ("who", "role", "scope", "problem", "words"),
    [
        ("tim", "PROJECT_READER", SYSTEM, BadInput, "project role"),
        ("tim", "PROJECT_CREATOR", "p1", BadInput, "system role"),
        ("rita", "PROJECT_READER", "p1", Conflict, "already have"),
        ("tim", "PROJECT_READER", "nowhere", NotFound, "no project `nowhere`"),
        ("admin", "PROJECT_CREATOR", SYSTEM, Conflict, "to yourself, without a request"),
    ],
)
def test_a_request_that_cannot_be_granted_is_refused(
    sandbox: AccountsHarness, who: str, role: str, scope: str, problem: type[Problem], words: str
) -> None:
    before = sandbox.state()
    with pytest.raises(problem) as caught:
        request(sandbox, role, scope, who)
    assert words in caught.value.detail
    assert sandbox.state() == before


def test_a_role_that_ends_can_be_requested_for_longer(sandbox: AccountsHarness) -> None:
    end = sandbox.now() + timedelta(days=2)
    request_id = request(sandbox, "PROJECT_READER", until=end)
    sandbox.execute("paul", access_requests.approve_request, request_id)
    with pytest.raises(Conflict):
        request(sandbox, "PROJECT_READER", until=end)
    later = request(sandbox, "PROJECT_READER", until=end + timedelta(days=1))
    assert sandbox.execute("paul", access_requests.list_decidable_requests).rows[0][0] == later


def test_the_requested_end_is_shown_and_an_earlier_one_can_be_given(sandbox: AccountsHarness) -> None:
    end = sandbox.now() + timedelta(days=30)
    request_id = request(sandbox, "PROJECT_READER", until=end)
    for who, list_them in (("paul", access_requests.list_decidable_requests), ("paul", access_requests.list_requests)):
        table = sandbox.execute(who, list_them)
        assert table.rows[0][table.columns.index("until")] == end
    earlier = end - timedelta(days=20)
    sandbox.execute("paul", access_requests.approve_request, request_id, until=earlier)
    with sandbox.read() as tx:
        (held,) = tx.rights(Identity.user("tim")).held_roles
        own = access_requests.list_own_requests(tx, Identity.user("tim"))
    assert held.interval.ends == earlier
    assert own.rows[0][own.columns.index("until")] == end, "a decided request still says what was asked for"


def test_the_list_of_an_approver_begins_with_what_waits(sandbox: AccountsHarness) -> None:
    request(sandbox, "PROJECT_READER", "p2", "paul")
    waiting = request(sandbox, "PROJECT_EXECUTOR")
    table = sandbox.execute("paul", access_requests.list_requests)
    state = table.columns.index("state")
    assert [(row[1], row[state]) for row in table.rows] == [("user:tim", "waiting for you"), ("user:paul", "waiting")]
    assert table.rows[0][0] == waiting
    assert [row[1] for row in sandbox.execute("tim", access_requests.list_requests).rows] == ["user:tim"]


def test_an_own_request_is_not_decidable_beside_those_of_others_for_the_same_role(sandbox: AccountsHarness) -> None:
    sandbox.grant("PROJECT_ADMIN", "p1", "carl")
    others = {request(sandbox, "PROJECT_EXECUTOR", "p1", who) for who in ("tim", "zoe")}
    own = request(sandbox, "PROJECT_EXECUTOR", "p1", "carl")
    assert {row[0] for row in sandbox.execute("paul", access_requests.list_decidable_requests).rows} == {*others, own}
    assert {row[0] for row in sandbox.execute("carl", access_requests.list_decidable_requests).rows} == others


@pytest.mark.parametrize("length", [4, 8, 31, 32])
def test_the_beginning_of_an_id_names_a_request(sandbox: AccountsHarness, length: int) -> None:
    request_id = request(sandbox, "PROJECT_READER")
    sandbox.execute("paul", access_requests.approve_request, request_id[:length])
    assert sandbox.roles_of("tim", "p1") == {"PROJECT_READER"}


def test_an_id_that_is_too_short_or_ambiguous_names_nothing(sandbox: AccountsHarness) -> None:
    request_id = request(sandbox, "PROJECT_READER")
    for text in (request_id[:3], "", request_id[:8].upper() + "G", "%" * 8, request_id + "0"):
        with pytest.raises(NotFound):
            sandbox.execute("paul", access_requests.approve_request, text)
    twin = request_id[:10] + "0" * 22

    def add_twin(tx: Any) -> None:
        row = tx.conn.execute(tables.pending_changes.select()).mappings().one()
        tx.conn.execute(tables.pending_changes.insert().values({**row, "id": twin}))

    sandbox.execute(OPERATOR, add_twin)
    with pytest.raises(BadInput, match="more than one"):
        sandbox.execute("paul", access_requests.deny_request, request_id[:10])
    sandbox.execute("paul", access_requests.deny_request, request_id, comment="no")


@pytest.mark.proves("R72")
def test_the_beginning_of_an_id_tells_nothing_to_others(sandbox: AccountsHarness) -> None:
    """A user who tries beginnings learns of no request that they may not see, and is not hindered by it."""
    request_id = request(sandbox, "PROJECT_CREATOR", SYSTEM, "rita")
    for who, operation in (
        ("zoe", access_requests.deny_request),
        ("emma", access_requests.approve_request),
        ("zoe", access_requests.withdraw_request),
    ):
        with pytest.raises(NotFound) as caught:
            sandbox.execute(who, operation, request_id[:4])
        assert caught.value.to_json() == pending_changes.pending_not_found().to_json()
    twin = request(sandbox, "PROJECT_READER")
    beginning = request_id[:4] + twin[4:]
    p = tables.pending_changes
    sandbox.execute(OPERATOR, lambda tx: tx.conn.execute(p.update().where(p.c.id == twin).values(id=beginning)))
    sandbox.execute("tim", access_requests.withdraw_request, request_id[:4])
    with pytest.raises(Conflict, match="already rejected"):
        sandbox.execute("paul", access_requests.deny_request, request_id[:4])
    sandbox.execute("rita", access_requests.withdraw_request, request_id[:4])


def test_withdrawn_requests_count_for_a_day(sandbox: AccountsHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asking and withdrawing in a loop alerts no approver without end."""
    monkeypatch.setattr(access_requests, "MAX_PENDING_PER_USER", 3)
    for _ in range(3):
        sandbox.execute("tim", access_requests.withdraw_request, request(sandbox, "PROJECT_READER"))
    with pytest.raises(TooManyRequests, match="3 requests within 24 hours"):
        request(sandbox, "PROJECT_READER")
    yesterday = sandbox.now() - timedelta(hours=24)
    sandbox.execute(OPERATOR, lambda tx: tx.conn.execute(tables.pending_changes.update().values(requested=yesterday)))
    request(sandbox, "PROJECT_READER")


def test_approvers_and_requesters_are_alerted(mailing: AccountsHarness) -> None:
    first = request(mailing, "PROJECT_READER", reason="for the audit")
    assert alerts_of(mailing) == [("paul", "access-requested")], "rita, a reader, cannot grant it"
    mailing.execute("paul", access_requests.deny_request, first, comment="ask olga")
    assert alerts_of(mailing)[1:] == [("tim", "request-denied")]
    mailing.execute("paul", access_requests.approve_request, request(mailing, "PROJECT_READER"))
    assert alerts_of(mailing)[2:] == [("paul", "access-requested"), ("tim", "role-granted")]
    request(mailing, "PROJECT_EXECUTOR")
    mailing.execute(OPERATOR, lambda tx: tx.conn.execute(tables.pending_changes.update().values(expires=tx.now)))
    mailing.execute(OPERATOR, pending_changes.expire_changes)
    assert alerts_of(mailing)[-1] == ("tim", "request-expired")


def test_the_subscribers_of_access_are_alerted_of_role_changes(mailing: AccountsHarness) -> None:
    members = [
        {"id": "paul", "roles": ["PROJECT_ADMIN"], "alerts": ["access"]},
        {"id": "emma", "roles": ["PROJECT_EXECUTOR"]},
        {"id": "rita", "roles": ["PROJECT_READER"], "alerts": ["access"]},
    ]
    mailing.run_command("paul", "alter project p1,config=m", files={"m": json.dumps(members)})
    assert alerts_of(mailing) == []
    mailing.run_command("paul", "grant role PROJECT_READER to tim", project="p1")
    mailing.run_command("paul", "revoke role PROJECT_READER from rita", project="p1")
    assert alerts_of(mailing) == [
        ("tim", "role-granted"),
        ("paul", "member-role-granted"),
        ("rita", "member-role-granted"),
        ("rita", "role-revoked"),
        ("paul", "member-role-revoked"),
    ]

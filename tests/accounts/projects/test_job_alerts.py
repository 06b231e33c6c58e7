"""Alerts that users choose for themselves, and who is told of a job."""

from __future__ import annotations

from typing import Any

import pytest

from aizen_hub.accounts.projects import job_alerts, leaving
from aizen_hub.accounts.users import profiles
from aizen_hub.alerts.message import AlertEvent
from aizen_hub.alerts.outbox import alert_project_subscribers
from aizen_hub.problems import BadInput, NotFound
from aizen_hub.settings import AlertSettings, MailSettings
from aizen_hub.store import tables
from tests.accounts.harness import OPERATOR, AccountsHarness

MAIL = AlertSettings(mail=MailSettings(host="mail.example.org", sender="hub@example.org"))


@pytest.fixture
def mailing(sandbox: AccountsHarness, monkeypatch: pytest.MonkeyPatch) -> AccountsHarness:
    monkeypatch.setattr(sandbox.outer_tx, "settings", sandbox.settings.model_copy(update={"alerts": MAIL}))
    for name in ("emma", "rita"):
        sandbox.execute(
            "admin", profiles.update_user, name, email=f"{name}@example.org", alerts={"email": True, "phone": False}
        )
    return sandbox


def told(harness: AccountsHarness, service: str) -> list[str]:
    """Return who is told of a job of a kind."""

    def end_job(tx: Any) -> list[str]:
        tx.conn.execute(tables.outbox.delete())
        alert_project_subscribers(tx, "p1", service, AlertEvent.JOB_FAILED, {})
        return [row.recipient for row in tx.conn.execute(tables.outbox.select()) if row.channel == "email"]

    return sorted(harness.execute(OPERATOR, end_job))


def test_who_chose_a_kind_of_job_is_told_of_it_alone(mailing: AccountsHarness) -> None:
    mailing.execute("emma", job_alerts.choose_services, "p1", ["training", "prediction"])
    mailing.execute("rita", job_alerts.choose_services, "p1", ["training"])
    assert (told(mailing, "training"), told(mailing, "prediction")) == (["emma", "rita"], ["emma"])
    mailing.execute("emma", job_alerts.choose_services, "p1", ["dataset"])
    assert (told(mailing, "training"), told(mailing, "prediction")) == (["rita"], [])
    with mailing.write(mailing.actor("emma")) as tx:
        assert job_alerts.own_services(tx, "p1") == ["dataset"]


@pytest.mark.proves("R72")
def test_who_left_the_project_hears_nothing_of_it(mailing: AccountsHarness) -> None:
    mailing.execute("emma", job_alerts.choose_services, "p1", ["training"])
    mailing.execute("emma", leaving.leave_project, "p1")
    assert told(mailing, "training") == []
    mailing.grant("PROJECT_READER", "p1", "emma")
    assert told(mailing, "training") == ["emma"]


@pytest.mark.proves("R72")
def test_a_project_of_others_is_as_one_that_does_not_exist(mailing: AccountsHarness) -> None:
    problems = []
    for project in ("p2", "nowhere"):
        with pytest.raises(NotFound) as caught:
            mailing.execute("emma", job_alerts.choose_services, project, ["training"])
        problems.append(caught.value.detail.replace(project, "x"))
    assert problems[0] == problems[1]


def test_changes_of_roles_are_offered_to_those_who_may_read_them(mailing: AccountsHarness) -> None:
    with pytest.raises(BadInput):
        mailing.execute("emma", job_alerts.choose_services, "p1", ["access"])
    with pytest.raises(BadInput):
        mailing.execute("emma", job_alerts.choose_services, "p1", ["no such kind"])
    mailing.execute("paul", job_alerts.choose_services, "p1", ["access"])
    assert told(mailing, "access") == []
    with mailing.write(mailing.actor("paul")) as tx:
        assert job_alerts.own_services(tx, "p1") == ["access"]

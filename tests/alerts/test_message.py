"""Texts of alerts: what is not known is left out, not shown as a dash."""

from __future__ import annotations

from typing import Any

import pytest

from aizen_hub.alerts.message import AlertEvent, compose_message

VALUES = {
    "role": "PROJECT_READER", "scope": "fraud", "by": "root", "user": "bob", "request": "1a2b3c4d",
    "expires": "2026-12-14T00:00:00Z", "command": "start training churn", "outcome": "failed",
    "target": "user bob",
}  # fmt: skip
OPTIONAL = {"until": "2026-12-01T00:00:00Z", "reason": "joins the team", "comment": "welcome"}


@pytest.mark.parametrize("event", list(AlertEvent))
@pytest.mark.parametrize("missing", [{}, dict.fromkeys(OPTIONAL), dict.fromkeys(OPTIONAL, "")])
def test_a_message_has_no_empty_part(event: AlertEvent, missing: dict[str, Any]) -> None:
    always_ends = event in (AlertEvent.ACCESS_EXPIRING, AlertEvent.CREDENTIAL_ISSUED)
    until = {"until": OPTIONAL["until"]} if always_ends else {}
    message = compose_message(event, {**VALUES, **missing, **until})
    for text in (message.subject, message.body):
        assert " -" not in text
        assert "None" not in text
    assert "until ." not in message.body


@pytest.mark.parametrize("event", list(AlertEvent))
def test_a_message_has_all_that_is_known(event: AlertEvent) -> None:
    body = compose_message(event, VALUES | OPTIONAL).body
    if event in (AlertEvent.ROLE_GRANTED, AlertEvent.MEMBER_ROLE_GRANTED, AlertEvent.ACCESS_REQUESTED):
        assert ", until 2026-12-01T00:00:00Z.\nReason: joins the team" in body
    if event in (AlertEvent.REQUEST_DENIED, AlertEvent.REQUEST_GRANTED):
        assert "\nComment: welcome" in body


def test_a_role_without_an_end() -> None:
    body = compose_message(AlertEvent.ROLE_GRANTED, {**VALUES, "scope": "system", "until": None}).body
    assert body == "root gave you the role PROJECT_READER in the system.\nIt applies from your next command."


def test_a_message_leads_to_its_page_where_the_address_of_the_panel_is_known() -> None:
    payload = {"by": "tim", "role": "PROJECT_READER", "scope": "churn", "page": "requests/0f5a"}
    panel = "https://hub.example.org/services/aizen/"
    assert f"{panel}requests/0f5a" in compose_message(AlertEvent.ACCESS_REQUESTED, payload, panel).body
    assert "requests/0f5a" not in compose_message(AlertEvent.ACCESS_REQUESTED, payload).body

"""The steps that undo grants and revocations."""

from __future__ import annotations

from aizen_hub.service.panel.assignment_undo import offer_restoration, undo_steps
from aizen_hub.service.panel.undo import MAX_STEPS
from tests.fixtures.browser.panel import PanelService

KEY = {"role": "READER", "scope": "churn", "identity": "user:rita"}
HELD = {"starts": None, "ends": "2027-01-01T00:00:00+00:00", "reason": "campaign"}


def test_what_was_not_there_is_revoked_and_what_was_is_granted() -> None:
    arguments = {"roles": ["READER"], "scope": "churn", "identity": "user:rita"}
    steps = undo_steps([{**KEY, "held": None}, {**KEY, "held": HELD}])
    assert steps == [("revoke", arguments), ("grant", {**arguments, **HELD})]


def test_nothing_is_offered_where_nothing_changed_or_too_much_did(panel: PanelService) -> None:
    assert panel.write("boss", lambda tx: offer_restoration(tx, "nothing", [])) is None
    many = [{**KEY, "held": None}] * (MAX_STEPS + 1)
    assert panel.write("boss", lambda tx: offer_restoration(tx, "much", many)) is None
    assert panel.write("boss", lambda tx: offer_restoration(tx, "one", many[:1])) is not None

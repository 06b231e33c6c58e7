"""Page *Policy*: export, plan, carry out with progress."""

from __future__ import annotations

import asyncio
import re

import pytest
import yaml

from aizen_hub.rbac.identity import Identity
from tests.fixtures.browser.panel import PanelService
from tests.fixtures.timing import until


def ended_page(panel: PanelService, location: str) -> str:
    """Return the page of an operation when it has ended."""
    path = location.removeprefix("/services/aizen/")
    pages: list[str] = []

    def has_ended() -> bool:
        pages.append(panel.get("boss", path))
        return "hx-trigger" not in re.search(r'<div id="progress"[^>]*>', pages[-1]).group()  # type: ignore[union-attr]

    asyncio.run(until(has_ended))
    return pages[-1]


def plan_of(panel: PanelService, policy: object) -> tuple[str, str]:
    """Plan a file; return the page of the plan when it has ended, and its id."""
    planned = panel.post("boss", "policy", {"policy": yaml.safe_dump(policy), "act": "plan"})
    assert planned.status == 200
    page = planned.body.decode()
    assert 'id="aizen-apply"' not in page, "nothing is carried out before its plan has ended"
    match = re.search(r'hx-get="([^"]*/policy/([0-9a-f]+)[?]with_file=yes)"', page)
    assert match is not None
    return ended_page(panel, match.group(1)), match.group(2)


def test_the_export_planned_changes_nothing_and_a_change_is_carried_out(panel: PanelService) -> None:
    policy = yaml.safe_load(panel.get("boss", "policy/-/export"))
    assert "The file says what is so already" in plan_of(panel, policy)[0]
    policy["assignments"].append({"role": "PROJECT_ADMIN", "scope": "p2", "identity": "user:eve"})
    page, plan = plan_of(panel, policy)
    assert "PROJECT_ADMIN" in page
    assert "Nothing was changed" in page
    assert ("PROJECT_ADMIN", "p2") not in roles_of_eve(panel)
    assert 'id="aizen-apply"' in page, "what was planned can be carried out from here"
    started = panel.post("boss", "policy", {"policy": yaml.safe_dump(policy), "act": "apply", "plan": plan})
    assert started.status == 303
    assert 'class="az-note ok"' in ended_page(panel, started.headers["Location"])
    assert ("PROJECT_ADMIN", "p2") in roles_of_eve(panel)


def test_only_the_file_that_was_planned_is_carried_out(panel: PanelService) -> None:
    policy = yaml.safe_load(panel.get("boss", "policy/-/export"))
    policy["assignments"].append({"role": "PROJECT_ADMIN", "scope": "p2", "identity": "user:maker"})
    text = yaml.safe_dump(policy)
    page, plan = plan_of(panel, policy)
    assert "az-note ok" in page
    policy["assignments"].append({"role": "PROJECT_ADMIN", "scope": "p2", "identity": "user:rob"})
    for changed in (
        {"policy": text, "plan": ""},
        {"policy": text, "plan": "0" * 32},
        {"policy": yaml.safe_dump(policy), "plan": plan},
        {"policy": text, "plan": plan, "prune": "on"},
    ):
        response = panel.post("boss", "policy", {**changed, "act": "apply"})
        assert response.status == 422, changed
        assert b"plan" in response.body
    response = panel.post("boss", "policy", {"policy": text, "plan": plan, "act": "apply"})
    assert response.status == 303, response.body


def roles_of_eve(panel: PanelService) -> set[tuple[str, str]]:
    with panel.store.read() as tx:
        return {(held.role, held.scope) for held in tx.rights(Identity.user("eve")).held_roles}


def test_a_wrong_file_is_shown_again(panel: PanelService) -> None:
    for text in ("", "a: [", "assignments: [{role: NOTHING, to: 'user:eve', scope: p1}]", "[]"):
        answer = panel.post("boss", "policy", {"policy": text, "act": "plan"})
        assert answer.status == 422, text
        assert b'id="policy-error"' in answer.body, text


@pytest.mark.proves("R72")
@pytest.mark.parametrize("act", ["plan", "apply", ""])
def test_who_may_not_read_access_starts_nothing(panel: PanelService, act: str) -> None:
    """A plan tells which of its roles are given already; and a file that is parsed for nothing takes time."""
    faulty = "assignments: [&a [*a"
    assert panel.post("ada", "policy", {"policy": faulty, "act": act}).status == 404

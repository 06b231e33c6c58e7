"""Rotating a key in the panel."""

from __future__ import annotations

from aizen_hub.tokens.keys import KeyState, Purpose
from tests.fixtures.browser.panel import PanelService


def signing_key(panel: PanelService) -> str:
    with panel.store.read() as tx:
        keys = panel.driver.context.keys.list_keys(tx)
    (kid,) = [key.kid for key in keys if key.purpose is Purpose.ROLE and key.state is KeyState.SIGNING]
    return kid


def test_a_key_is_rotated_after_a_recent_sign_in(panel: PanelService) -> None:
    before = signing_key(panel)
    assert "aizen-sign-in-again" in panel.get("boss", "system/keys/role")
    assert panel.post("boss", "system/keys", {"purpose": "role"}).status == 403
    panel.sign_in_again("boss")
    assert "aizen-rotate" in panel.get("boss", "system/keys/role")
    assert panel.post("boss", "system/keys", {"purpose": "role"}).status == 303
    assert signing_key(panel) != before
    assert panel.run(panel.window("boss").get("system/keys/nothing")).status == 404


def test_others_rotate_nothing(panel: PanelService) -> None:
    before = signing_key(panel)
    for user in ("ada", "nil"):
        panel.sign_in_again(user)
        assert panel.post(user, "system/keys", {"purpose": "role"}).status == 403
    assert signing_key(panel) == before

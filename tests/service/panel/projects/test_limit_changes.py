"""The preview of a limit in a project: whose limit becomes lower or higher, before it is set."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest

from aizen_hub.accounts.groups import management, membership
from aizen_hub.accounts.roles import assignments, custom_roles, limits
from aizen_hub.accounts.users import registration
from aizen_hub.authorization import checks
from aizen_hub.rbac.assignment import Interval
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import LimitKind
from aizen_hub.service.factory import SERVICE_ACTOR
from aizen_hub.service.panel.projects import limit_changes
from tests.fixtures.browser.panel import PanelService
from tests.service.panel.projects.objects import post, seed, status, words

__all__ = ["seed"]
PAGE = "projects/churn/settings/limit"


def preview(panel: PanelService, user: str = "boss", **fields: str) -> str:
    """Return the words of a preview."""
    return words(panel.get(user, f"{PAGE}?{urlencode(fields)}"))


@pytest.mark.proves("R60")
def test_whose_limit_changes_is_shown_and_nothing_is_changed(panel: PanelService) -> None:
    def bound(name: str) -> float | None:
        with panel.store.read() as tx:
            limit = limits.limits_of(tx, Identity.user(name), "churn").get(LimitKind.JOBS)
        return None if limit is None else limit.value

    post(panel, "boss", PAGE, holder="sam", kind="jobs", value="5")
    content = preview(panel, holder="group:crew, rita", kind="jobs", value="3")
    assert "rita lower from no limit to 3" in content
    assert "sam lower from 5 to 3" in content
    assert (bound("sam"), bound("rita")) == (5, None)
    assert "No one's limit changes" in preview(panel, holder="group:crew", kind="jobs", value="9")
    assert "sam higher from 5 to no limit" in preview(panel, holder="user:sam", kind="jobs", value="")
    assert bound("sam") == 5
    post(panel, "boss", PAGE, holder="user:sam", kind="jobs", value="")
    assert bound("sam") is None


def test_a_preview_of_a_group_without_members(panel: PanelService) -> None:
    panel.write("boss", lambda tx: management.create_group(tx, "vacant"))
    content = preview(panel, holder="group:vacant", kind="memory", value="8 GiB")
    assert "there is no one to whom it applies" in content
    assert "at most 8 GiB memory" in content


def test_the_accounts_beyond_those_compared_are_counted(panel: PanelService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limit_changes, "MAX_EXAMINED", 1)
    content = preview(panel, holder="group:crew, rita, bea", kind="jobs", value="3")
    assert content.count(" lower from ") == 1
    assert "The first 1 of 3 accounts were compared; it applies to 2 more." in content


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"holder": "rita", "kind": "jobs", "value": "many"}, "value"),
        ({"holder": "ghost", "kind": "jobs", "value": "3"}, "holder"),
        ({"holder": "", "kind": "jobs", "value": "3"}, "holder"),
    ],
)
def test_errors_are_shown_in_the_form(panel: PanelService, fields: dict[str, str], field: str) -> None:
    response = panel.run(panel.window("boss").get(f"{PAGE}?{urlencode(fields)}"))
    assert response.status == 422
    assert f'id="{field}-error"' in response.body.decode()


@pytest.mark.proves("R60", "R72")
@pytest.mark.parametrize("user", ["paul", "rita", "nil"])
@pytest.mark.parametrize("holder", ["rita", "ghost"])
def test_who_may_not_set_limits_learns_nothing(panel: PanelService, user: str, holder: str) -> None:
    assert status(panel, user, f"{PAGE}?holder={holder}&kind=jobs&value=3") in (403, 404)


@pytest.mark.proves("R72")
def test_only_accounts_that_the_viewer_may_see_are_named_and_counted(panel: PanelService) -> None:
    """A keeper of limits in one project sees its members, and not those of a group that has nothing there."""
    with panel.store.write(SERVICE_ACTOR) as tx:
        for name in ("keeper", "hidden"):
            registration.create_user(tx, name, provider="lab")
        needed = checks.endpoint_permission(tx, "limits")
        custom_roles.create_role(tx, "KEEPER", permissions=[str(needed)])
        keeper = Identity.user("keeper")
        for role in ("KEEPER", "PROJECT_ADMIN"):
            assignments.unauthorized_write_assignment(tx, role, "churn", keeper, interval=Interval(), reason="seeded")
        management.create_group(tx, "secret")
        membership.add_member(tx, "secret", Identity.user("hidden"))
    content = preview(panel, "keeper", holder="rita, group:secret", kind="jobs", value="3")
    assert "rita lower from no limit to 3" in content
    assert "hidden" not in content
    assert "Only accounts that you may see are listed and counted." in content
    assert "hidden lower" in preview(panel, holder="rita, group:secret", kind="jobs", value="3")

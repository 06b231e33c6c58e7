"""The navigation of the panel: two groups of pages, of which each user sees those that hold something for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from aizen_hub.service.panel.visibility import Viewer

Condition = Callable[[Viewer], bool]


@dataclass(frozen=True, slots=True)
class Entry:
    """A page in the navigation.

    Attributes
    ----------
    path : str
        Below the prefix; pages below it belong to the entry too.
    label, icon : str
    is_shown : callable
        Whether the page holds something for a viewer. It is no check: the page itself decides what it shows.
    badge : str or None
        Key of the count of what waits, in `waiting_counts`.
    """

    path: str
    label: str
    icon: str
    is_shown: Condition
    badge: str | None = None


def _every_user(viewer: Viewer) -> bool:
    return True


def _manages(viewer: Viewer) -> bool:
    return viewer.is_manager


def _decides(viewer: Viewer) -> bool:
    return viewer.is_manager or viewer.waiting_count > 0


def _manages_projects(viewer: Viewer) -> bool:
    return viewer.is_manager or viewer.may_run("create_project")


def _reads_audit(viewer: Viewer) -> bool:
    return viewer.may("audit") or any(viewer.may("audit", name) for name in viewer.managed_projects)


def _at_system(endpoint: str) -> Condition:
    return lambda viewer: viewer.may(endpoint)


def _has_service_accounts(viewer: Viewer) -> bool:
    return viewer.sees_all or viewer.may("service-accounts") or viewer.controls_accounts


MINE = (
    Entry("me", "My access", "key", _every_user),
    Entry("me/requests", "My requests", "inbox", _every_user),
    Entry("me/sessions", "My sessions", "screen", _every_user),
    Entry("account", "Account", "user", _every_user),
)
MANAGE = (
    Entry("home", "Home", "home", _manages),
    Entry("people", "People", "people", _manages),
    Entry("groups", "Groups", "group", _manages),
    Entry("service-accounts", "Service accounts", "gear", _has_service_accounts),
    Entry("projects", "Projects", "folder", _manages_projects),
    Entry("roles", "Roles", "shield", _manages),
    Entry("requests", "Requests", "inbox", _decides, "pending"),
    Entry("audit", "Audit", "log", _reads_audit),
    Entry("directory", "Directory", "book", _at_system("groups")),
    Entry("policy", "Policy", "copy", _at_system("access")),
    Entry("system", "System", "gear", _at_system("users")),
)


def navigation(viewer: Viewer) -> tuple[tuple[str, tuple[Entry, ...]], ...]:
    """Return the groups of the navigation with the entries that a viewer sees; groups without any are left out."""
    groups = (
        ("Mine", MINE),
        ("Manage", MANAGE),
    )
    shown = ((label, tuple(entry for entry in entries if entry.is_shown(viewer))) for label, entries in groups)
    return tuple((label, entries) for label, entries in shown if entries)


def current_page(path: str) -> str:
    """Return the path of the entry that the path of a route belongs to, the longest one; empty for none."""
    paths = (entry.path for entry in (*MINE, *MANAGE) if f"{path}/".startswith(f"/{entry.path}/"))
    return max(paths, key=len, default="")


def waiting_counts(viewer: Viewer) -> Mapping[str, int]:
    """Return the numbers for the badges, by their key."""
    return {"pending": viewer.waiting_count}

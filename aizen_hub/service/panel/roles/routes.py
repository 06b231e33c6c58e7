"""All routes of the pages about roles."""

from __future__ import annotations

from aizen_hub.service.panel.roles import editor, granting, listing, permissions, role_page

ROUTES = (*listing.ROUTES, *role_page.ROUTES, *editor.ROUTES, *granting.ROUTES, *permissions.ROUTES)

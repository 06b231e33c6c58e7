"""The routes of all pages about service accounts."""

from __future__ import annotations

from aizen_hub.service.panel.service_accounts import account, overview

ROUTES = (*overview.ROUTES, *account.ROUTES)

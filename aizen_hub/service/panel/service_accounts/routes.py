"""The routes of all pages about service accounts."""

from __future__ import annotations

from aizen_hub.rbac.identity import Identity
from aizen_hub.service.panel.identity_stop import StopPage
from aizen_hub.service.panel.service_accounts import account, overview

_STOP = StopPage("service-accounts", Identity.service_account, account.find_account)
ROUTES = (*overview.ROUTES, *account.ROUTES, *_STOP.routes("a service account"))

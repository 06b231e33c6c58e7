"""Page *Not used for 45 days*: every role and account that *Home* counts, page by page."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from aizen_hub.accounts.reviews import unused_access
from aizen_hub.api_models.schema import Schema
from aizen_hub.problems import BadInput
from aizen_hub.rbac.identity import Identity
from aizen_hub.service.http.route import RawResponse
from aizen_hub.service.panel.pages import page_route, show_page
from aizen_hub.service.panel.paging import OptionalText
from aizen_hub.service.panel.visibility import Viewer, not_in_panel
from aizen_hub.service.pipeline.request_context import RequestContext

PAGE = 25


class UnusedQuery(Schema):
    """Where the two lists begin: after this assignment, and after this account."""

    roles: Annotated[str, Field(pattern=r"^[0-9]{0,18}$")] = ""
    accounts: OptionalText = None


async def show_unused(ctx: RequestContext) -> RawResponse:
    query: UnusedQuery = ctx.query
    after = None if query.accounts is None else _read_identity(query.accounts)

    def read(viewer: Viewer) -> dict[str, Any]:
        if not viewer.sees_all:
            raise not_in_panel()
        roles = unused_access.find_unused_roles(viewer.tx, limit=PAGE + 1, after=int(query.roles or 0))
        accounts = unused_access.find_dormant_accounts(viewer.tx, PAGE + 1, after=after)
        return {
            "roles": roles[:PAGE],
            "more_roles": len(roles) > PAGE,
            "accounts": accounts[:PAGE],
            "more_accounts": len(accounts) > PAGE,
            "query": query,
            "counted": ctx.service.state.unused_access,
            "may_stop": viewer.may("locks"),
            "may_review": viewer.may("access"),
        }

    return await show_page(
        ctx,
        "system/unused.html",
        read,
        audit_details=lambda _: {"details": {"query": "unused-access"}},
        pool=ctx.service.pools.queries,
    )


def _read_identity(text: str) -> Identity:
    try:
        return Identity.parse(text)
    except ValueError:
        raise BadInput("the page link is not valid", remedy="open the list from its beginning") from None


ROUTES = (page_route("/system/unused", show_unused, "Roles and accounts that were not used for 45 days.", UnusedQuery),)

"""What a mapping rule would change for whom, shown before it is added or changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

from aizen_hub.accounts.dry_run import dry_run
from aizen_hub.commands.result import Result
from aizen_hub.rbac.identity import Identity
from aizen_hub.service.http.route import RawResponse
from aizen_hub.service.panel.pages import show_page
from aizen_hub.service.panel.visibility import Viewer
from aizen_hub.service.pipeline.request_context import RequestContext
from aizen_hub.store.transaction import WriteTransaction

_SHOWN = 50


async def preview_rule(
    ctx: RequestContext, change: Callable[[WriteTransaction], Result], rule_id: int | None = None
) -> RawResponse:
    """Show who would gain and lose what by a change of the rules, and the form that makes it.

    Parameters
    ----------
    change : callable
        It is tried, and rolled back.
    rule_id : int, optional
        The rule that is changed; None: one is added.
    """
    service = ctx.service
    now = await ctx.authorized_read(lambda tx: tx.now)
    # As if the user had just signed in: what it does is shown before they sign in again to do it.
    actor = replace(ctx.actor, recent_login_until=now + timedelta(minutes=1))
    effect = await service.pools.queries.run(lambda: dry_run(service.store, actor, change))

    def read(viewer: Viewer) -> dict[str, Any]:
        rows = [row for row in effect.rows if viewer.sees(Identity.parse(row[0]))]
        return {"rows": rows[:_SHOWN], "count": len(rows), "is_partial": viewer.people is not None}

    return await show_page(
        ctx,
        "system/rule_preview.html",
        read,
        audit_details=lambda _: {"details": {"query": "directory"}},
        form=ctx.body,
        rule_id=rule_id,
    )

"""Reserved names: each kind of thing that was deleted gives its name back by an act of its own (R31)."""

from __future__ import annotations

from aizen_hub.accounts.names import name_release as releases
from aizen_hub.accounts.names.names import NameKind
from aizen_hub.service.api.change_response import change
from aizen_hub.service.api.schemas.result import ResultView
from aizen_hub.service.api.user_stop import need_gone_at_hub
from aizen_hub.service.http.route import PEOPLE, Answer, Handle, Need, Route
from aizen_hub.service.pipeline.request_context import Call

_PLACES = {
    NameKind.USER: ("users/{user}", "users"),
    NameKind.PROJECT: ("projects/{project}", "users"),
    NameKind.GROUP: ("groups/{group}", "groups"),
    NameKind.ROLE: ("roles/{role}", "roles"),
    NameKind.SERVICE_ACCOUNT: ("service-accounts/{account}", "service-accounts"),
}


def _release(kind: NameKind) -> Handle:
    async def release(call: Call) -> Answer:
        (name,) = call.members.values()
        if kind is NameKind.USER:
            await need_gone_at_hub(call, name)
        return await change(call, lambda tx: releases.release(tx, kind, name))

    return release


ROUTES = tuple(
    Route(
        "POST",
        f"/api/v1/{place}/release",
        PEOPLE,
        Need.operation(operation),
        _release(kind),
        f"Release the name of a deleted {kind}.",
        answer=ResultView,
        keyed=True,
    )
    for kind, (place, operation) in _PLACES.items()
)

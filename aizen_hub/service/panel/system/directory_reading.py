"""Reading people of a directory now, all or those of a group: the operation's start, progress and result."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from sqlalchemy import ColumnElement, exists, false, literal, select, union

from aizen_hub.api_models.directory_reading import DirectoryPerson, DirectoryReadingResponse
from aizen_hub.api_models.schema import Name, ProviderName
from aizen_hub.operations.directory_reading import KIND, DirectoryReading
from aizen_hub.problems import Conflict, Unavailable
from aizen_hub.service.http.form import Form
from aizen_hub.service.http.route import RawResponse
from aizen_hub.service.operations import start_operation
from aizen_hub.service.panel.operation_page import OperationPage
from aizen_hub.service.panel.pages import form_route
from aizen_hub.service.panel.rendering import see_other
from aizen_hub.service.panel.visibility import Viewer, not_in_panel
from aizen_hub.service.pipeline.request_context import RequestContext
from aizen_hub.store import tables
from aizen_hub.store.transaction import ActorTransaction

DIRECTORY_KIND = "ldap"
_PAGE = OperationPage(
    kinds=(KIND,),
    folder=("directory", "read"),
    template="system/directory_reading.html",
    on_cancel="The reading ends after the people of the present batch.",
    about="a reading",
)
_WAIT_SECONDS = 25.0  # more than the deadline of the request to the hub
_u, _l, _g, _m = tables.users, tables.logins, tables.groups, tables.memberships


class ReadingForm(Form):
    """Whom to read: all people of a directory; with ``group`` those who are in it as it was reported last."""

    provider: ProviderName
    group: Name | None = None


async def start_reading(ctx: RequestContext) -> RawResponse:
    provider, group = ctx.body.provider, ctx.body.group
    service, loop = ctx.service, asyncio.get_running_loop()
    hub = service.main_hub
    if not service.can_read_directories:
        raise Unavailable("this service was started without a hub, which alone can read a directory")
    people, others = await ctx.authorized_read(lambda tx: _people_of(tx, provider, group), pool=service.pools.queries)
    count = len(people) + len(others)
    if not count:
        whom = "user" if group is None else "member of this group"
        raise Conflict(f"no {whom} has signed in by this directory yet", remedy="people are read when they sign in")

    def read_batch(batch: Sequence[DirectoryPerson]) -> DirectoryReadingResponse:
        future = asyncio.run_coroutine_threadsafe(hub.api.read_people(provider, batch, hub.secret), loop)
        try:
            return future.result(_WAIT_SECONDS)
        except TimeoutError:
            future.cancel()
            raise Unavailable("the hub did not answer in time") from None

    request = DirectoryReading(provider, people, others, read_batch)
    details = {} if group is None else {"group": group}
    response = await start_operation(ctx, KIND, request, provider=provider, people=count, **details)
    return see_other(ctx, _PAGE.address_of(response.value["id"]))


def _people_of(
    tx: ActorTransaction, provider: str, group: str | None
) -> tuple[list[DirectoryPerson], list[DirectoryPerson]]:
    """Return who has signed in by a directory: those whose departure would be recorded, and the others.

    The others have left it already, or have signed in by a linked login.
    """
    viewer = Viewer(tx)
    kinds = {item.name: item.kind for item in tx.settings.providers}
    if not viewer.may("groups") or kinds.get(provider) != DIRECTORY_KIND:
        raise not_in_panel()
    is_read: tuple[ColumnElement[bool], ...] = ()
    if group is not None:
        found = tx.conn.execute(select(_g.c.id).where(_g.c.name == group, _g.c.provider == provider)).scalar()
        if found is None:
            raise not_in_panel()
        is_read = (exists().where(_m.c.group_id == found, _m.c.member == literal("user:") + _u.c.name),)
    own = select(_u.c.name, _u.c.subject, _u.c.gone_at.is_(None).label("is_counted"))
    own = own.where(_u.c.provider == provider, _u.c.subject.is_not(None), _u.c.active, *is_read)
    linked = select(_u.c.name, _l.c.subject, false()).join(_l, _l.c.user_id == _u.c.id)
    linked = linked.where(_l.c.provider == provider, _u.c.active, *is_read)
    rows = tx.conn.execute(union(own, linked).order_by("name")).all()
    # A linked login whose subject the hub cannot report was written wrongly: no one can sign in by it.
    people: dict[bool, list[DirectoryPerson]] = {True: [], False: []}
    for row in rows:
        if row.subject.isprintable():
            people[bool(row.is_counted)].append(DirectoryPerson(subject=row.subject, name=row.name))
    return people[True], people[False]


ROUTES = (
    form_route("/directory/read", start_reading, "Read people of a directory now.", ReadingForm),
    *_PAGE.routes(),
)

"""Page *Policy*: the present state as a file, the plan of a file, and carrying it out with its progress."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Annotated, Any

import yaml
from pydantic import Field

from aizen_hub.api_models.schema import Schema
from aizen_hub.catalogs.yaml_source import SourceError, parse_source
from aizen_hub.commands.lexer import ascii_excerpt
from aizen_hub.operations.operation import Operation
from aizen_hub.operations.records import get_visible_operation
from aizen_hub.policy.apply import APPLY, PLAN, PolicyRequest
from aizen_hub.policy.export import export_policy
from aizen_hub.policy.loader import Policy, read_policy
from aizen_hub.problems import NotFound
from aizen_hub.service.http.form import Form, Typed
from aizen_hub.service.http.route import RawResponse
from aizen_hub.service.operations import start_operation
from aizen_hub.service.panel.form_errors import NO_ERRORS, FieldError, FormErrors, show_errors
from aizen_hub.service.panel.operation_page import OperationPage
from aizen_hub.service.panel.pages import form_route, page_route, show_page
from aizen_hub.service.panel.rendering import see_other
from aizen_hub.service.panel.visibility import Viewer, not_in_panel
from aizen_hub.service.pipeline.request_context import RequestContext
from aizen_hub.store.transaction import ActorTransaction, ReadTransaction

MAX_TEXT = 8 << 20
_MAX_LINES = 20
_DOWNLOAD = {"Content-Disposition": 'attachment; filename="policy.yaml"'}


class PolicyFileForm(Form):
    policy: Annotated[str, Field(max_length=MAX_TEXT)] = ""
    prune: Typed = ""
    act: Typed = ""
    plan: Typed = ""


class PolicyProgressQuery(Schema):
    """``with_file``: the page that asks has the file, to carry it out when its plan has ended."""

    with_file: Typed = ""


async def show_policy(ctx: RequestContext) -> RawResponse:
    return await _show(ctx, PolicyFileForm(xsrf="-"))


async def _show(ctx: RequestContext, typed: PolicyFileForm, errors: FormErrors = NO_ERRORS) -> RawResponse:
    def read(viewer: Viewer) -> dict[str, Any]:
        _require_reader(viewer)
        return {"typed": typed}

    return await show_page(ctx, "system/policy.html", read, errors=errors, status=422 if errors else 200)


def _require_reader(viewer: Viewer) -> None:
    if not viewer.may("access"):
        raise not_in_panel()


async def download_policy(ctx: RequestContext) -> RawResponse:
    """Return the present roles, groups, projects and assignments as a policy file."""

    def read(tx: Any) -> str:
        _require_reader(Viewer(tx))
        text: str = yaml.safe_dump(export_policy(tx, ctx.actor), sort_keys=False, allow_unicode=True)
        return text

    text = await ctx.authorized_read(
        read, audit_details=lambda _: {"details": {"query": "policy"}}, pool=ctx.service.pools.queries
    )
    return RawResponse(text.encode(), "application/yaml; charset=utf-8", _DOWNLOAD)


async def start_policy(ctx: RequestContext) -> RawResponse:
    body = ctx.body
    kind = APPLY if body.act == "apply" else PLAN
    digest = hashlib.sha256(f"{bool(body.prune)} {body.policy}".encode()).hexdigest()

    def check(tx: ActorTransaction) -> Policy:
        # Before the file is parsed, which takes long; and a plan tells which of its roles are given already.
        _require_reader(Viewer(tx))
        if kind == APPLY:
            _require_planned(tx, body, digest)
        return _read(body.policy, tx)

    async def change() -> RawResponse:
        if not body.policy.strip():
            raise FieldError("policy", "choose a file, or paste its text")
        await ctx.authorized_read(check, pool=ctx.service.pools.queries)
        request = PolicyRequest(lambda tx: _read(body.policy, tx), bool(body.prune), digest)
        response = await start_operation(ctx, kind, request, prune=bool(body.prune))
        if kind == APPLY:
            return see_other(ctx, _PAGE.address_of(response.value["id"]))
        # Rendered without a redirect: the page holds the file, to carry out what was planned.
        return await show_page(ctx, "system/policy_plan.html", typed=body, plan=response.value["id"])

    return await show_errors(
        change(), lambda errors: _show(ctx, body, errors), ctx.service.catalog.command_with_handler
    )


def _require_planned(tx: ActorTransaction, body: PolicyFileForm, digest: str) -> None:
    """Raise FieldError unless a plan of this very file has succeeded: no one carries out what they have not seen."""
    try:
        planned = get_visible_operation(tx, tx.actor, body.plan)
    except NotFound:
        raise FieldError("policy", "plan this file first; what it changes is shown before it is carried out") from None
    if planned.kind != PLAN or not planned.state.has_ended:
        raise FieldError("policy", "the plan of this file has not ended yet; wait for it, or plan again")
    if planned.result is None:
        raise FieldError("policy", "the plan of this file has failed; repair the file, and plan it again")
    if planned.result["data"]["digest"] != digest:
        raise FieldError("policy", "this is not the file that was planned; plan it again")


def _read(text: str, tx: ReadTransaction) -> Policy:
    """Return the policy of a file; raises FieldError with its first faults."""
    try:
        return read_policy(parse_source(text, "policy").data, tx.catalog)
    except SourceError as error:
        lines = str(error).splitlines()
        more = f"; and {len(lines) - _MAX_LINES} more faults" if len(lines) > _MAX_LINES else ""
        raise FieldError("policy", "; ".join(ascii_excerpt(line, 400) for line in lines[:_MAX_LINES]) + more) from None


def _variables(operation: Operation, ctx: RequestContext) -> Mapping[str, Any]:
    return {"is_plan": operation.kind == PLAN, "with_file": bool(ctx.query.with_file)}


_PAGE = OperationPage(
    kinds=(PLAN, APPLY),
    folder=("policy",),
    template="system/policy_progress.html",
    on_cancel="It is cancelled; nothing is changed.",
    about="a policy file",
    query=PolicyProgressQuery,
    variables=_variables,
)
ROUTES = (
    page_route("/policy", show_policy, "Policy files."),
    page_route("/policy/-/export", download_policy, "The present state as a policy file."),
    form_route("/policy", start_policy, "Plan or carry out a policy file.", PolicyFileForm, max_body=3 * MAX_TEXT),
    *_PAGE.routes(),
)

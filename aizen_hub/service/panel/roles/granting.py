"""Page *Give a role*: one sentence, and what it would change, before it is given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from aizen_hub.accounts.names import normalization
from aizen_hub.accounts.names.normalization import NameKind
from aizen_hub.accounts.roles import bulk_grants, grant_preview
from aizen_hub.accounts.roles.lookup import get_role
from aizen_hub.authorization import checks
from aizen_hub.problems import BadInput, NotFound, Problem
from aizen_hub.rbac.assignment import Interval
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import SYSTEM, Role, ScopeKind
from aizen_hub.service.http.form import Form, Typed
from aizen_hub.service.http.route import RawResponse
from aizen_hub.service.panel.assignment_undo import offer_restoration
from aizen_hub.service.panel.fields.typed_identities import read_grantees
from aizen_hub.service.panel.fields.until import UntilFields, presets
from aizen_hub.service.panel.form_errors import NO_ERRORS, FieldError, FormErrors, show_errors
from aizen_hub.service.panel.formatting import identity_path, page_path
from aizen_hub.service.panel.grant_sentences import describe_grants
from aizen_hub.service.panel.pages import authorized_value, form_route, page_route, show_page
from aizen_hub.service.panel.rendering import see_other
from aizen_hub.service.panel.toasts import Toast
from aizen_hub.service.panel.visibility import Viewer
from aizen_hub.service.pipeline.request_context import RequestContext
from aizen_hub.store.transaction import ActorTransaction, WriteTransaction

_ANY_PROJECT = "any project"
"""A scope of no project, for what may be granted in all of them: no project can have this name."""
_MAX_PROJECTS = 50
PREVIEW = "preview"
USUAL_END = "quarter"
"""The preset that is chosen at first."""


class GrantQuery(UntilFields):
    """The sentence, as far as the address fills it in."""

    role: Typed = ""
    to: Typed = ""
    project: Typed = ""
    because: Typed = ""


class GrantForm(Form, GrantQuery):
    """The whole sentence; ``act`` is `PREVIEW` where nothing is to be given yet."""

    act: Typed = ""


@dataclass(frozen=True, slots=True)
class Sentence:
    """What was typed, read."""

    role: Role
    scope: str
    identities: list[Identity]
    interval: Interval


def read_sentence(tx: ActorTransaction, typed: GrantQuery) -> Sentence:
    """Read the fields of the form, or of the address.

    Raises
    ------
    FieldError
        For the first field that needs another look.
    """
    try:
        role = get_role(tx, typed.role.strip())
    except BadInput as error:
        raise FieldError("role", f"{error.detail}; choose one of the list") from None
    scope = _read_scope(tx, role, typed.project.strip())
    identities = read_grantees(tx, typed.to, role, scope, field="to")
    return Sentence(role, scope, identities, Interval(ends=typed.read_end(tx.now)))


def _read_scope(tx: ActorTransaction, role: Role, project: str) -> str:
    if ScopeKind.PROJECT not in role.scopes:
        return SYSTEM
    if not project:
        if ScopeKind.SYSTEM in role.scopes:
            return SYSTEM
        raise FieldError("project", f"{role.name} is a role of a project; name the project")
    name = normalization.canonical_or_none(project, NameKind.PROJECT)
    if name is None or not checks.can_see_project(tx, tx.actor.identity, name):
        raise FieldError("project", "there is no such project in which you have a role")
    return name


async def show_grant(ctx: RequestContext) -> RawResponse:
    return await _render(ctx, ctx.query)


async def _render(ctx: RequestContext, typed: Any, errors: FormErrors = NO_ERRORS, status: int = 200) -> RawResponse:
    def read(viewer: Viewer) -> dict[str, Any]:
        return {"typed": typed, **_read_choices(viewer, typed), **_read_preview(viewer, typed)}

    return await show_page(ctx, "roles/grant.html", read, fragment="preview", status=status, errors=errors)


def _read_choices(viewer: Viewer, typed: Any) -> dict[str, Any]:
    tx = viewer.tx
    managed = sorted(viewer.managed_projects)
    in_projects: dict[str, None] = {}
    scopes = [typed.project] if typed.project else [_ANY_PROJECT, *managed[:_MAX_PROJECTS]]
    for scope in scopes:
        in_projects |= {role.name: None for role in grant_preview.grantable_roles(tx, scope)}
    in_system = {role.name: None for role in grant_preview.grantable_roles(tx, SYSTEM)}
    if typed.role in tx.roles and typed.role not in in_projects and typed.role not in in_system:
        # A link may name a role that the viewer cannot give: the page then says who can.
        in_projects[typed.role] = None
    groups = (("In a project", in_projects), ("In the whole system", in_system))
    return {
        "role_options": [(label, [(name, name) for name in names]) for label, names in groups if names],
        "projects": managed[:_MAX_PROJECTS],
        "presets": presets(tx.now),
        "usual_end": USUAL_END,
    }


def _read_preview(viewer: Viewer, typed: Any) -> dict[str, Any]:
    empty = {"previews": [], "problem": None, "role": typed.role, "sentence": None, "sensitive": False}
    if not (typed.role and typed.to):
        return empty
    if not typed.until and not typed.until_date:
        typed = typed.model_copy(update={"until": USUAL_END})
    try:
        sentence = read_sentence(viewer.tx, typed)
    except Problem as problem:
        return {**empty, "problem": problem}
    recent = viewer.tx.actor.recent_login_until
    sensitive = grant_preview.is_sensitive(viewer.tx, sentence.role.name, sentence.scope)
    return {
        "previews": grant_preview.preview_grants(
            viewer.tx, sentence.role, sentence.scope, sentence.identities, sentence.interval
        ),
        "problem": None,
        "role": sentence.role.name,
        "sentence": sentence,
        "sensitive": sensitive and (recent is None or recent <= viewer.tx.now),
    }


async def grant_role(ctx: RequestContext) -> RawResponse:
    body = ctx.body
    if body.act == PREVIEW:
        return await _render(ctx, body)

    async def change() -> RawResponse:
        def operation(tx: WriteTransaction) -> tuple[str, str | None, str]:
            sentence = read_sentence(tx, body)
            project = None if sentence.scope == SYSTEM else sentence.scope
            result = bulk_grants.grant_to_all(
                tx,
                sentence.role.name,
                project,
                sentence.identities,
                interval=sentence.interval,
                reason=body.because.strip(),
            )
            where = project or "the whole system"
            text = describe_grants(result.data, sentence.role.name, where)
            undo_id = offer_restoration(tx, f"gave {sentence.role.name} in {where}", result.data["former"])
            return text, undo_id, _next_page(Viewer(tx), sentence)

        try:
            text, undo_id, page = await authorized_value(ctx, operation)
        except NotFound as error:
            raise FieldError("to", error.detail) from None
        return see_other(ctx, page, Toast(text, undo_id))

    async def show_again(errors: FormErrors) -> RawResponse:
        return await _render(ctx, body, errors, 422)

    return await show_errors(change(), show_again, ctx.service.catalog.command_with_handler)


def _next_page(viewer: Viewer, sentence: Sentence) -> str:
    if sentence.scope != SYSTEM and viewer.sees_project(sentence.scope):
        return page_path("projects", sentence.scope)
    if len(sentence.identities) == 1 and viewer.sees(sentence.identities[0]):
        return identity_path(sentence.identities[0])
    return page_path("roles", sentence.role.name)


ROUTES = (
    page_route("/give", show_grant, "Give a role.", GrantQuery),
    form_route("/give", grant_role, "Give a role, from its page.", GrantForm),
)

"""Tab *Settings* of a project: what it says of itself, limits, members by file, and stopping or deleting it."""

from __future__ import annotations

import json
import re
from typing import Any, Literal

from aizen_hub.accounts import pending_changes
from aizen_hub.accounts.dry_run import dry_run
from aizen_hub.accounts.projects import lifecycle, members, profile
from aizen_hub.accounts.projects.deletion_preview import preview_deletion
from aizen_hub.accounts.roles.bulk_grants import all_assignments, former_of
from aizen_hub.accounts.sessions import locks
from aizen_hub.authorization import checks
from aizen_hub.authorization.lock_state import is_locked
from aizen_hub.commands.result import Result, to_json_value
from aizen_hub.jobs.limit_use import read_set_limits
from aizen_hub.problems import BadInput, Conflict, Escalation, Problem
from aizen_hub.rbac.assignment import LockTarget
from aizen_hub.rbac.messages import describe_restorers
from aizen_hub.rbac.role import LimitKind
from aizen_hub.service.http.form import Form, Typed
from aizen_hub.service.http.route import RawResponse
from aizen_hub.service.panel.assignment_undo import offer_restoration
from aizen_hub.service.panel.form_errors import NO_ERRORS, FieldError, FormErrors, show_errors
from aizen_hub.service.panel.formatting import page_path
from aizen_hub.service.panel.pages import authorized_value, form_route, page_route, show_page
from aizen_hub.service.panel.projects.project_head import read_head, require_readable, stopped_by
from aizen_hub.service.panel.rendering import see_other
from aizen_hub.service.panel.toasts import Toast
from aizen_hub.service.panel.undo import offer_undo, offer_unlock
from aizen_hub.service.panel.visibility import Viewer
from aizen_hub.service.pipeline.request_context import RequestContext
from aizen_hub.store.transaction import ReadTransaction, WriteTransaction

MAX_FILE = 1 << 20
_MAX_LIMITS = 200
_MAX_EFFECTS = 50
_VERSION = re.compile(r"[0-9]{1,18}")


class ProjectFileForm(Form):
    """The members of a project as a file; ``version`` is that of the project when it was made."""

    config: str = ""
    version: Typed = ""


class ProjectProfileForm(Form):
    description: Typed = ""
    listed: Typed = ""


class ProjectStopForm(Form):
    stop_reason: Typed = ""


class ProjectRestoreForm(Form):
    """``target`` and ``locked`` tell the lock that the page showed."""

    stop_reason: Typed = ""
    target: Literal["archive", "project"] = "archive"
    locked: Typed = ""


class ProjectDeletionForm(Form):
    confirm: Typed = ""


async def show_settings(ctx: RequestContext) -> RawResponse:
    return await _render(ctx)


async def _render(ctx: RequestContext, errors: FormErrors = NO_ERRORS, status: int = 200, **typed: Any) -> RawResponse:
    name = ctx.path_params["project"]

    def read(viewer: Viewer) -> dict[str, Any]:
        tx, project = viewer.tx, require_readable(viewer, name)
        may_alter, lock = viewer.may_run("alter_project", name), stopped_by(tx, name)
        rows = read_set_limits(tx, name, _MAX_LIMITS + 1)
        return {
            **read_head(viewer, project, "settings"),
            "may_alter": may_alter,
            "may_limit": viewer.may("limits", name),
            "may_lock": viewer.may("locks"),
            "may_delete": viewer.may_run("delete_project", name),
            "limit_kinds": [(kind.value, kind.value) for kind in LimitKind if kind is not LimitKind.PROJECTS],
            "set_limits": rows[:_MAX_LIMITS],
            "more_limits": len(rows) > _MAX_LIMITS,
            "config": _config_text(tx, name) if may_alter else "",
            "preview": preview_deletion(tx, name),
            "lock": lock,
            "locked_at": None if lock is None else to_json_value(lock.locked),
            "restorers": describe_restorers(tx.catalog.archive_rule.restorers),
        }

    values: dict[str, Any] = {"typed_limit": None, "typed_config": None, "effects": None, **typed}
    return await show_page(ctx, "projects/settings.html", read, errors=errors, status=status, **values)


def _config_text(tx: ReadTransaction, project: str) -> str:
    """Return the members as the users file, one member a line."""
    rows = [json.dumps(entry, ensure_ascii=False) for entry in members.list_members(tx, project)]
    return "[\n" + ",\n".join(f"  {row}" for row in rows) + "\n]" if rows else "[]"


async def save_about(ctx: RequestContext) -> RawResponse:
    name, body = ctx.path_params["project"], ctx.body

    async def change() -> RawResponse:
        def operation(tx: WriteTransaction) -> Result:
            Viewer(tx).require_project(name)
            return profile.update_profile(tx, name, description=body.description.strip(), listed=body.listed == "yes")

        await authorized_value(ctx, operation)
        return see_other(ctx, page_path("projects", name, "settings"), Toast(f"The settings of {name} were saved."))

    return await show_errors(change(), show_again(ctx), ctx.service.catalog.command_with_handler)


def show_again(ctx: RequestContext, **typed: Any) -> Any:
    """Return what shows the page once more, with errors and with what was typed."""

    async def again(errors: FormErrors) -> RawResponse:
        return await _render(ctx, errors, 422, **typed)

    return again


async def preview_file(ctx: RequestContext) -> RawResponse:
    """Show who would gain and lose what by a file; nothing is changed."""
    name, body = ctx.path_params["project"], ctx.body

    def change(tx: WriteTransaction) -> Result:
        Viewer(tx).require_project(name)
        return members.replace_members(tx, name, body.config, if_match=_version(body))

    try:
        effects = await ctx.service.pools.queries.run(lambda: dry_run(ctx.service.store, ctx.actor, change))
    except (BadInput, Conflict, Escalation) as problem:
        return await _render(ctx, _file_errors(problem), 422, typed_config=body)
    return await _render(ctx, typed_config=body, effects=effects)


async def apply_file(ctx: RequestContext) -> RawResponse:
    name, body = ctx.path_params["project"], ctx.body

    def operation(tx: WriteTransaction) -> tuple[Result, str | None]:
        Viewer(tx).require_project(name)
        before = all_assignments(tx, name)
        result = members.replace_members(tx, name, body.config, if_match=_version(body))
        changed = [*result.data.get("granted", ()), *result.data.get("revoked", ())]
        former = [before.get((role, who)) or former_of(role, name, who) for who, role in changed]
        return result, offer_restoration(tx, f"changed the members of {name} by a file", former)

    try:
        result, undo_id = await authorized_value(ctx, operation)
    except (BadInput, Conflict, Escalation) as problem:
        return await _render(ctx, _file_errors(problem), 422, typed_config=body)
    if result.pending_id:
        return see_other(ctx, page_path("projects", name, "settings"), Toast("The change waits for confirmation."))
    granted, revoked = len(result.data["granted"]), len(result.data["revoked"])
    text = f"{granted} {'role was' if granted == 1 else 'roles were'} given and {revoked} taken away."
    return see_other(ctx, page_path("projects", name), Toast(text, undo_id))


def _version(body: ProjectFileForm) -> int | None:
    return int(body.version) if _VERSION.fullmatch(body.version) else None


def _file_errors(problem: Problem) -> FormErrors:
    """Return the faults of a file with their places; they belong to no other field than the file."""
    faults = [f"{_place(fault.pointer)}{fault.detail}" for fault in problem.faults]
    return FormErrors({"config": faults[0] if faults else problem.detail}, tuple(faults[1:]))


def _place(pointer: str) -> str:
    first = pointer.removeprefix("/").partition("/")[0]
    return f"entry {int(first) + 1}: " if first.isdigit() else ""


async def archive_project(ctx: RequestContext) -> RawResponse:
    name, body = ctx.path_params["project"], ctx.body

    async def change() -> RawResponse:
        if not body.stop_reason.strip():
            raise FieldError("stop_reason", "say why; the members see it")

        def operation(tx: WriteTransaction) -> str | None:
            Viewer(tx).require_project(name)
            was_archived = is_locked(tx, LockTarget.ARCHIVE, name)
            locks.lock_target(tx, LockTarget.ARCHIVE, name, reason=body.stop_reason.strip())
            return None if was_archived else offer_unlock(tx, f"archived {name}", [name], LockTarget.ARCHIVE)

        undo_id = await authorized_value(ctx, operation)
        return see_other(ctx, page_path("projects", name, "settings"), Toast(f"{name} is archived.", undo_id))

    return await show_errors(change(), show_again(ctx), ctx.service.catalog.command_with_handler)


async def restore_project(ctx: RequestContext) -> RawResponse:
    name, body = ctx.path_params["project"], ctx.body

    async def change() -> RawResponse:
        if not body.stop_reason.strip():
            raise FieldError("stop_reason", "say why; the audit keeps it")

        def operation(tx: WriteTransaction) -> tuple[str, str | None]:
            Viewer(tx).require_project(name)
            target, reason = LockTarget(body.target), body.stop_reason.strip()
            checks.require(tx, checks.endpoint_permission(tx, "locks"))
            lock = locks.get_lock(tx, target, name)
            # Another lock, or this one again, may be set since the page was shown: then it is not what was decided on.
            result = locks.unlock_target(tx, target, name, reason=reason, requested_for={"locked": body.locked})
            if result.pending_id:
                return "The change waits for confirmation.", None
            ends = None if lock.ends is None else lock.ends.isoformat()
            former = {"target": target.value, "name": name, "reason": lock.reason, "ends": ends}
            others = stopped_by(tx, name)
            still = "" if others is None else "archived" if others.target == "archive" else "stopped"
            text = f"This was lifted; {name} is still {still}." if still else f"{name} can be used again."
            return text, offer_undo(tx, f"restored {name}", [("lock", former)])

        text, undo_id = await authorized_value(ctx, operation)
        return see_other(ctx, page_path("projects", name, "settings"), Toast(text, undo_id))

    return await show_errors(change(), show_again(ctx), ctx.service.catalog.command_with_handler)


async def delete_project(ctx: RequestContext) -> RawResponse:
    name, body = ctx.path_params["project"], ctx.body

    async def change() -> RawResponse:
        def operation(tx: WriteTransaction) -> Result:
            Viewer(tx).require_project(name)
            checks.require_command(tx, "delete_project", name)
            if body.confirm.strip() != name:
                raise FieldError("confirm", f"type {name} to delete it")
            pending_changes.require_recent_login(tx)
            return lifecycle.delete_project(tx, name)

        await authorized_value(ctx, operation)
        return see_other(ctx, page_path("projects"), Toast(f"{name} was deleted."))

    return await show_errors(change(), show_again(ctx), ctx.service.catalog.command_with_handler)


_PATH = "/projects/{project}/settings"
ROUTES = (
    page_route(_PATH, show_settings, "The settings of a project."),
    form_route(f"{_PATH}/about", save_about, "Describe and list a project, from its page.", ProjectProfileForm),
    form_route(
        f"{_PATH}/file/preview",
        preview_file,
        "What a file would change in a project.",
        ProjectFileForm,
        max_body=MAX_FILE,
    ),
    form_route(f"{_PATH}/file", apply_file, "Replace the members, from the page.", ProjectFileForm, max_body=MAX_FILE),
    form_route(f"{_PATH}/stop", archive_project, "Archive a project, from its page.", ProjectStopForm),
    form_route(f"{_PATH}/restore", restore_project, "Let a project be used again, from its page.", ProjectRestoreForm),
    form_route(f"{_PATH}/delete", delete_project, "Delete a project, from its page.", ProjectDeletionForm),
)

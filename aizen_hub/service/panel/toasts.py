"""Toasts: what a change did, shown on the next page, with its undo where it has one."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aizen_hub.service.pipeline.request_context import RequestContext

MAX_TEXT = 300
PURPOSE = "toast"
SECONDS = 120


@dataclass(frozen=True, slots=True)
class Toast:
    """What a change did.

    Attributes
    ----------
    text : str
        One sentence; a longer one than 300 characters is cut with an ellipsis.
    undo_id : str or None
        Of the record that `panel.undo.offer_undo` made.
    """

    text: str
    undo_id: str | None = None


def toast_cookie(ctx: RequestContext, toast: Toast) -> str:
    """Return the cookie that carries a toast to the next page; encrypted, so that no other page can write one."""
    text = toast.text if len(toast.text) <= MAX_TEXT else f"{toast.text[: MAX_TEXT - 1]}…"
    content = json.dumps({"text": text, "undo": toast.undo_id})
    return ctx.service.browser_login.message_cookie(content, PURPOSE, SECONDS, secure=ctx.principal.secure)


def read_toast(ctx: RequestContext) -> tuple[Toast | None, tuple[str, ...]]:
    """Return the toast of a request, and the cookies that remove it: it is shown once."""
    login, secure = ctx.service.browser_login, ctx.principal.secure
    if not login.has_message(ctx.headers, PURPOSE, secure=secure):
        return None, ()
    content = login.read_message(ctx.headers, PURPOSE, SECONDS, secure=secure)
    cookies = (login.message_cookie("", PURPOSE, 0, secure=secure),)
    if content is None:
        return None, cookies
    value = json.loads(content)
    return Toast(value["text"], value["undo"]), cookies

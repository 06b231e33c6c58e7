"""The page of all audit events, from the texts of the timeline."""

from __future__ import annotations

from collections import defaultdict

from aizen_hub.audit.event_texts import EVENT_TEXTS, EventKind
from docs.generator.markdown import NOTICE, escape_cell, format_code, format_table

_INTRODUCTION = """\
# Audit events

Every decision, sign-in, session, change and administrative read is a row of the audit. `aizen-hub audit show` and the
panel's timeline read them; an export has one JSON object a line. The sentence is that of the timeline: words in
braces are fields of the row, and parts in brackets are left out where the row has no such field.
"""
_HEADINGS = {
    EventKind.CHANGE: "Changes",
    EventKind.REFUSAL: "Refusals",
    EventKind.REQUEST: "Requests and pending changes",
    EventKind.SIGN_IN: "Sign-in",
    EventKind.SESSION: "Sessions",
    EventKind.SYSTEM: "The system",
    EventKind.ROUTINE: "Routine, folded in the timeline",
}


def build_audit_events_page() -> str:
    """Return the page."""
    rows: dict[EventKind, list[tuple[str, str]]] = defaultdict(list)
    for event, text in sorted(EVENT_TEXTS.items()):
        rows[text.kind].append((format_code(event), escape_cell(text.template)))
    parts = [NOTICE, _INTRODUCTION]
    for kind in EventKind:
        if rows[kind]:
            parts += [f"## {_HEADINGS[kind]}\n", format_table(("event", "sentence"), rows[kind])]
    return "\n".join(parts)

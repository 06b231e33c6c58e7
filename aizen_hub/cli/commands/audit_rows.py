"""Rows of the audit as records: who did what to whom, with role and end."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from aizen_hub.cli.connection import api_path
from aizen_hub.cli.values import timestamp

COLUMNS = ("at", "event", "identity", "target", "role", "until", "project", "command", "allowed", "sentence", "id")
_ENDS = ("until", "ends")


def audit_query(**filters: Any) -> str:
    """Return the path of a search; filters that are None are left out."""
    parameters = {
        name: timestamp(value) if isinstance(value, datetime) else str(value)
        for name, value in filters.items()
        if value is not None
    }
    return api_path("audit", **parameters)


def audit_record(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row with its time as text, and with target, role and end, which are in its details."""
    details: Mapping[str, Any] = row.get("details") or {}
    identity, acting = row.get("identity"), row.get("acting")
    added = {
        "at": _format_time(row["at"]),
        "identity": identity if acting is None else f"{acting} as {identity}",
        "target": row.get("target") or details.get("target"),
        "role": details.get("role"),
        "until": next((_format_time(details[name]) for name in _ENDS if details.get(name) is not None), None),
    }
    return {**row, **added}


def _format_time(value: Any) -> str:
    if isinstance(value, int):
        return datetime.fromtimestamp(value / 1e6, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return str(value)

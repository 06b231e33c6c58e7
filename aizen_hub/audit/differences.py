"""What an event changed: each value before and after, as far as its record tells."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from aizen_hub.rbac.messages import describe_limit

_FORMER = "former-"
_LABELS = {"until": "End", "from": "Begin", "description": "Description", "category": "Category"}
_TIMES = frozenset({"until", "from"})


@dataclass(frozen=True, slots=True)
class ValueDifference:
    """One value that an event changed.

    Attributes
    ----------
    label : str
        What it is.
    before, after : str, datetime or None
        None: there was, or is, none.
    """

    label: str
    before: str | datetime | None
    after: str | datetime | None


def find_differences(record: Mapping[str, Any]) -> tuple[ValueDifference, ...]:
    """Return what a record of the audit tells of values before and after; empty for most events."""
    details = record.get("details")
    return tuple(_differences(details)) if isinstance(details, Mapping) else ()


def _differences(details: Mapping[str, Any]) -> Iterator[ValueDifference]:
    kind = details.get("limit")
    if isinstance(kind, str) and "before" in details:
        before, after = (_limit(details.get(name), kind) for name in ("before", "value"))
        yield ValueDifference(f"Limit of {kind}", before, after)
    for name in _LABELS:
        if _FORMER + name in details:
            yield ValueDifference(_LABELS[name], *(_value(name, details.get(key)) for key in (_FORMER + name, name)))
    former, present = (details.get(name) for name in (f"{_FORMER}limits", "limits"))
    if isinstance(former, Mapping) and isinstance(present, Mapping):
        for limit in sorted(former.keys() | present.keys()):
            if former.get(limit) != present.get(limit):
                yield ValueDifference(
                    f"Limit of {limit}", *(_limit(values.get(limit), limit) for values in (former, present))
                )
    for name in _listed(details, "removed"):
        yield ValueDifference("Permission", name, None)
    for name in _listed(details, "added"):
        yield ValueDifference("Permission", None, name)


def _listed(details: Mapping[str, Any], name: str) -> list[str]:
    value = details.get(name)
    return [str(item) for item in value] if isinstance(value, list) else []


def _limit(value: Any, kind: str) -> str | None:
    return describe_limit(value, kind) if isinstance(value, (int, float)) else None


def _value(name: str, value: Any) -> str | datetime | None:
    if value in (None, ""):
        return None
    try:
        return datetime.fromisoformat(str(value)) if name in _TIMES else str(value)
    except ValueError:
        return str(value)

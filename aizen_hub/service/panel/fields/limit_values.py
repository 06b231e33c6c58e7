"""The value of a limit as it is typed into a form: a number, of memory with a unit."""

from __future__ import annotations

import math
import re

from aizen_hub.rbac.messages import describe_limit
from aizen_hub.rbac.role import LimitKind
from aizen_hub.service.panel.form_errors import FieldError

MEMORY_HINT = "such as 8 GiB"
_TYPED = re.compile(r"([0-9]+(?:[.,][0-9]+)?)\s*([a-z]*)", re.IGNORECASE)
_POWERS = {letter: power for power, letter in enumerate("kmgt", start=1)}
_UNIT = re.compile(r"([kmgt])(i?)(b?)|b|bytes|")


def parse_limit(text: str, kind: str, *, field: str) -> float | None:
    """Return the value of a limit; None for an empty field. GB are powers of ten, GiB and Gi powers of two.

    Raises
    ------
    FieldError
        It is no number, or has a unit that the kind does not have.
    """
    text = text.strip()
    if not text:
        return None
    typed = _TYPED.fullmatch(text)
    unit = None if typed is None else _UNIT.fullmatch(typed[2].lower())
    if typed is None or unit is None or (unit[0] and kind != LimitKind.MEMORY):
        example = MEMORY_HINT if kind == LimitKind.MEMORY else "such as 4"
        raise FieldError(field, f"write a number, {example}, or leave it empty for no limit")
    value = float(typed[1].replace(",", "."))
    if unit[1]:
        value *= (1024 if unit[2] else 1000) ** _POWERS[unit[1]]
    if not math.isfinite(value):
        raise FieldError(field, "this number is too large")
    return value


def limit_text(value: float | None, kind: str) -> str:
    """Return a value as `parse_limit` reads it, without a loss."""
    if value is None:
        return ""
    text = describe_limit(value, kind).removesuffix(" bytes")
    exact = parse_limit(text, kind, field="") == value
    return text if exact else f"{value:.0f}" if value == int(value) else repr(value)

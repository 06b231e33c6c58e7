"""What grants did, in the sentences of a toast."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aizen_hub.service.panel.formatting import format_identity

_MAX_NAMED = 3


def describe_grants(data: Mapping[str, Any], role: str, where: str) -> str:
    """Return what `bulk_grants.grant_to_all` did."""
    granted, unchanged, pending = data["granted"], data["unchanged"], data["pending_ids"]
    texts = []
    if granted:
        texts.append(f"{name_some(granted)} {'has' if len(granted) == 1 else 'have'} {role} in {where}.")
    if unchanged:
        texts.append(f"{name_some(unchanged)} had it already.")
    if pending:
        texts.append(f"{len(pending)} {'waits' if len(pending) == 1 else 'wait'} for confirmation by a second person.")
    return " ".join(texts)


def name_some(identities: Sequence[str]) -> str:
    """Return identities as a phrase: the first three, and how many more."""
    names = [format_identity(identity) for identity in identities]
    if len(names) < 2:
        return "".join(names)
    more = len(names) - _MAX_NAMED
    if more > 0:
        return f"{', '.join(names[:_MAX_NAMED])} and {more} more"
    return f"{', '.join(names[:-1])} and {names[-1]}"

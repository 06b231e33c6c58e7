"""The steps that undo grants and revocations, from what the assignments were before."""

from __future__ import annotations

from collections.abc import Iterable

from aizen_hub.accounts.roles.bulk_grants import Former
from aizen_hub.service.panel.undo import MAX_STEPS, Step, offer_undo
from aizen_hub.store.transaction import WriteTransaction


def undo_steps(former: Iterable[Former]) -> list[Step]:
    """Return the steps that restore these assignments, or revoke those that did not exist."""
    steps: list[Step] = []
    for entry in former:
        arguments = {"roles": [entry["role"]], "scope": entry["scope"], "identity": entry["identity"]}
        held = entry["held"]
        steps.append(("revoke", arguments) if held is None else ("grant", {**arguments, **held}))
    return steps


def offer_restoration(tx: WriteTransaction, label: str, former: Iterable[Former]) -> str | None:
    """Offer to undo changes of assignments; None where nothing changed, or more than can be undone at once."""
    steps = undo_steps(former)
    return offer_undo(tx, label, steps) if 0 < len(steps) <= MAX_STEPS else None

"""Whom a further hub may sign in and act for: the people of the providers that the settings give it, and no others.

A hub authenticates people by itself, so that who has its secret can claim to have authenticated anyone. The main
hub may sign everyone in.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from sqlalchemy import exists, select

from aizen_hub.accounts.names import normalization
from aizen_hub.hub_settings import MAIN_HUB
from aizen_hub.problems import Denied
from aizen_hub.settings import Settings
from aizen_hub.store import tables
from aizen_hub.store.rights.memberships import chunked
from aizen_hub.validation.printable import excerpt

if TYPE_CHECKING:
    from aizen_hub.store.transaction import ReadTransaction

_u, _l = tables.users, tables.logins


def require_provider(settings: Settings, hub: str, provider: str) -> None:
    """Refuse a hub that reports something of a provider which it does not have.

    Raises
    ------
    Denied
    """
    providers = _providers_of(settings, hub)
    if providers is not None and provider not in providers:
        raise Denied(
            f"the hub `{hub}` does not sign in people by `{excerpt(provider)}`",
            remedy=f"sign in at another hub; an operator can add the provider to `{hub}` under `further_hubs`",
        )


def require_user(tx: ReadTransaction, hub: str, user: str) -> None:
    """Refuse a hub that acts for a user who has no login of its providers.

    Raises
    ------
    Denied
        Also where there is no such user: which names exist is not told.
    """
    name = normalization.canonical_or_none(user)
    if find_people_of_others(tx, hub, [name or user]):
        raise Denied(f"`{excerpt(user)}` has no login of a provider of the hub `{hub}`")


def find_people_of_others(tx: ReadTransaction, hub: str, names: Iterable[str]) -> set[str]:
    """Return those of the canonical names whose users have no login of a hub's providers, or do not exist."""
    providers, found = _providers_of(tx.settings, hub), set(names)
    if providers is None:
        return set()
    linked = exists().where(_l.c.user_id == _u.c.id, _l.c.provider.in_(providers))
    for chunk in chunked(sorted(found)):
        query = select(_u.c.name).where(_u.c.name.in_(chunk), _u.c.provider.in_(providers) | linked)
        found.difference_update(tx.conn.execute(query).scalars())
    return found


def require_main_hub(hub: str, action: str) -> None:
    """Refuse a further hub what concerns the panel, where people sign in at the main hub.

    Raises
    ------
    Denied
    """
    if hub != MAIN_HUB:
        raise Denied(f"{action} is done at the main hub, not at `{hub}`", remedy="open the panel, and do it there")


def _providers_of(settings: Settings, hub: str) -> tuple[str, ...] | None:
    """Return the providers of a further hub, none for one that is not in the settings; None for the main hub: all."""
    if hub == MAIN_HUB:
        return None
    return next((further.providers for further in settings.further_hubs if further.id == hub), ())

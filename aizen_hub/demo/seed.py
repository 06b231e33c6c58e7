"""The demo's accounts and its project, made on the operator's road before the service starts."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from aizen_hub.cli.local_store import opened, operator
from aizen_hub.demo.personas import ADMIN, CREATOR, PEOPLE, PROJECT
from aizen_hub.settings import Settings

if TYPE_CHECKING:
    from aizen_hub.accounts.credentials.passwords import NewPassword
    from aizen_hub.store.transaction import Write


def seed(settings: Settings) -> dict[str, str]:
    """Make five accounts with random passwords and one project; return the passwords, which are stored only hashed."""
    from aizen_hub.accounts.credentials.passwords import NewPassword
    from aizen_hub.accounts.users import bootstrap

    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    passwords = {person.name: secrets.token_urlsafe(9) for person in PEOPLE}
    hashed = {name: NewPassword.of(password) for name, password in passwords.items()}
    with opened(settings, may_make=True) as store:
        with store.write(operator()) as tx:
            bootstrap.first_start(tx, settings)
        with store.write(operator()) as tx:
            _accounts(tx, hashed)
        with store.write(operator()) as tx:
            _roles(tx)
    return passwords


def _accounts(tx: Write, passwords: dict[str, NewPassword]) -> None:
    from aizen_hub.accounts.credentials import activation
    from aizen_hub.accounts.users import users

    for person in PEOPLE:
        if person is not ADMIN:
            users.create(tx, person.name, display_name=person.display_name)
        else:
            users.alter(tx, person.name, display_name=person.display_name)
        # A new link voids the one that was made with the account.
        activation.redeem(tx, activation.issue(tx, person.name).token, passwords[person.name])


def _roles(tx: Write) -> None:
    from aizen_hub.accounts.projects import projects
    from aizen_hub.accounts.roles import assignments
    from aizen_hub.rbac.identity import Identity
    from aizen_hub.rbac.role import SYSTEM

    assignments.grant(tx, [CREATOR.role], SYSTEM, Identity.user(CREATOR.name), reason="demo")
    projects.create(tx, PROJECT, description="Which customers are about to leave?", owner=Identity.user(CREATOR.name))
    for person in PEOPLE:
        if person.project is not None:
            assignments.grant(tx, [person.role], person.project, Identity.user(person.name), reason="demo")

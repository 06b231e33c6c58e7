"""The accounts and the project of the demo, created directly in the store before the service starts."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from aizen_hub.cli.local_store import open_store, operator_actor
from aizen_hub.demo.personas import ADMIN, CREATOR, PERSONAS, PROJECT
from aizen_hub.settings import Settings

if TYPE_CHECKING:
    from aizen_hub.accounts.credentials.passwords import NewPassword
    from aizen_hub.store.transaction import WriteTransaction


def seed(settings: Settings) -> dict[str, str]:
    """Create five accounts with random passwords and one project; return the passwords, which are stored hashed."""
    from aizen_hub.accounts.credentials.passwords import NewPassword
    from aizen_hub.accounts.users import bootstrap

    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    passwords = {person.name: _new_password() for person in PERSONAS}
    hashed = {name: NewPassword.from_text(password) for name, password in passwords.items()}
    with open_store(settings, create=True) as store:
        with store.write(operator_actor()) as tx:
            bootstrap.bootstrap_installation(tx, settings)
        with store.write(operator_actor()) as tx:
            _accounts(tx, hashed)
        with store.write(operator_actor()) as tx:
            _roles(tx)
    return passwords


def renew_passwords(settings: Settings) -> dict[str, str]:
    """Give the accounts that still exist new random passwords, and return these."""
    from aizen_hub.accounts import identities
    from aizen_hub.accounts.credentials import activation
    from aizen_hub.accounts.credentials.passwords import NewPassword

    passwords = {person.name: _new_password() for person in PERSONAS}
    hashed = {name: NewPassword.from_text(password) for name, password in passwords.items()}
    with open_store(settings) as store, store.write(operator_actor()) as tx:
        remaining = [name for name in passwords if identities.user_exists(tx, name)]
        for name in remaining:
            activation.redeem_link(tx, activation.issue_link(tx, name).token, hashed[name])
    return {name: passwords[name] for name in remaining}


def _new_password() -> str:
    # Hexadecimal digits contain none of the names; a password that contains its user's name is refused.
    return secrets.token_hex(8)


def _accounts(tx: WriteTransaction, passwords: dict[str, NewPassword]) -> None:
    from aizen_hub.accounts.credentials import activation
    from aizen_hub.accounts.users import profiles, registration

    for person in PERSONAS:
        if person is not ADMIN:
            registration.create_user(tx, person.name, display_name=person.display_name)
        else:
            profiles.update_user(tx, person.name, display_name=person.display_name)
        # A new link invalidates the one that was created with the account.
        activation.redeem_link(tx, activation.issue_link(tx, person.name).token, passwords[person.name])


def _roles(tx: WriteTransaction) -> None:
    from aizen_hub.accounts.projects import lifecycle
    from aizen_hub.accounts.roles import assignments
    from aizen_hub.rbac.identity import Identity
    from aizen_hub.rbac.role import SYSTEM

    assignments.grant_roles(tx, [CREATOR.role], SYSTEM, Identity.user(CREATOR.name), reason="demo")
    lifecycle.create_project(
        tx, PROJECT, description="Which customers are about to leave?", owner=Identity.user(CREATOR.name)
    )
    for person in PERSONAS:
        if person.project is not None:
            assignments.grant_roles(tx, [person.role], person.project, Identity.user(person.name), reason="demo")

"""``aizen-hub recover-admin``: the way back in, on the service's own machine only."""

from __future__ import annotations

from pathlib import Path

import click

from aizen_hub.cli.commands.database import config_option
from aizen_hub.cli.exit_codes import Outcome
from aizen_hub.cli.local_store import opened, operator
from aizen_hub.cli.output import say
from aizen_hub.settings import Settings


@click.command()
@click.argument("name")
@config_option
@click.option("--password", is_flag=True, help="Ask for the account's new password here, instead of printing a link.")
def recover_admin(name: str, config: Path, password: bool) -> int:
    """Make NAME an admin, registered if need be, and print an activation link for a local account.

    For the first sign-in of a fresh installation, and for the day on which no admin can sign in. It opens the database
    that aizen.yaml names, so it runs on the service's machine and under its account, beside a running service too; the
    audit says that it did. The link is valid for 24 hours, below the hub's address.
    """
    from aizen_hub.accounts.credentials import activation
    from aizen_hub.accounts.credentials.passwords import NewPassword
    from aizen_hub.accounts.users import bootstrap

    settings = Settings.load(config)
    secret = click.prompt("New password", hide_input=True, confirmation_prompt=True, err=True) if password else None
    # Hashed before the change, which keeps a running service from writing.
    new = None if secret is None else NewPassword.of(secret)
    with opened(settings, may_make=True) as store, store.write(operator()) as tx:
        bootstrap.first_start(tx, settings)
        link = bootstrap.recover_admin(tx, name)
        if link is not None and new is not None:
            activation.redeem(tx, link.token, new)
    if link is None:
        provider = settings.registration_provider
        say(f"`{name}` is an admin and signs in with the provider that the registration names (new ones: {provider})")
    elif new is None:
        click.echo(link.path)
        say(f"`{name}` is an admin; open this below the hub's address, and set a password, within 24 hours")
    else:
        say(f"`{name}` is an admin and can sign in with the new password")
    return Outcome.DONE

"""``aizen-hub recover-admin`` and ``reset-password``: access from the service's machine."""

from __future__ import annotations

from pathlib import Path

import click

from aizen_hub.cli.exit_codes import ExitCode
from aizen_hub.cli.local_store import open_store, operator_actor
from aizen_hub.cli.options import config_option
from aizen_hub.cli.output import show_message
from aizen_hub.settings import Settings


@click.command()
@click.argument("name")
@config_option
@click.option("--password", is_flag=True, help="Ask for a new password, instead of printing a link.")
@click.option(
    "--provider", help="Register NAME at this provider, for example local; the default is that of aizen.yaml."
)
@click.option("--revoke", is_flag=True, help="Take the admin role of NAME back; the account stays.")
def recover_admin(name: str, config: Path, password: bool, provider: str | None, revoke: bool) -> int:
    """Make NAME an admin, registered and unlocked if necessary, and print an activation link for a local account.

    Use it for the first sign-in after the installation, or when no admin can sign in. Where the directory is down, make
    a local admin, as `local:rescue` or with --provider local, and take the role back afterwards with --revoke. It opens
    the database that aizen.yaml names: run it on the service's machine under its account; the service may be running.
    It is recorded in the audit. The link is relative to the hub's address and valid for 24 hours.
    """
    settings = Settings.load(config)
    if revoke:
        if password or provider is not None:
            raise click.UsageError("--revoke takes neither --password nor --provider")
        return _revoke(settings, name)
    return _recover(settings, name, provider, password)


def _recover(settings: Settings, name: str, provider: str | None, password: bool) -> int:
    from aizen_hub.accounts import identities
    from aizen_hub.accounts.credentials import activation
    from aizen_hub.accounts.credentials.passwords import NewPassword
    from aizen_hub.accounts.users import bootstrap

    secret = click.prompt("New password", hide_input=True, confirmation_prompt=True, err=True) if password else None
    # Hashed before the transaction, during which a running service cannot write.
    new_password = None if secret is None else NewPassword.from_text(secret)
    with open_store(settings, create=True) as store, store.write(operator_actor()) as tx:
        bootstrap.bootstrap_installation(tx, settings)
        user, link = bootstrap.recover_admin(tx, name, provider)
        registered_with = identities.get_user(tx, user).provider
        if link is not None and new_password is not None:
            activation.redeem_link(tx, link.token, new_password)
    if link is None:
        show_message(f"`{user}` is an admin and signs in by `{registered_with}`")
    elif new_password is None:
        click.echo(link.path)
        show_message(f"`{user}` is an admin; open this path at the hub's address within 24 hours and set a password")
    else:
        show_message(f"`{user}` is an admin and can sign in with the new password")
    return ExitCode.DONE


def _revoke(settings: Settings, name: str) -> int:
    from aizen_hub.accounts.users import bootstrap

    with open_store(settings) as store, store.write(operator_actor()) as tx:
        user, role = bootstrap.withdraw_admin(tx, name)
    show_message(f"`{user}` does not have {role} any more; to remove the account: aizen-hub user delete {user}")
    return ExitCode.DONE


@click.command()
@click.argument("name")
@config_option
@click.option("--remove-second-factor", is_flag=True, help="Ask NAME for no more codes: the device with them is lost.")
def reset_password(name: str, config: Path, remove_second_factor: bool) -> int:
    """Print an activation link for the local account NAME, so that its user can set a new password.

    Use it where no link can be sent by mail (`aizen-hub user activation-link NAME`), and hand the link to the user
    through a trusted channel: the person who opens it controls the account. It opens the database that aizen.yaml
    names: run it on the service's machine under its account; the service may be running. It is recorded in the audit.
    """
    from aizen_hub.accounts.credentials import activation, second_factor
    from aizen_hub.accounts.names import normalization

    user = normalization.canonical_or_none(name) or name
    with open_store(Settings.load(config)) as store, store.write(operator_actor()) as tx:
        link = activation.issue_link(tx, name)
        had_second_factor = remove_second_factor and second_factor.has_second_factor(tx, user)
        if had_second_factor:
            second_factor.disable_second_factor(tx, user)
    click.echo(link.path)
    if remove_second_factor:
        show_message("removed the second factor" if had_second_factor else f"`{name}` has no second factor")
    show_message(f"open this path at the hub's address within 24 hours and set a password for `{name}`")
    return ExitCode.DONE

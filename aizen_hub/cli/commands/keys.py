"""``aizen-hub keys``: the signing keys, on the machine of the service."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aizen_hub.cli.commands.database import config_option
from aizen_hub.cli.exit_codes import Outcome
from aizen_hub.cli.local_store import opened_with_keys, operator
from aizen_hub.cli.output import output_option, say, show_rows
from aizen_hub.settings import Settings

if TYPE_CHECKING:
    from aizen_hub.tokens.keys import SigningKey

PURPOSES = ("role", "decision", "checkpoint", "sync")


@click.group()
def keys() -> None:
    """Look after the keys that sign role tokens, decision tokens and audit checkpoints.

    These commands open the store that aizen.yaml names, so they run on the service's machine and under its account.
    Every running replica takes a change over by itself.
    """


@keys.command()
@config_option
def init(config: Path) -> int:
    """Make the key-encryption file that aizen.yaml names, for a database other than the embedded one.

    Copy the file to every replica and into a backup that is kept apart from the database's. An existing file is left as
    it is.
    """
    from aizen_hub.tokens.key_encryption import KeyEncryption

    path = Settings.load(config).key_encryption_path
    if path.exists():
        KeyEncryption.load(path)
        say(f"aizen-hub: {path} is there already and usable")
        return Outcome.CONFLICT
    KeyEncryption.make(path)
    say(f"wrote {path}")
    return Outcome.DONE


@keys.command("list")
@config_option
@output_option
def list_keys(config: Path, output: str) -> int:
    """Show every key with its purpose and state; exits 7 where a key that must sign cannot."""
    with opened_with_keys(Settings.load(config)) as (store, keystore), store.read() as tx:
        found, ring = keystore.list(tx), keystore.ring(tx)
    show_rows(output, ("kid", "purpose", "state", "created", "since", "usable"), [_row(key) for key in found])
    if ring.is_sealed:
        say(f"aizen-hub: sealed: {ring.sealed or 'a purpose has no usable signing key'}")
        return Outcome.UNAVAILABLE
    return Outcome.DONE


@keys.command()
@config_option
@click.option("--purpose", type=click.Choice(PURPOSES), multiple=True, help="Only these keys; may be repeated.")
def rotate(config: Path, purpose: tuple[str, ...]) -> int:
    """Sign with the next key from now on; tokens under the old one run out by themselves within ten minutes."""
    from aizen_hub.tokens.keys import Purpose

    with opened_with_keys(Settings.load(config)) as (store, keystore), store.write(operator()) as tx:
        signing = [keystore.rotate(tx, Purpose(one)) for one in purpose or PURPOSES]
    for key in signing:
        click.echo(f"{key.purpose} {key.kid}")
    return Outcome.DONE


@keys.command()
@config_option
@click.argument("kid", nargs=-1)
@click.option("--all", "every", is_flag=True, help="Withdraw every key that is not withdrawn yet, and make new ones.")
@click.option("--reason", default="", help="For the audit.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def withdraw(config: Path, kid: tuple[str, ...], every: bool, reason: str, yes: bool) -> int:
    """End keys at once, for example after a leak: every token under them is refused from now on, by every replica.

    Running servers renew their tokens by themselves. KID is the beginning of a key's id as `keys list` shows it.
    """
    from aizen_hub.tokens.keys import KeyState

    if bool(kid) == every:
        raise click.UsageError("name the keys, or give --all")
    with opened_with_keys(Settings.load(config)) as (store, keystore):
        if not yes:
            click.confirm("End these keys and every token under them?", abort=True, err=True)
        with store.write(operator()) as tx:
            chosen = (
                [key.kid for key in keystore.list(tx) if key.state is not KeyState.WITHDRAWN] if every else list(kid)
            )
            gone = keystore.withdraw(tx, chosen, reason[:200])
    for one in gone:
        click.echo(one)
    say(f"withdrew {len(gone)} keys" if len(gone) != 1 else "withdrew 1 key")
    return Outcome.DONE


def _row(key: SigningKey) -> dict[str, Any]:
    return {
        "kid": key.kid,
        "purpose": key.purpose.value,
        "state": key.state.value,
        "created": key.created.isoformat(timespec="seconds"),
        "since": key.changed.isoformat(timespec="seconds"),
        "usable": key.private is not None or key.state.value == "retired",
    }

"""``aizen-hub keys``: signing keys, on the service's machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aizen_hub.cli.commands.machine.new_key_file import NewKeyFile
from aizen_hub.cli.exit_codes import ExitCode
from aizen_hub.cli.local_store import find_rollback, open_checkpoint_log, open_store_with_keys, operator_actor
from aizen_hub.cli.options import config_option
from aizen_hub.cli.output import Output, output_option, show_message, show_rows
from aizen_hub.problems import Conflict
from aizen_hub.settings import Settings
from aizen_hub.validation.prose import check_prose

if TYPE_CHECKING:
    from aizen_hub.store.keystore import KeyStore
    from aizen_hub.store.sql_store import Store
    from aizen_hub.tokens.keys import SigningKey

_ENDS = """\
This replaces all signing keys. It ends at once:
- every role token and decision token; running servers get new ones by themselves,
- every sign-in to the panel,
- the second factors of {factors}.
The core, remote workers and other verifiers have to read the new key set. The audit stays verifiable."""
PURPOSES = ("role", "decision", "checkpoint", "sync")


@click.group()
def keys() -> None:
    """Manage the keys that sign role tokens, decision tokens and audit checkpoints.

    These commands open the database that aizen.yaml names: run them on the service's machine under its account. Running
    replicas apply a change by themselves.
    """


@keys.command()
@config_option
def init(config: Path) -> int:
    """Create the key-encryption file that aizen.yaml names, for a database other than the embedded one.

    Copy the file to every replica, and into a backup separate from that of the database. An existing file is kept.
    """
    from aizen_hub.tokens.key_encryption import KeyEncryption

    path = Settings.load(config).key_encryption_path
    if path.exists():
        KeyEncryption.load(path)
        show_message(f"aizen-hub: {path} exists already and is usable")
        return ExitCode.CONFLICT
    KeyEncryption.create(path)
    show_message(f"wrote {path}")
    return ExitCode.DONE


@keys.command("list")
@config_option
@output_option
def list_keys(config: Path, output: Output) -> int:
    """List all keys with purpose and state; exits with 7 if a signing key is not usable."""
    with open_store_with_keys(Settings.load(config)) as (store, keystore), store.read() as tx:
        key_list, ring = keystore.list_keys(tx), keystore.ring(tx)
    show_rows(output, ("kid", "purpose", "state", "created", "since", "usable"), [_row(key) for key in key_list])
    if ring.is_sealed:
        show_message(f"aizen-hub: sealed: {ring.sealed_reason or 'a purpose has no usable signing key'}")
        if keystore.file_fault is not None:
            show_message(keystore.file_fault.remedy)
        return ExitCode.UNAVAILABLE
    return ExitCode.DONE


@keys.command()
@config_option
@click.option(
    "--purpose", type=click.Choice(PURPOSES), multiple=True, help="Only keys of this purpose; may be repeated."
)
def rotate(config: Path, purpose: tuple[str, ...]) -> int:
    """Start signing with the next key; tokens signed with the old key expire within ten minutes."""
    from aizen_hub.tokens.keys import Purpose

    with open_store_with_keys(Settings.load(config)) as (store, keystore), store.write(operator_actor()) as tx:
        signing = [keystore.rotate(tx, Purpose(purpose_name)) for purpose_name in purpose or PURPOSES]
    for key in signing:
        click.echo(f"{key.purpose} {key.kid}")
    return ExitCode.DONE


@keys.command()
@config_option
@click.argument("kid", nargs=-1)
@click.option("--all", "withdraw_all", is_flag=True, help="Withdraw all keys and create new ones.")
@click.option("--reason", default="", help="For the audit.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
def withdraw(config: Path, kid: tuple[str, ...], withdraw_all: bool, reason: str, yes: bool) -> int:
    """Withdraw keys at once, for example after a leak: every replica rejects all tokens that they signed.

    Running servers renew their tokens by themselves. KID is the beginning of a key id as shown by `keys list`.
    """
    from aizen_hub.tokens.keys import KeyState

    if bool(kid) == withdraw_all:
        raise click.UsageError("name the keys, or set --all")
    check_prose(reason, "reason")
    with open_store_with_keys(Settings.load(config)) as (store, keystore):
        if not yes:
            click.confirm("Withdraw these keys and revoke every token that they signed?", abort=True, err=True)
        with store.write(operator_actor()) as tx:
            chosen = (
                [key.kid for key in keystore.list_keys(tx) if key.state is not KeyState.WITHDRAWN]
                if withdraw_all
                else list(kid)
            )
            withdrawn = keystore.withdraw(tx, chosen, reason)
    for withdrawn_kid in withdrawn:
        click.echo(withdrawn_kid)
    show_message(f"withdrew {len(withdrawn)} keys" if len(withdrawn) != 1 else "withdrew 1 key")
    return ExitCode.DONE


@keys.command()
@config_option
@click.option("--reason", default="", help="For the audit.")
@click.option(
    "--remove-second-factors",
    is_flag=True,
    help="Let local accounts with a second factor sign in by password alone, until they set up another one.",
)
@click.option(
    "--new-file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the new key here: for a read-only folder, such as a mounted Secret of Kubernetes.",
)
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
def recover(config: Path, reason: str, remove_second_factors: bool, new_file: Path | None, yes: bool) -> int:
    """Replace all signing keys after the key-encryption file was lost.

    Put the file back from its backup instead, if there is one: nothing ends then. This command refuses while the file
    can be used. It creates a new file, keeps a wrong one beside it, withdraws all keys and creates new ones; if it
    fails, all is as before. Copy the new file to every replica and into a backup separate from that of the database.
    Running services continue by themselves.
    """
    from aizen_hub.accounts.key_recovery import recover_keys, users_with_second_factor
    from aizen_hub.service.replicas import list_replicas
    from aizen_hub.store.keystore import KeyStore

    check_prose(reason, "reason")
    settings = Settings.load(config)
    path = settings.key_encryption_path
    file = NewKeyFile(path, new_file)
    with open_store_with_keys(settings) as (store, locked):
        fault = locked.file_fault
        if fault is None:
            raise Conflict(
                "the key-encryption file decrypts the keys: there is nothing to recover",
                remedy="to replace the keys all the same: `aizen-hub keys withdraw --all`",
            )
        if not fault.is_recoverable:
            raise Conflict(fault.sentence, remedy=fault.remedy)
        show_message(f"{fault.sentence}: {path}")
        file.check()
        loss = find_rollback(settings, store, locked)
        with store.read() as tx:
            users = users_with_second_factor(tx)
            replicas = [replica.host for replica in list_replicas(tx) if replica.has_key]
        for host in replicas:
            show_message(f"a replica on `{host}` runs with the right key: copy the file from there, and do not go on")
        show_message(_ENDS.format(factors=", ".join(users) if users else "no user, since there are none"))
        if not yes:
            click.confirm("Is there no backup of the file, and replace all keys?", abort=True, err=True)
        with file.written() as encryption, store.write(operator_actor()) as write:
            keystore = KeyStore(encryption)
            recovered = recover_keys(write, keystore, reason, remove_second_factors=remove_second_factors)
        show_message(f"recovered: withdrew {recovered.keys} keys; {file.next_step()}")
        if loss is None:
            _sign(settings, store, keystore)
    if recovered.second_factors:
        names = ", ".join(recovered.second_factors)
        show_message(
            f"without a second factor until they set up another one: {names}"
            if remove_second_factors
            else f"cannot sign in until an administrator disables their second factor in the panel: {names}"
        )
    if loss is not None:
        show_message(f"{loss.sentence}: run `aizen-hub db accept-restore` next, or restore the newest database")
    return ExitCode.DONE


def _sign(settings: Settings, store: Store, keystore: KeyStore) -> None:
    """Sign the recovery with the new checkpoint key, after the lines that the former one signed."""
    from aizen_hub.audit.checkpoints.heads import chain_heads
    from aizen_hub.audit.checkpoints.signing import checkpoint_signer

    with open_checkpoint_log(settings) as checkpoints, store.read() as tx:
        checkpoints.append(chain_heads(tx.conn), tx.revision, tx.now, checkpoint_signer(keystore.ring(tx)))


def _row(key: SigningKey) -> dict[str, Any]:
    return {
        "kid": key.kid,
        "purpose": key.purpose.value,
        "state": key.state.value,
        "created": key.created_at.isoformat(timespec="seconds"),
        "since": key.state_changed_at.isoformat(timespec="seconds"),
        "usable": key.private_key is not None or key.state.value == "retired",
    }

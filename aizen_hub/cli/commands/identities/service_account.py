"""``aizen-hub service-account``: accounts of programs, with expiring credentials."""

from __future__ import annotations

from pathlib import Path

import click

from aizen_hub.cli.change_sender import ChangeSender, pass_sender
from aizen_hub.cli.connection import api_path, pass_client
from aizen_hub.cli.exit_codes import ExitCode
from aizen_hub.cli.output import Output, output_option, show_message, show_result
from aizen_hub.cli.public_key import read_public_key
from aizen_hub.client.sync_client import SyncClient

_DAY = 86_400


@click.group("service-account")
def service_account() -> None:
    """Service accounts have roles like users and authenticate with expiring credentials at the service's address."""


@service_account.command("list")
@pass_client
@output_option
def list_accounts(client: SyncClient, output: Output) -> int:
    """List the service accounts that you control."""
    show_result(output, client.get(api_path("service-accounts")))
    return ExitCode.DONE


@service_account.command()
@pass_sender
@click.argument("name")
@click.option("--description", default="", help="The purpose of the account.")
def create(sender: ChangeSender, name: str, description: str) -> int:
    """Create the service account NAME, which you control."""
    return sender.finish("POST", api_path("service-accounts"), {"name": name, "description": description})


@service_account.command()
@pass_sender
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
def delete(sender: ChangeSender, name: str, yes: bool) -> int:
    """Delete the service account NAME with all roles and credentials. The name stays reserved."""
    sender.confirm(f"Delete the service account {name} with all roles and credentials?", yes=yes)
    return sender.finish("DELETE", api_path("service-accounts", name))


@service_account.command()
@pass_sender
@click.argument("name")
@click.argument("state", type=click.Choice(["on", "off"]))
def switch(sender: ChangeSender, name: str, state: str) -> int:
    """Enable or disable NAME; while it is disabled, all its credentials are rejected.

    If NAME has rights that you lack, a second user who has them all confirms that it is enabled.
    """
    return sender.finish("PATCH", api_path("service-accounts", name), {"active": state == "on"})


@service_account.command()
@pass_client
@click.argument("name")
@click.option("--days", type=click.IntRange(1, 366), help="Lifetime; default: that of the deployment.")
@click.option(
    "--key",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Bind it to the key in this file, Ed25519 or P-256, as JWK or PEM. The public key is sufficient; of a private "
    "key only the public half is sent.",
)
@click.option(
    "--from",
    "networks",
    multiple=True,
    metavar="NETWORK",
    help="Accept it only from this network, such as 10.20.0.0/16; may be repeated.",
)
@output_option
def issue(
    client: SyncClient, name: str, days: int | None, key: Path | None, networks: tuple[str, ...], output: Output
) -> int:
    """Create a credential of NAME, shown only once; if it needs confirmation, it is shown in the panel.

    If NAME has rights that you lack, a second user who has them all confirms it.

    A program with the credential acts as NAME. With --key a stolen credential cannot be used: every request must carry
    a proof signed with the private key (DPoP, RFC 9449), which stays in the program. With --from it is accepted from
    these networks only, by the address from which the service is reached; behind a gateway that is the gateway's.

    \b
    A key:  openssl genpkey -algorithm ed25519 -out key.pem
            openssl pkey -in key.pem -pubout -out public.pem
    """
    body: dict[str, object] = {} if days is None else {"lifetime_seconds": days * _DAY}
    if key is not None:
        body["jwk"] = read_public_key(key)
    if networks:
        body["networks"] = list(networks)
    result = client.post(api_path("service-accounts", name, "credentials"), body)
    if output.is_document:
        output.show_document(result)
        return ExitCode.DONE
    if "credential" in result.get("data", {}):
        click.echo(result["data"]["credential"])
    show_message(result["message"])
    return ExitCode.DONE


@service_account.command()
@pass_client
@click.argument("name")
@output_option
def credentials(client: SyncClient, name: str, output: Output) -> int:
    """List the credentials of NAME with expiry, last use and bindings; the secrets are not stored."""
    show_result(output, client.get(api_path("service-accounts", name, "credentials")))
    return ExitCode.DONE


@service_account.command()
@pass_sender
@click.argument("name")
@click.argument("credential")
def withdraw(sender: ChangeSender, name: str, credential: str) -> int:
    """Withdraw the credential of NAME with the id CREDENTIAL."""
    return sender.finish("DELETE", api_path("service-accounts", name, "credentials", credential))


@service_account.command()
@pass_sender
@click.argument("name")
def release(sender: ChangeSender, name: str) -> int:
    """Release the name of a deleted service account, so that it can be used again."""
    return sender.finish("POST", api_path("service-accounts", name, "release"))

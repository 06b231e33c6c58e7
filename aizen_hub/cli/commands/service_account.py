"""``aizen-hub service-account``: identities of programs, with credentials that expire."""

from __future__ import annotations

from pathlib import Path

import click

from aizen_hub.cli.connection import connected, path
from aizen_hub.cli.exit_codes import Outcome
from aizen_hub.cli.output import output_option, say, show_json, show_result
from aizen_hub.cli.public_key import read_public_key
from aizen_hub.client.sync_client import SyncClient

_DAY = 86_400


@click.group("service-account")
def service_account() -> None:
    """Service accounts hold roles like people, and sign in with expiring credentials at the service's own address."""


@service_account.command("list")
@connected
@output_option
def list_accounts(client: SyncClient, output: str) -> int:
    """List the service accounts that you control."""
    show_result(output, client.get(path("service-accounts")))
    return Outcome.DONE


@service_account.command()
@connected
@click.argument("name")
@click.option("--description", default="", help="What it is for.")
def create(client: SyncClient, name: str, description: str) -> int:
    """Make the service account NAME, which you control."""
    say(client.post(path("service-accounts"), {"name": name, "description": description})["message"])
    return Outcome.DONE


@service_account.command()
@connected
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
def delete(client: SyncClient, name: str, yes: bool) -> int:
    """Delete the service account NAME with every role and credential. Its name stays reserved."""
    if not yes:
        click.confirm(f"Delete the service account {name} with every role and credential?", abort=True, err=True)
    say(client.call("DELETE", path("service-accounts", name))["message"])
    return Outcome.DONE


@service_account.command()
@connected
@click.argument("name")
@click.argument("state", type=click.Choice(["on", "off"]))
def switch(client: SyncClient, name: str, state: str) -> int:
    """Switch NAME on or off; while it is off, none of its credentials opens anything."""
    say(client.call("PATCH", path("service-accounts", name), {"active": state == "on"})["message"])
    return Outcome.DONE


@service_account.command()
@connected
@click.argument("name")
@click.option("--days", type=click.IntRange(1, 366), help="How long it is good; default: as the deployment has it.")
@click.option(
    "--key",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Bind it to the key in this file, Ed25519 or P-256, as JWK or PEM. The public key is enough, and of a private "
    "one only the public half is sent.",
)
@click.option(
    "--from",
    "networks",
    multiple=True,
    metavar="NETWORK",
    help="Bind it to a network such as 10.20.0.0/16: from elsewhere it opens nothing. Can be given several times.",
)
@output_option
def issue(
    client: SyncClient, name: str, days: int | None, key: Path | None, networks: tuple[str, ...], output: str
) -> int:
    """Make a credential of NAME, shown this once; where that needs confirmation, in the panel.

    Whoever has a credential is NAME. With --key it is worth nothing to a thief: every request must then carry a proof
    made with the private half of that key (DPoP, RFC 9449), which never leaves the program that NAME is for. With
    --from it opens nothing from elsewhere; the address that counts is the one from which the service is reached, behind
    a gateway the gateway's.

    \b
    A key:  openssl genpkey -algorithm ed25519 -out key.pem
            openssl pkey -in key.pem -pubout -out public.pem
    """
    body: dict[str, object] = {} if days is None else {"lifetime_seconds": days * _DAY}
    if key is not None:
        body["jwk"] = read_public_key(key)
    if networks:
        body["networks"] = list(networks)
    answer = client.post(path("service-accounts", name, "credentials"), body)
    if output == "json":
        show_json(answer)
        return Outcome.DONE
    if "credential" in answer.get("data", {}):
        click.echo(answer["data"]["credential"])
    say(answer["message"])
    return Outcome.DONE


@service_account.command()
@connected
@click.argument("name")
@output_option
def credentials(client: SyncClient, name: str, output: str) -> int:
    """List the credentials of NAME: when they end, when they were used, what they are bound to; never themselves."""
    show_result(output, client.get(path("service-accounts", name, "credentials")))
    return Outcome.DONE


@service_account.command()
@connected
@click.argument("name")
@click.argument("credential")
def withdraw(client: SyncClient, name: str, credential: str) -> int:
    """Withdraw the CREDENTIAL of NAME with this number."""
    say(client.call("DELETE", path("service-accounts", name, "credentials", credential))["message"])
    return Outcome.DONE


@service_account.command()
@connected
@click.argument("name")
def release(client: SyncClient, name: str) -> int:
    """Free the name of a deleted service account, so that another can have it."""
    say(client.post(path("service-accounts", name, "release"), None)["message"])
    return Outcome.DONE

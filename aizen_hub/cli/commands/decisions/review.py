"""``aizen-hub review``: reviews of access, unused roles and dormant accounts."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import click

from aizen_hub.cli.connection import api_path, pass_client
from aizen_hub.cli.exit_codes import ExitCode
from aizen_hub.cli.options import TIME_FORMATS, dry_run_headers, dry_run_option
from aizen_hub.cli.output import output_option, show_message, show_result
from aizen_hub.client.sync_client import SyncClient

_FILTERS = ("all", "undecided", "decided", "never-used", "unused", "used", "no-end", "groups")
_RULES = ("keep-used", "remove-unused", "shorten-endless")
review_argument = click.argument("review_id", metavar="REVIEW")
until_option = click.option("--until", "ends", type=click.DateTime(TIME_FORMATS), help="The new end, UTC.")


@click.group()
def review() -> None:
    """Review who has access to a project: keep each role, shorten it, or take it away.

    Decisions change nothing before `carry-out`. If the deadline passes, nothing is taken away.
    """


@review.command("list")
@pass_client
@click.argument("project")
@output_option
def list_reviews(client: SyncClient, project: str, output: str) -> int:
    """List the reviews of PROJECT; `system` stands for the roles of the whole system."""
    show_result(output, client.get(api_path("reviews", scope=project)))
    return ExitCode.DONE


@review.command()
@pass_client
@click.argument("project")
@click.option("--due", type=click.DateTime(TIME_FORMATS), help="The deadline, UTC; default: in two weeks.")
@click.option("--note", default="", help="Shown on the page of the review.")
@output_option
def start(client: SyncClient, project: str, due: datetime | None, note: str, output: str) -> int:
    """Start a review of the access to PROJECT; its other admins are told."""
    body: dict[str, Any] = {"scope": project, "note": note}
    if due is not None:
        body["deadline"] = _utc(due)
    show_result(output, client.post(api_path("reviews"), body))
    return ExitCode.DONE


@review.command()
@pass_client
@review_argument
@click.option("--only", type=click.Choice(_FILTERS), default="all", show_default=True, help="Which assignments.")
@output_option
def show(client: SyncClient, review_id: str, only: str, output: str) -> int:
    """Show the assignments of REVIEW: grantor, age, last use, number of uses, and the decision."""
    show_result(output, client.get(api_path("reviews", review_id, show=only)))
    return ExitCode.DONE


@review.command()
@pass_client
@review_argument
@click.argument("assignments", metavar="ASSIGNMENT…", nargs=-1, required=True, type=click.IntRange(min=1))
@click.option("--keep", "choice", flag_value="keep", help="Keep the role.")
@click.option("--shorten", "choice", flag_value="shorten", help="Set the end given by --until.")
@click.option("--remove", "choice", flag_value="remove", help="Take the role away.")
@click.option("--open", "choice", flag_value="open", help="Take the decision back.")
@until_option
def decide(
    client: SyncClient, review_id: str, assignments: tuple[int, ...], choice: str | None, ends: datetime | None
) -> int:
    """Decide about assignments of REVIEW, named by their numbers in `review show`."""
    if choice is None:
        raise click.UsageError("say --keep, --shorten, --remove or --open")
    if (choice == "shorten") != (ends is not None):
        raise click.UsageError("--shorten needs --until, and no other decision takes it")
    decision: dict[str, Any] = {"choice": None if choice == "open" else choice}
    if ends is not None:
        decision["until"] = _utc(ends)
    body = {"decisions": [{"assignment": number, **decision} for number in assignments]}
    show_message(client.post(api_path("reviews", review_id, "decisions"), body)["message"])
    return ExitCode.DONE


@review.command()
@pass_client
@review_argument
@click.argument("rule", type=click.Choice(_RULES))
@until_option
def fill(client: SyncClient, review_id: str, rule: str, ends: datetime | None) -> int:
    """Decide by RULE what is not decided yet in REVIEW.

    keep-used: keep what was used in the last 30 days. remove-unused: take away what was never used and is older than 45
    days. shorten-endless: set an end, by default in 90 days, where there is none.
    """
    body: dict[str, Any] = {"rule": rule, **({} if ends is None else {"until": _utc(ends)})}
    show_message(client.post(api_path("reviews", review_id, "fill"), body)["message"])
    return ExitCode.DONE


@review.command("carry-out")
@pass_client
@review_argument
@dry_run_option
@output_option
def carry_out(client: SyncClient, review_id: str, dry_run: bool, output: str) -> int:
    """Carry out the decisions of REVIEW, all or none of them."""
    path = api_path("reviews", review_id, "carry-out")
    show_result(output, client.request("POST", path, headers=dry_run_headers(dry_run)))
    return ExitCode.DONE


@review.command()
@pass_client
@review_argument
@click.argument("assignments", metavar="[ASSIGNMENT…]", nargs=-1, type=click.IntRange(min=1))
@output_option
def undo(client: SyncClient, review_id: str, assignments: tuple[int, ...], output: str) -> int:
    """Give back what REVIEW took away or shortened within 30 days; without numbers everything."""
    body = {"assignments": list(assignments)} if assignments else {}
    show_result(output, client.post(api_path("reviews", review_id, "undo"), body))
    return ExitCode.DONE


@review.command()
@pass_client
@review_argument
def finish(client: SyncClient, review_id: str) -> int:
    """Finish REVIEW; what is not decided stays as it is."""
    show_message(client.post(api_path("reviews", review_id, "finish"), None)["message"])
    return ExitCode.DONE


@review.command()
@pass_client
@click.option("--project", default="system", help="Only in this project; default: everywhere, with dormant accounts.")
@output_option
def unused(client: SyncClient, project: str, output: str) -> int:
    """List roles that were not used for 45 days, and accounts without a sign-in for as long."""
    show_result(output, client.get(api_path("unused-access", scope=project)))
    return ExitCode.DONE


def _utc(moment: datetime) -> str:
    return moment.replace(tzinfo=UTC).isoformat()

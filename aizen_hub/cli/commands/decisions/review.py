"""``aizen-hub review``: reviews of access, unused roles and dormant accounts."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import click

from aizen_hub.cli.change_sender import ChangeSender, pass_sender
from aizen_hub.cli.connection import api_path, pass_client
from aizen_hub.cli.exit_codes import ExitCode
from aizen_hub.cli.output import Output, output_option, show_result
from aizen_hub.cli.values import END, end_options, timestamp
from aizen_hub.client.sync_client import SyncClient

_FILTERS = ("all", "undecided", "decided", "never-used", "unused", "used", "no-end", "groups")
_RULES = ("keep-used", "remove-unused", "shorten-endless")
review_argument = click.argument("review_id", metavar="REVIEW")
until_option = end_options("the role")


@click.group()
def review() -> None:
    """Review who has access to a project: keep each role, shorten it, or take it away.

    Decisions change nothing before `carry-out`. If the deadline passes, nothing is taken away.
    """


@review.command("list")
@pass_client
@click.argument("project")
@output_option
def list_reviews(client: SyncClient, project: str, output: Output) -> int:
    """List the reviews of PROJECT; `system` stands for the roles of the whole system."""
    show_result(output, client.get(api_path("reviews", scope=project)))
    return ExitCode.DONE


@review.command()
@pass_sender
@click.argument("project")
@click.option(
    "--due", type=END, help="The deadline: a day, which still counts, or a duration such as 10d; default: in two weeks."
)
@click.option("--note", default="", help="Shown on the page of the review.")
def start(sender: ChangeSender, project: str, due: datetime | None, note: str) -> int:
    """Start a review of the access to PROJECT; its other admins are told."""
    body: dict[str, Any] = {"scope": project, "note": note}
    if due is not None:
        body["deadline"] = timestamp(due)
    return sender.finish("POST", api_path("reviews"), body)


@review.command()
@pass_client
@review_argument
@click.option("--only", type=click.Choice(_FILTERS), default="all", show_default=True, help="Which assignments.")
@output_option
def show(client: SyncClient, review_id: str, only: str, output: Output) -> int:
    """Show the assignments of REVIEW: grantor, age, last use, number of uses, and the decision."""
    show_result(output, client.get(api_path("reviews", review_id, show=only)))
    return ExitCode.DONE


@review.command()
@pass_sender
@review_argument
@click.argument("assignments", metavar="ASSIGNMENT…", nargs=-1, required=True, type=click.IntRange(min=1))
@click.option("--keep", "choice", flag_value="keep", help="Keep the role.")
@click.option("--shorten", "choice", flag_value="shorten", help="Set the end given by --until.")
@click.option("--remove", "choice", flag_value="remove", help="Take the role away.")
@click.option("--open", "choice", flag_value="open", help="Take the decision back.")
@until_option
def decide(
    sender: ChangeSender, review_id: str, assignments: tuple[int, ...], choice: str | None, ends: datetime | None
) -> int:
    """Decide about assignments of REVIEW, named by their numbers in `review show`."""
    if choice is None:
        raise click.UsageError("say --keep, --shorten, --remove or --open")
    if (choice == "shorten") != (ends is not None):
        raise click.UsageError("--shorten needs --until, and no other decision takes it")
    decision: dict[str, Any] = {"choice": None if choice == "open" else choice}
    if ends is not None:
        decision["until"] = timestamp(ends)
    body = {"decisions": [{"assignment": number, **decision} for number in assignments]}
    return sender.finish("POST", api_path("reviews", review_id, "decisions"), body)


@review.command()
@pass_sender
@review_argument
@click.argument("rule", type=click.Choice(_RULES))
@until_option
def fill(sender: ChangeSender, review_id: str, rule: str, ends: datetime | None) -> int:
    """Decide by RULE what is not decided yet in REVIEW.

    keep-used: keep what was used in the last 30 days. remove-unused: take away what was never used and is older than 45
    days. shorten-endless: set an end, by default in 90 days, where there is none.
    """
    body: dict[str, Any] = {"rule": rule, **({} if ends is None else {"until": timestamp(ends)})}
    return sender.finish("POST", api_path("reviews", review_id, "fill"), body)


@review.command("carry-out")
@pass_sender
@review_argument
def carry_out(sender: ChangeSender, review_id: str) -> int:
    """Carry out the decisions of REVIEW, all or none of them."""
    path = api_path("reviews", review_id, "carry-out")
    return sender.finish("POST", path)


@review.command()
@pass_sender
@review_argument
@click.argument("assignments", metavar="[ASSIGNMENT…]", nargs=-1, type=click.IntRange(min=1))
def undo(sender: ChangeSender, review_id: str, assignments: tuple[int, ...]) -> int:
    """Give back what REVIEW took away or shortened within 30 days; without numbers everything."""
    body = {"assignments": list(assignments)} if assignments else {}
    return sender.finish("POST", api_path("reviews", review_id, "undo"), body)


@review.command()
@pass_sender
@review_argument
def finish(sender: ChangeSender, review_id: str) -> int:
    """Finish REVIEW; what is not decided stays as it is."""
    return sender.finish("POST", api_path("reviews", review_id, "finish"))


@review.command()
@pass_client
@click.option("--project", default="system", help="Only in this project; default: everywhere, with dormant accounts.")
@output_option
def unused(client: SyncClient, project: str, output: Output) -> int:
    """List roles that were not used for 45 days, and accounts without a sign-in for as long."""
    show_result(output, client.get(api_path("unused-access", scope=project)))
    return ExitCode.DONE

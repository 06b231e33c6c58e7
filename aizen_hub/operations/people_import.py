"""The operation that registers the people of a table, batch by batch: each batch is committed separately."""

from __future__ import annotations

import logging
import smtplib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aizen_hub.accounts.credentials.mailed_links import MailedLink, compose_link_mail
from aizen_hub.accounts.users.bulk_registration import BATCH, register_batch
from aizen_hub.alerts.mail import send_mail
from aizen_hub.commands.result import Result
from aizen_hub.commands.users_table import TableRow
from aizen_hub.operations.control import BatchSize, OperationControl
from aizen_hub.operations.kind import OperationKind
from aizen_hub.operations.operation import OperationCancelled
from aizen_hub.problems import Problem
from aizen_hub.store.transaction import WriteTransaction

log = logging.getLogger(__name__)

KIND = "people-import"
_LARGEST_BATCH = 40
_MAX_NAMED = 200


@dataclass(frozen=True, slots=True)
class PeopleImport:
    """What to import.

    Attributes
    ----------
    rows : sequence of TableRow
        New people only; those who are registered by now are left out.
    by_mail : bool
        Send each new local account that has an address its activation link.
    panel_url : str
        Address of the panel for browsers, for these mails.
    """

    rows: Sequence[TableRow]
    by_mail: bool
    panel_url: str


def import_people(control: OperationControl, request: PeopleImport) -> Mapping[str, Any]:
    """Register the people.

    A batch that was committed stays: after a failure or a cancellation the same table registers the others.
    """
    size, done, total = BatchSize(BATCH, _LARGEST_BATCH), 0, len(request.rows)
    registered, unsent = 0, list[str]()
    while done < total:
        batch = request.rows[done : done + size.items]
        outgoing: list[MailedLink] = []
        results: list[Result] = []

        def register(tx: WriteTransaction) -> None:
            results.append(register_batch(tx, batch, outgoing, by_mail=request.by_mail))  # noqa: B023 - runs at once

        try:
            control.report("registering people", done, total)
            size.adapt(control.write(register))
            registered += len(results[0].data["added"])
            unsent += _send(control, request, outgoing)
        except OperationCancelled:
            raise OperationCancelled(
                f"the import was cancelled; {registered} of {total} people were registered before, and stay registered",
                remedy="import the same file again to register the others, and send new links to those who got none",
            ) from None
        except Problem as problem:
            problem.detail = f"{problem.detail}; {registered} of {total} people were registered before"
            raise
        done += len(batch)
    control.report("registering people", total, total)
    return {
        "registered": registered,
        "left_out": total - registered,
        "unsent": unsent[:_MAX_NAMED],
        "unsent_count": len(unsent),
    }


def _send(control: OperationControl, request: PeopleImport, outgoing: Sequence[MailedLink]) -> list[str]:
    """Send the links; return the users whose link the mail server did not take."""
    settings = control.store.settings.alerts.mail
    unsent = []
    for mailed in outgoing:
        assert settings is not None, "a link is stored only if a mail server is configured"
        try:
            send_mail(settings, mailed.address, compose_link_mail(mailed, request.panel_url))
        except (OSError, smtplib.SMTPException, ValueError) as error:
            log.warning("an activation link was not sent", extra={"data": {"why": type(error).__name__}})
            unsent.append(mailed.user)
        control.rest()
    return unsent


KINDS = (OperationKind(KIND, import_people, keeps_batches=True),)

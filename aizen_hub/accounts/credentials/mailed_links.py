"""Activation links by mail, for users whose rights the issuer does not have: a lost password, for example."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from aizen_hub.accounts.credentials import activation
from aizen_hub.accounts.credentials.activation import LINK_LIFETIME, ActivationLink
from aizen_hub.alerts.message import AlertMessage
from aizen_hub.authorization import checks
from aizen_hub.commands.result import Result, message_result, to_json_value
from aizen_hub.problems import Conflict, Escalation, Problem, TooManyRequests
from aizen_hub.rbac.escalation import MissingRight
from aizen_hub.store import tables

if TYPE_CHECKING:
    from aizen_hub.store.transaction import WriteTransaction

MIN_INTERVAL = timedelta(minutes=1)
"""Between two mailed links of one account, so that no mailbox is flooded."""
_a = tables.activations


@dataclass(frozen=True, slots=True)
class MailedLink:
    """A link that is to be sent when its transaction is committed; it is stored as a hash only."""

    user: str
    address: str = field(repr=False)
    link: ActivationLink = field(repr=False)


def renew_link(tx: WriteTransaction, name: str, outgoing: list[MailedLink], *, by_mail: bool = False) -> Result:
    """Create a new activation link: shown to an actor who may see it, and otherwise sent to the user by mail.

    Parameters
    ----------
    outgoing : list
        Receives the link that the caller has to send after the commit.
    by_mail : bool
        Send it also if the actor may see it.

    Raises
    ------
    Denied, NotFound, Conflict
        As `activation.issue_link`; also if there is no address to send it to.
    Escalation
        The actor may not see the link, and it cannot be sent.
    TooManyRequests
        A link was sent a moment ago.
    """
    row = activation.require_local_account(tx, name)
    missing = activation.missing_to_see_link(tx, row)
    if not missing and not by_mail:
        return activation.reissue_link(tx, row.name)
    checks.forbid_impersonation(tx)
    obstacle = _find_obstacle(tx, row)
    if obstacle is not None:
        raise _unsendable(row.name, obstacle, missing)
    _check_interval(tx, row)
    link = activation.store_link(tx, row.name, by_mail=True)
    outgoing.append(MailedLink(row.name, row.email, link))
    return message_result(
        f"sent an activation link to the registered e-mail address of `{row.name}`, valid until "
        f"{to_json_value(link.expires)}; earlier ones are no longer valid",
        user=row.name,
        sent=True,
    )


def compose_link_mail(mailed: MailedLink, panel_url: str) -> AlertMessage:
    """Return the mail with a link.

    Parameters
    ----------
    panel_url : str
        Address of the panel for browsers; empty if the deployment does not know it.
    """
    if panel_url:
        where = f"open this link:\n\n{panel_url.rstrip('/')}/{mailed.link.page}"
    else:
        where = f"open this page at the address of your hub:\n\n{mailed.link.path}"
    return AlertMessage(
        "Set your password",
        f"An administrator sent you this link for the account {mailed.user}. To set a new password, {where}\n\n"
        f"It is valid until {to_json_value(mailed.link.expires)}, once. Your present password is valid until then.\n"
        "If you did not ask for it, do nothing, and tell your administrator.",
    )


def _find_obstacle(tx: WriteTransaction, row: Any) -> str | None:
    """Return why no link can be sent to the user, or None."""
    if tx.settings.alerts.mail is None:
        return "no mail server is configured (`alerts.mail` in aizen.yaml)"
    if not row.email:
        return f"`{row.name}` has no registered e-mail address"
    if not activation.has_trusted_address(tx, row):
        return f"the e-mail address of `{row.name}` was not registered by `{row.name}` or a user with the same rights"
    return None


def _unsendable(name: str, obstacle: str, missing: Sequence[MissingRight]) -> Problem:
    remedy = f"run `aizen-hub reset-password {name}` on the service's machine"
    if not missing:
        return Conflict(f"no link can be sent: {obstacle}", remedy=f"create a link without mail, or {remedy}")
    sentences = [right.sentence for right in missing]
    return Escalation(
        f"to see an activation link you need every right of `user:{name}`: {'; '.join(sentences[:5])}; "
        f"and it cannot be sent to `{name}`, since {obstacle}",
        remedy=remedy,
        extensions={"missing": sentences},
    )


def _check_interval(tx: WriteTransaction, row: Any) -> None:
    query = select(_a.c.expires).where(_a.c.user_id == row.id, _a.c.by_mail)
    expires = tx.conn.execute(query).scalar()
    if expires is not None and (wait := expires - LINK_LIFETIME + MIN_INTERVAL - tx.now) > timedelta():
        raise TooManyRequests(
            f"a link was sent to `{row.name}` a moment ago",
            remedy="wait a minute",
            extensions={"retry_after": int(wait.total_seconds()) + 1},
        )

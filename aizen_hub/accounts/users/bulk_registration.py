"""Registration of many people from a table: what it would do, and the batches that do it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from sqlalchemy import select

from aizen_hub.accounts import identities
from aizen_hub.accounts.credentials import mailed_links
from aizen_hub.accounts.names import normalization
from aizen_hub.accounts.users import users_file
from aizen_hub.authorization import checks
from aizen_hub.commands.result import Result
from aizen_hub.commands.users_table import TableRow, to_users_file
from aizen_hub.problems import BadInput, Escalation
from aizen_hub.store import tables
from aizen_hub.store.rights.memberships import chunked
from aizen_hub.validation.email_address import short_name

if TYPE_CHECKING:
    from aizen_hub.store.transaction import ActorTransaction, ReadTransaction, WriteTransaction

BATCH = 20
"""People of one transaction, which holds the write lock for some 50 ms."""
_CHECKED_TOGETHER = 500


class RowState(StrEnum):
    """What registration does with one row of a table."""

    NEW = "new"
    REGISTERED = "registered"  # already: it stays as it is
    FAULTY = "faulty"


@dataclass(frozen=True, slots=True)
class PlannedRow:
    """One row of a table and what becomes of it; ``faults`` are sentences."""

    row: TableRow
    state: RowState
    faults: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RegistrationPlan:
    """What the registration of a table would do."""

    rows: tuple[PlannedRow, ...]

    def rows_in(self, state: RowState) -> tuple[PlannedRow, ...]:
        return tuple(planned for planned in self.rows if planned.state is state)

    @property
    def new(self) -> tuple[TableRow, ...]:
        return tuple(planned.row for planned in self.rows_in(RowState.NEW))


def plan_registration(tx: ActorTransaction, rows: Sequence[TableRow]) -> RegistrationPlan:
    """Return what `register_batch` would do with each row; people who are registered already stay as they are.

    Raises
    ------
    Denied
        The actor may not register people.
    """
    checks.require_command(tx, "add_users")
    registered = _registered_names(tx, rows)
    repeated = _repeated_rows(rows)
    candidates = [row for row in rows if _name(row) not in registered and row.line not in repeated]
    faults: dict[int, list[str]] = defaultdict(list, {line: [text] for line, text in repeated.items()})
    for chunk in chunked(candidates, _CHECKED_TOGETHER):
        for line, text in _find_faults(tx, chunk):
            faults[line].append(text)
    return RegistrationPlan(
        tuple(
            PlannedRow(row, RowState.FAULTY, tuple(faults[row.line]))
            if row.line in faults
            else PlannedRow(row, RowState.REGISTERED if _name(row) in registered else RowState.NEW)
            for row in rows
        )
    )


def count_local_accounts(tx: ReadTransaction, plan: RegistrationPlan) -> int:
    """Return how many of the new people have a local account, and so need an activation link."""
    local = {item.name for item in tx.settings.providers if item.kind == identities.LOCAL_KIND}
    default = tx.settings.registration_provider
    return sum((row.entry.get("provider") or default) in local for row in plan.new)


def register_batch(
    tx: WriteTransaction,
    rows: Sequence[TableRow],
    outgoing: list[mailed_links.MailedLink],
    *,
    by_mail: bool,
) -> Result:
    """Register the people of one batch, all or none, leaving out those who are registered by now.

    Parameters
    ----------
    outgoing : list
        Receives the activation links that the caller has to send after the commit.
    by_mail : bool
        Send each new local account that has an address its activation link; any other gets one when it is asked for.
    """
    registered = _registered_names(tx, rows)
    new = [row for row in rows if _name(row) not in registered]
    result = users_file.add_users(tx, to_users_file(new), with_links=False)
    if by_mail:
        for row in new:
            name = _name(row)
            if name is not None and row.entry.get("email") and identities.is_local_user(tx, name):
                mailed_links.renew_link(tx, name, outgoing, by_mail=True)
    return result


def _find_faults(tx: ActorTransaction, rows: Sequence[TableRow]) -> Iterable[tuple[int, str]]:
    """Yield the line and the sentence of each fault."""
    try:
        users_file.check_new_users(tx, to_users_file(rows))
    except (BadInput, Escalation) as problem:
        if not problem.faults:
            raise
        for fault in problem.faults:
            index, _, key = fault.pointer.removeprefix("/").partition("/")
            label = "" if key in ("", "id") else f"{key.partition('/')[0]}: "
            allowed = f" (allowed: {', '.join(fault.allowed)})" if fault.allowed else ""
            yield rows[int(index)].line, f"{label}{fault.detail}{allowed}"


def _repeated_rows(rows: Sequence[TableRow]) -> dict[int, str]:
    first_line: dict[str, int] = {}
    repeated: dict[int, str] = {}
    for row in rows:
        name = _name(row)
        if name is not None and first_line.setdefault(name, row.line) != row.line:
            repeated[row.line] = f"this login is in line {first_line[name]} already"
    return repeated


def _registered_names(tx: ReadTransaction, rows: Sequence[TableRow]) -> frozenset[str]:
    names = sorted({name for row in rows if (name := _name(row)) is not None})
    u = tables.users
    registered: set[str] = set()
    for chunk in chunked(names):
        registered |= set(tx.conn.execute(select(u.c.name).where(u.c.name.in_(chunk))).scalars())
    return frozenset(registered)


def _name(row: TableRow) -> str | None:
    return normalization.canonical_or_none(short_name(row.name)) if row.name else None

"""Days in commands that end in the zone of the caller, whose client says when."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from types import MappingProxyType

from aizen_hub.catalogs.grammar import ArgumentKind, NamedArgument, PositionalArgument
from aizen_hub.commands.command import Command
from aizen_hub.problems import BadInput, Fault
from aizen_hub.validation.end_time import is_end_in_some_zone


def with_local_ends(command: Command, day_ends: Mapping[str, datetime], now: datetime) -> Command:
    """Return the command with its days written as times with their zone, which are then decided and recorded.

    Parameters
    ----------
    day_ends : mapping of str to datetime
        When each day of the line, or ``eod``, ends for the caller. Days that it does not name remain days of UTC.

    Raises
    ------
    BadInput
        A day ends at that moment in no time zone.
    """
    names = [
        part.name
        for part in command.entry.syntax.parts
        if isinstance(part, PositionalArgument | NamedArgument) and part.kind is ArgumentKind.END
    ]
    changed = {}
    for name in names:
        day = command.arguments.get(name)
        if not isinstance(day, str) or day not in day_ends:
            continue
        if not is_end_in_some_zone(day, day_ends[day], now):
            detail = f"{day} ends at that time in no time zone"
            raise BadInput(detail, faults=[Fault(f"/day_ends/{day}", detail)])
        changed[name] = day_ends[day].isoformat(timespec="minutes")
    if not changed:
        return command
    return replace(command, arguments=MappingProxyType({**command.arguments, **changed}))

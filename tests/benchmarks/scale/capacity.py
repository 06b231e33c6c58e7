"""What replicas and PostgreSQL carry, computed from measured costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aizen_hub.notebook.role_token import MARGIN_SECONDS
from aizen_hub.settings import Settings
from tests.benchmarks.scale.cost import Cost, format_table

BUSY = 0.6
"""Of one core: above it waiting times grow, and a replica that fails leaves its part to the others."""
WORK_HOURS = 10
"""In which the sessions of one day run."""


@dataclass(frozen=True)
class Use:
    """How one session is used.

    Attributes
    ----------
    decisions, pages : float
        In an hour.
    starts : float
        Of servers in an hour; each after one sign-in.
    """

    name: str
    decisions: float
    pages: float = 2.0
    starts: float = 0.25


USES = (Use("10 decisions an hour", 10), Use("60 decisions an hour", 60), Use("600 decisions an hour", 600))


@dataclass(frozen=True)
class Intervals:
    """Seconds between two renewals of a session, and between two heartbeats of the hub; the defaults' own."""

    renewal: float = Settings().role_token.lifetime_seconds - MARGIN_SECONDS
    heartbeat: float = Settings().session.heartbeat_seconds


@dataclass(frozen=True)
class Carried:
    """How many sessions a core carries, and what they write.

    Attributes
    ----------
    sessions_of_replica, sessions_of_database : float
        For one core of each that is busy for `BUSY` of its time.
    rows, table_bytes : float
        That one session leaves in an hour.
    """

    sessions_of_replica: float
    sessions_of_database: float
    rows: float
    table_bytes: float


def carried(costs: Mapping[str, Cost], use: Use, intervals: Intervals) -> Carried:
    """Compute from the costs named ``login``, ``start``, ``renewal``, ``decision``, ``page`` and ``heartbeat``.

    The last one is that of one listed server. A session renews at every interval, which is the most that it can: one
    without a command does not.
    """
    an_hour = {
        "login": use.starts,
        "start": use.starts,
        "renewal": 3600 / intervals.renewal,
        "decision": use.decisions,
        "page": use.pages,
        "heartbeat": 3600 / intervals.heartbeat,
    }
    service = sum(costs[name].service_seconds * times for name, times in an_hour.items())
    database = sum(costs[name].database_seconds * times for name, times in an_hour.items())
    return Carried(
        3600 * BUSY / service,
        3600 * BUSY / database,
        sum(costs[name].rows * times for name, times in an_hour.items()),
        sum(costs[name].table_bytes * times for name, times in an_hour.items()),
    )


def format_capacity(costs: Mapping[str, Cost], sessions: int, uses: Sequence[Use] = USES) -> str:
    """Return the table of what is carried, with the defaults of both intervals and with long ones."""
    default = Intervals()
    long = Intervals(
        Settings.model_validate({"role_token": {"lifetime_seconds": 600}}).role_token.lifetime_seconds - MARGIN_SECONDS,
        60,
    )
    head = [
        "each session", "renewal s", "heartbeat s", "sessions one core of replicas carries",
        "sessions one core of PostgreSQL carries", f"rows a day of {sessions:,} sessions", "GB a day",
    ]  # fmt: skip
    rows = []
    for use in uses:
        for intervals in (default, long):
            found = carried(costs, use, intervals)
            a_day = sessions * WORK_HOURS
            rows.append(
                [
                    use.name,
                    f"{intervals.renewal:.0f}",
                    f"{intervals.heartbeat:.0f}",
                    f"{_round(found.sessions_of_replica):,}",
                    f"{_round(found.sessions_of_database):,}",
                    f"{_round(found.rows * a_day):,}",
                    f"{found.table_bytes * a_day / 1e9:.1f}",
                ]
            )
    return format_table(head, rows)


def _round(value: float) -> int:
    """Keep two digits: more would pretend an accuracy that processor times of one machine do not have."""
    number = round(value)
    return round(number, 2 - len(str(abs(number)))) if number else 0

"""What one kind of request costs, and the table of these costs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from tests.benchmarks.scale.request_load import LoadOutcome
from tests.benchmarks.scale.usage import Usage


@dataclass(frozen=True)
class Cost:
    """One line of the capacity table; costs are those of one request.

    Attributes
    ----------
    count : int
        Good answers that were measured.
    rate : float
        Good answers a second, of all replicas together.
    median_ms, p99_ms, slowest_ms : float
        Until the answer.
    service_ms, database_ms : float
        Processor time of the replicas, and of PostgreSQL.
    rows, table_bytes : float
        What stays in the tables, with their indexes.
    wal_bytes : float
        What was written ahead, and is copied to a standby.
    refused : dict
        Numbers of other answers, by their status; part of the costs.
    paced : bool
        The rate was given, not reached.
    """

    name: str
    count: int
    rate: float
    median_ms: float
    p99_ms: float
    slowest_ms: float
    service_ms: float
    database_ms: float
    rows: float
    table_bytes: float
    wal_bytes: float
    refused: dict[str, int] = field(default_factory=dict)
    paced: bool = False

    @property
    def service_seconds(self) -> float:
        return self.service_ms / 1000

    @property
    def database_seconds(self) -> float:
        return self.database_ms / 1000


def cost_of(name: str, outcome: LoadOutcome, used: Usage, *, paced: bool = False) -> Cost:
    """Divide what was used by the number of answers."""
    count = outcome.answers
    return Cost(
        name, count, outcome.rate, outcome.median, outcome.p99, outcome.slowest, 1000 * used.service_seconds / count,
        1000 * used.database_seconds / count, used.rows / count, used.table_bytes / count, used.wal_bytes / count,
        outcome.refused, paced,
    )  # fmt: skip


def format_costs(costs: Iterable[Cost]) -> str:
    """Return the costs as a table in Markdown, whose columns are aligned."""
    head = [
        "one …", "service CPU ms", "PostgreSQL CPU ms", "rows", "kB kept", "kB of WAL", "measured", "a second",
        "p50 ms", "p99 ms", "refused",
    ]  # fmt: skip
    rows = [
        [
            cost.name,
            f"{cost.service_ms:.2f}",
            f"{cost.database_ms:.2f}",
            f"{cost.rows:.1f}",
            f"{cost.table_bytes / 1000:.1f}",
            f"{cost.wal_bytes / 1000:.1f}",
            f"{cost.count:,}",
            f"{cost.rate:,.0f} given" if cost.paced else f"{cost.rate:,.0f}",
            f"{cost.median_ms:,.1f}",
            f"{cost.p99_ms:,.1f}",
            ", ".join(f"{number} x {status}" for status, number in sorted(cost.refused.items())) or "0",
        ]
        for cost in costs
    ]
    return format_table(head, rows)


def format_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return an aligned table in Markdown; all columns but the first hold numbers."""
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        padded = [
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return "| " + " | ".join(padded) + " |"

    rule = "|" + "|".join("-" * (width + 1) + (":" if column else "-") for column, width in enumerate(widths)) + "|"
    return "\n".join([line(head), rule, *(line(row) for row in rows)])

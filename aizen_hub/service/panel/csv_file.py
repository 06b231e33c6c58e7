"""CSV files of the panel, as downloads."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

from aizen_hub.audit.export import csv_cell
from aizen_hub.service.http.route import RawResponse
from aizen_hub.service.panel.rendering import HEADERS

CSV = "text/csv; charset=utf-8"


def to_csv(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return rows as CSV; no spreadsheet takes a cell for a formula."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(header)
    writer.writerows([csv_cell(cell) for cell in row] for row in rows)
    return out.getvalue()


def csv_response(text: str, filename: str) -> RawResponse:
    """Return a CSV file as a download; the name consists of characters that a header can hold."""
    headers = {**HEADERS, "Content-Disposition": f'attachment; filename="{filename}"'}
    return RawResponse(text.encode(), CSV, headers)

"""Pages of long lists: by the sort key of their last row, with an exact count; sort and filters are in the address."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import BeforeValidator, Field
from sqlalchemy import ColumnElement, Select, String, and_, func, literal, or_, select

from aizen_hub.api_models.schema import Schema
from aizen_hub.problems import BadInput
from aizen_hub.store.timestamps import UtcDateTime
from aizen_hub.store.transaction import ReadTransaction

PAGE_SIZE = 25
DESCENDING = "-"
MAX_INTEGER = 2**63 - 1
"""The greatest whole number that a column can hold."""

EMPTY_IS_NONE = BeforeValidator(lambda value: value or None)
"""For optional fields of a filter form: browsers send an empty field as an empty text."""
Text = Annotated[str, Field(max_length=255, pattern=r"^[^\x00]*$")]
"""What is searched for; NUL is in no text of a database, and PostgreSQL refuses it."""
OptionalText = Annotated[Text | None, EMPTY_IS_NONE]
_Cursor = Annotated[Annotated[str, Field(max_length=2000)] | None, EMPTY_IS_NONE]


class PageQuery(Schema):
    """The query of a list: its order and cursor. Subclasses add the filters."""

    sort: OptionalText = None
    after: _Cursor = None
    before: _Cursor = None

    @property
    def filters(self) -> dict[str, Any]:
        """The filters and the order, without the cursor: what the links of the list keep."""
        values = self.model_dump(exclude={"after", "before"}, mode="json")
        return {name: value for name, value in values.items() if value is not None}


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def never_first(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return a time for a sort that counts NULL, such as *never used*, as the earliest."""
    return func.coalesce(column, literal(_EPOCH, UtcDateTime()), type_=UtcDateTime())


@dataclass(frozen=True, slots=True)
class Sort:
    """An order of a list.

    Attributes
    ----------
    key : str
        In the address, ``-`` before it for descending.
    columns : sequence of ColumnElement
        The last one is unique, so that every row has its place. None of them is ever NULL: use `never_first`.
    """

    key: str
    columns: Sequence[ColumnElement[Any]]


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a list.

    Attributes
    ----------
    rows : list of Row
    total : int
        Exact number of rows of the whole list, with its filters.
    first : int
        Number of the first row of this page, from 1; 0 where the page is empty.
    next, previous : str or None
        The cursors for ``after=`` and ``before=`` in the address.
    sort : str
        As in the address.
    filters : mapping
        What the links of the pager and of the sort headers keep.
    """

    rows: list[Any]
    total: int
    first: int
    next: str | None
    previous: str | None
    sort: str
    filters: Mapping[str, Any]

    @property
    def last(self) -> int:
        """Number of the last row of this page."""
        return self.first + len(self.rows) - 1 if self.rows else 0

    def sort_link(self, key: str) -> str:
        """Return the value of ``sort=`` that a click on a column's header leads to."""
        return f"{DESCENDING}{key}" if self.sort == key else key

    def aria_sort(self, key: str) -> str | None:
        """Return the value of ``aria-sort`` of a column's header; None where the list has another order."""
        return {key: "ascending", f"{DESCENDING}{key}": "descending"}.get(self.sort)


def read_page(
    tx: ReadTransaction,
    select_rows: Select[Any],
    sorts: Sequence[Sort],
    query: PageQuery,
    *,
    size: int = PAGE_SIZE,
    total: int | None = None,
) -> Page:
    """Read one page of a list.

    Parameters
    ----------
    select_rows : Select
        With all filters, and without an order.
    sorts : sequence of Sort
        The orders that the list offers; the first one is the default.
    query : PageQuery
        Of the request.
    total : int, optional
        The exact count, where it is cheaper to get than by counting ``select_rows``.

    Raises
    ------
    BadInput
        The address has an order that the list does not offer, or a cursor that is not one of this order.
    """
    name = query.sort or sorts[0].key
    descending = name.startswith(DESCENDING)
    order = next((item for item in sorts if item.key == name.removeprefix(DESCENDING)), None)
    if order is None:
        raise BadInput("the list cannot be sorted this way", remedy="open the list from its beginning")
    if total is None:
        total = tx.conn.execute(select(func.count()).select_from(select_rows.order_by(None).subquery())).scalar_one()
    backward = query.before is not None
    cursor = _decode_cursor(query.before or query.after, order.columns)
    keys = [column.label(f"key_{number}") for number, column in enumerate(order.columns)]
    rows_query = select_rows.add_columns(*keys)
    if cursor is not None:
        rows_query = rows_query.where(_is_beyond(order.columns, cursor[1], smaller=descending != backward))
    ordered = (column.desc() if descending != backward else column.asc() for column in order.columns)
    rows = list(tx.conn.execute(rows_query.order_by(*ordered).limit(size + 1)).all())
    has_more, rows = len(rows) > size, rows[:size]
    if backward:
        rows.reverse()
    number = 1 if cursor is None else cursor[0]
    first = 0 if not rows else max(1, number - len(rows)) if backward else number
    has_next, has_previous = (True, has_more) if backward else (has_more, cursor is not None)
    return Page(
        rows,
        total,
        first,
        _encode_cursor(rows[-1], len(keys), first + len(rows)) if rows and has_next else None,
        _encode_cursor(rows[0], len(keys), first) if rows and has_previous else None,
        name,
        query.filters,
    )


def _is_beyond(columns: Sequence[ColumnElement[Any]], values: Sequence[Any], *, smaller: bool) -> ColumnElement[bool]:
    """Return the condition of the rows on one side of a cursor, for an order by several columns."""
    return or_(
        *(
            and_(
                *(column == value for column, value in zip(columns[:n], values[:n], strict=True)),
                columns[n] < values[n] if smaller else columns[n] > values[n],
            )
            for n in range(len(columns))
        )
    )


def _encode_cursor(row: Any, count: int, number: int) -> str:
    values = [getattr(row, f"key_{index}") for index in range(count)]
    coded = [value.isoformat() if isinstance(value, datetime) else value for value in values]
    text = json.dumps([number, coded], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def _decode_cursor(text: str | None, columns: Sequence[ColumnElement[Any]]) -> tuple[int, list[Any]] | None:
    """Return the number of the row after a cursor, and the sort key of the row before it."""
    if text is None:
        return None
    try:
        number, coded = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        if not isinstance(number, int) or abs(number) > MAX_INTEGER or not isinstance(coded, list):
            raise ValueError("not a cursor")
        return number, [_decode_value(column, value) for column, value in zip(columns, coded, strict=True)]
    except (ValueError, TypeError, OverflowError, RecursionError, binascii.Error):
        raise BadInput(
            "the address does not name a page of this list", remedy="open the list from its beginning"
        ) from None


def _decode_value(column: ColumnElement[Any], value: Any) -> Any:
    if isinstance(column.type, UtcDateTime):
        return datetime.fromisoformat(value).astimezone(UTC)
    # What no column holds would be an error of the database.
    if isinstance(column.type, String):
        if not isinstance(value, str) or "\0" in value:
            raise ValueError("not a text of a column")
        value.encode()
    elif not isinstance(value, (int, float)) or not abs(value) <= MAX_INTEGER:
        raise ValueError("not a number of a column")
    return value

"""From a Result of the accounts layer to an answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aizen_hub.accounts.result import Result
from aizen_hub.service.call import Call, etag
from aizen_hub.service.route import Answer
from aizen_hub.store.transaction import Write


def answered(result: Result, tx: Write, status: int = 200) -> Answer:
    """Return a result with its revision; 202 where the change waits for confirmation."""
    value = result.at(tx.revision).to_json()
    version = value["data"].get("version") if isinstance(value.get("data"), dict) else None
    headers = {"ETag": etag(version)} if isinstance(version, int) else {}
    return Answer(value, 202 if result.pending else status, headers)


async def change(call: Call, work: Callable[[Write], Result], status: int = 200) -> Answer:
    """Do what changes or lists something, in one transaction with its decision."""
    return await call.write(lambda tx, ruling: answered(work(tx), tx, status))


def if_match(call: Call) -> int | None:
    """Return the version that a replacement is based on (RFC 9110, 13.1.1); None where it is left open.

    Raises
    ------
    BadInput
    """
    from aizen_hub.problems import BadInput

    given = (call.headers.get("If-Match") or "").strip()
    if given in ("", "*"):
        return None
    inner: Any = given[1:-1] if len(given) > 2 and given[0] == given[-1] == '"' else ""
    if not (inner.isascii() and inner.isdigit() and len(inner) < 19):
        raise BadInput("`If-Match` must be one ETag that we gave")
    return int(inner)

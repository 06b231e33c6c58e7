"""Idempotency keys: a retried write has one effect, one audit row, and one answer (R103)."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from sqlalchemy import delete, insert, select

from aizen_hub.problems import BadInput, Conflict
from aizen_hub.service.http.request import joined
from aizen_hub.service.http.route import Answer
from aizen_hub.store import tables
from aizen_hub.store.transaction import Read, Write

if TYPE_CHECKING:
    from datetime import datetime

    from aizen_hub.service.pipeline.request_context import Call

_KEY = re.compile(r"[!-~]{1,120}")


class KeyReused(Conflict):
    """The key was used for another request before."""

    slug, title = "idempotency-key-reused", "This Idempotency-Key belongs to another request"


@dataclass(frozen=True, slots=True)
class Key:
    """A key as it is kept: per identity, route and body, so that nobody meets another's answer.

    The caller is authorised before a kept answer is given again; whoever lost the right since then gets a refusal.
    """

    identity: str
    route: str
    key: str
    body_hash: str

    @classmethod
    def of(cls, call: Call) -> Self | None:
        """Read the key of a request, None where there is none; BadInput for a malformed one."""
        given = call.headers.getall("Idempotency-Key", ())
        if not given or not call.route.keyed:
            return None
        if len(given) > 1 or not _KEY.fullmatch(given[0]):
            raise BadInput("`Idempotency-Key` must be one text of 1 to 120 visible ASCII characters")
        digest = hashlib.sha256()
        for name, value in sorted(call.members.items()):
            digest.update(f"{len(name)}:{name}{len(value)}:{value}".encode())
        if call.body is not None:
            digest.update(call.body.model_dump_json().encode())
        digest.update(joined(call.headers, "If-Match").encode("utf-8", "surrogatepass"))
        return cls(str(call.identity), call.route.name[:120], given[0], digest.hexdigest())

    def find(self, tx: Read) -> Answer | None:
        """Return the answer given before; KeyReused if the key belongs to another body."""
        table = tables.replays.c
        row = tx.conn.execute(
            select(table.body_hash, table.status, table.answer).where(
                table.identity == self.identity, table.route == self.route, table.key == self.key
            )
        ).first()
        if row is None:
            return None
        if row.body_hash != self.body_hash:
            raise KeyReused(
                "this `Idempotency-Key` was used for a request with another content", remedy="use a new key"
            )
        return Answer(row.answer, row.status or None, {"Idempotency-Replayed": "true"})

    def keep(self, tx: Write, answer: Answer) -> None:
        """Keep an answer; it commits with the effect."""
        tx.conn.execute(
            insert(tables.replays).values(
                identity=self.identity,
                route=self.route,
                key=self.key,
                body_hash=self.body_hash,
                status=answer.status or 0,
                answer=_without_secrets(answer.value),
                at=tx.now,
            )
        )


_SHOWN_ONCE = frozenset({"activation", "activations", "credential", "token", "link"})


def _without_secrets(value: Any) -> Any:
    # What is shown once is not kept: whoever retries learns that it was done, and asks for a new link (R98).
    if isinstance(value, dict):
        return {name: None if name in _SHOWN_ONCE else _without_secrets(one) for name, one in value.items()}
    return [_without_secrets(one) for one in value] if isinstance(value, list) else value


def prune(tx: Write, before: datetime) -> int:
    """Forget answers older than ``before``; returns how many."""
    return tx.conn.execute(delete(tables.replays).where(tables.replays.c.at < before)).rowcount

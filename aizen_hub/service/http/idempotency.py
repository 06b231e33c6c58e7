"""Idempotency keys: a retried write has one effect, one audit record, and one response (R103)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from sqlalchemy import delete, insert, select

from aizen_hub.api_models.schema import Schema
from aizen_hub.problems import BadInput, Conflict
from aizen_hub.rbac.identity import Identity
from aizen_hub.service.http.headers import Headers, joined_header
from aizen_hub.service.http.route import JsonResponse, Route
from aizen_hub.store import tables
from aizen_hub.store.transaction import ReadTransaction, WriteTransaction

_KEY = re.compile(r"[!-~]{1,120}")


class IdempotencyKeyReused(Conflict):
    """The key was used for another request."""

    slug, title = "idempotency-key-reused", "This Idempotency-Key belongs to another request"


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """A key as it is stored: per identity, route and content, so that no user receives another user's response.

    A request is authorized before a stored response is returned: a user who has lost the right meanwhile is refused.
    """

    identity: str
    route: str
    key: str
    body_hash: str

    @classmethod
    def of_request(
        cls, route: Route, headers: Headers, identity: Identity, path_params: Mapping[str, str], body: Schema | None
    ) -> Self | None:
        """Return the key of a request; None where none was sent, or where the route takes none.

        Raises
        ------
        BadInput
            It is malformed, or was sent twice.
        """
        keys = headers.getall("Idempotency-Key", ())
        if not keys or not route.idempotent:
            return None
        if len(keys) > 1 or not _KEY.fullmatch(keys[0]):
            raise BadInput("`Idempotency-Key` must be one text of 1 to 120 visible ASCII characters")
        digest = hashlib.sha256()
        for name, value in sorted(path_params.items()):
            digest.update(f"{len(name)}:{name}{len(value)}:{value}".encode())
        if body is not None:
            digest.update(body.model_dump_json().encode())
        digest.update(joined_header(headers, "If-Match").encode("utf-8", "surrogatepass"))
        return cls(str(identity), route.name[:120], keys[0], digest.hexdigest())

    def stored_response(self, tx: ReadTransaction) -> JsonResponse | None:
        """Return the response to the first request with this key; None where there was none.

        Raises
        ------
        IdempotencyKeyReused
            The key was used for other content.
        """
        table = tables.idempotency_keys.c
        row = tx.conn.execute(
            select(table.body_hash, table.status, table.response).where(
                table.identity == self.identity, table.route == self.route, table.key == self.key
            )
        ).first()
        if row is None:
            return None
        if row.body_hash != self.body_hash:
            raise IdempotencyKeyReused(
                "this `Idempotency-Key` was used for a request with another content", remedy="use a new key"
            )
        return JsonResponse(row.response, row.status or None, {"Idempotency-Replayed": "true"})

    def store_response(self, tx: WriteTransaction, response: JsonResponse) -> None:
        """Store a response; it commits with the effect."""
        tx.conn.execute(
            insert(tables.idempotency_keys).values(
                identity=self.identity,
                route=self.route,
                key=self.key,
                body_hash=self.body_hash,
                status=response.status or 0,
                response=_without_secrets(response.value),
                at=tx.now,
            )
        )


_SHOWN_ONCE = frozenset({"activation", "activations", "credential", "token", "link"})


def _without_secrets(value: Any) -> Any:
    # What is shown once is not stored: a retry reports that it was done, and a new link has to be requested (R98).
    if isinstance(value, dict):
        return {name: None if name in _SHOWN_ONCE else _without_secrets(member) for name, member in value.items()}
    return [_without_secrets(member) for member in value] if isinstance(value, list) else value


def prune_responses(tx: WriteTransaction, before: datetime) -> int:
    """Delete responses older than ``before``; returns how many."""
    return tx.conn.execute(delete(tables.idempotency_keys).where(tables.idempotency_keys.c.at < before)).rowcount

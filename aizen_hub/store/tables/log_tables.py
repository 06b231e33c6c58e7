"""The tables of what was done, and of what is still to be done; see `tables`."""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Boolean, Column, Index, Integer, LargeBinary, String, Text

from aizen_hub.store.tables.columns import NAME, identifier, table
from aizen_hub.store.timestamps import Instant

changes = table(
    "changes",
    Column("revision", BigInteger, primary_key=True, autoincrement=False),
    Column("kind", String(40), nullable=False),
    Column("touches", JSON, nullable=False),  # names of what compiled rights may depend on, see Write.change
    Column("payload", JSON, nullable=False),  # the whole change, enough to replay it (T-38)
    Column("at", Instant, nullable=False),
    Column("audit_id", String(64), nullable=False),
)

outbox = table(
    "outbox",
    identifier(),
    Column("recipient", String(NAME), nullable=False),
    Column("channel", String(20), nullable=False),  # email, webhook
    Column("event", String(40), nullable=False),
    Column("payload", JSON, nullable=False),
    Column("created", Instant, nullable=False),
    Column("next_try", Instant, nullable=False, index=True),
    Column("tries", Integer, nullable=False, default=0),
    Column("sent", Instant),
    Column("failed", Text),
    Column("once", String(120), unique=True),  # the same notice is never written twice
)

pending = table(
    # Changes that wait for confirmation, and requests for access.
    "pending",
    Column("id", String(32), primary_key=True),
    Column("kind", String(40), nullable=False),
    Column("asked_by", String(NAME + 20), nullable=False),
    Column("asked", Instant, nullable=False),
    Column("expires", Instant, nullable=False),
    Column("payload", JSON, nullable=False),
    Column("state", String(20), nullable=False),  # waiting, confirmed, rejected, expired
    Column("decided_by", String(NAME + 20)),
    Column("decided", Instant),
    Column("comment", Text, nullable=False, default=""),
)

replays = table(
    # Answers by idempotency key: per identity, route and body (R103).
    "replays",
    Column("identity", String(NAME + 20), primary_key=True),
    Column("route", String(120), primary_key=True),
    Column("key", String(120), primary_key=True),
    Column("body_hash", String(64), nullable=False),
    Column("status", Integer, nullable=False),
    Column("answer", JSON, nullable=False),
    Column("at", Instant, nullable=False, index=True),
)

throttles = table(
    "throttles",
    Column("subject", String(NAME + 80), primary_key=True),  # a kind of count and a hash
    Column("failures", Integer, nullable=False),
    Column("until", Instant, nullable=False),
)

open_commands = table(
    # What was given to the core and has not ended as far as anybody knows, and which replica watches over it.
    "open_commands",
    Column("decision_id", String(64), primary_key=True),
    Column("user", String(NAME), nullable=False),
    Column("project", String(NAME)),
    Column("session", String(32)),
    Column("acting", String(NAME + 20)),
    Column("command", Text, nullable=False),  # as it may be recorded
    Column("job", String(10)),  # starts, stops
    Column("watcher", String(40), nullable=False),
    Column("until", Instant, nullable=False, index=True),  # then anybody may watch over it
    Column("lost", Boolean, nullable=False, default=False),  # an outcome `unknown` is recorded; the job counts on
)

audit = table(
    "audit",
    Column("writer", String(40), primary_key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("id", String(64), nullable=False, unique=True),  # the decision's or the event's id
    Column("at", Instant, nullable=False),
    Column("event", String(40), nullable=False),
    Column("identity", String(NAME + 20)),
    Column("project", String(NAME)),
    Column("body", LargeBinary, nullable=False),  # canonical JSON of the whole row: what the hash is over
    Column("previous", LargeBinary, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    # The only index for searching, and one that grows at its end: rows are written all the time, to the same few pages,
    # and looked for now and then, through a narrow copy of them from its newest end. An index for each identity and
    # project would be written in as many places as there are people, which was half the cost of a decision.
    Index("ix_audit_found", "at", "event", "identity", "project"),
)

seals = table(
    # Where the audit begins, after its oldest rows went into a signed file; see audit.seal.
    "seals",
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("line", Text, nullable=False),
)

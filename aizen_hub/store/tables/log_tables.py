"""Tables of records and of pending work: audit, changes, outbox, pending changes and commands in flight."""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Boolean, Column, Float, Index, Integer, LargeBinary, String, Text

from aizen_hub.store.tables.columns import IDENTITY_LENGTH, NAME_LENGTH, id_column, make_table
from aizen_hub.store.timestamps import UtcDateTime

changes = make_table(
    "changes",
    Column("revision", BigInteger, primary_key=True, autoincrement=False),
    Column("kind", String(40), nullable=False),
    Column("invalidates", JSON, nullable=False),  # names that compiled rights depend on; see `record_change`
    Column("payload", JSON, nullable=False),  # the whole change, enough to replay it (T-38)
    Column("at", UtcDateTime, nullable=False),
    Column("audit_id", String(64), nullable=False),
)

outbox = make_table(
    "outbox",
    id_column(),
    Column("recipient", String(NAME_LENGTH), nullable=False),
    Column("channel", String(20), nullable=False),  # email, phone, webhook
    Column("event", String(40), nullable=False),
    Column("payload", JSON, nullable=False),
    Column("created", UtcDateTime, nullable=False),
    Column("next_attempt", UtcDateTime, nullable=False, index=True),
    Column("attempts", Integer, nullable=False, default=0),
    Column("sent", UtcDateTime),
    Column("failure", Text),  # why it was given up
    Column("deduplication_key", String(120), unique=True),  # an alert with the same key is not written again
)

pending_changes = make_table(
    # Changes that need confirmation, and requests for access.
    "pending_changes",
    Column("id", String(32), primary_key=True),
    Column("kind", String(40), nullable=False),
    Column("requested_by", String(IDENTITY_LENGTH), nullable=False),
    Column("requested", UtcDateTime, nullable=False),
    Column("expires", UtcDateTime, nullable=False),
    Column("payload", JSON, nullable=False),
    Column("state", String(20), nullable=False),  # waiting, confirmed, rejected, expired
    Column("decided_by", String(IDENTITY_LENGTH)),
    Column("decided", UtcDateTime),
    Column("comment", Text, nullable=False, default=""),
    # Closed ones are never deleted, and every grant of a role reads the waiting requests.
    Index("ix_pending_changes_state", "state", "requested_by"),
    Index("ix_pending_changes_decided", "decided"),
)

idempotency_keys = make_table(
    # Responses by idempotency key, per identity, route and request body (R103).
    "idempotency_keys",
    Column("identity", String(IDENTITY_LENGTH), primary_key=True),
    Column("route", String(120), primary_key=True),
    Column("key", String(120), primary_key=True),
    Column("body_hash", String(64), nullable=False),
    Column("status", Integer, nullable=False),
    Column("response", JSON, nullable=False),
    Column("at", UtcDateTime, nullable=False, index=True),
)

attempt_counters = make_table(
    # Failed attempts, for throttling.
    "attempt_counters",
    Column("subject", String(NAME_LENGTH + 80), primary_key=True),  # a kind of counter and a hash
    Column("failures", Integer, nullable=False),
    Column("until", UtcDateTime, nullable=False),
)

open_commands = make_table(
    # Commands that the core was given and is not known to have ended, and which replica follows each of them.
    "open_commands",
    Column("decision_id", String(64), primary_key=True),
    Column("user", String(NAME_LENGTH), nullable=False),
    Column("project", String(NAME_LENGTH)),
    Column("session", String(32)),
    Column("acting", String(IDENTITY_LENGTH)),
    Column("command", Text, nullable=False),  # without secrets
    Column("job", String(10)),  # starts, stops
    Column("owner", String(40), nullable=False),  # the replica that holds the lease
    Column("lease_until", UtcDateTime, nullable=False, index=True),  # after that any replica may claim it
    Column("lost", Boolean, nullable=False, default=False),  # outcome `unknown` is recorded; the job still counts
)

replicas = make_table(
    # Service processes that share the database, and what their configuration must have in common.
    "replicas",
    Column("instance", String(128), primary_key=True),
    Column("host", String(NAME_LENGTH), nullable=False),
    Column("started", UtcDateTime, nullable=False),
    Column("seen", UtcDateTime, nullable=False),
    Column("configuration", JSON, nullable=False),  # name → value; of secrets a keyed hash
    Column("revision", BigInteger, nullable=False),  # the newest one that it has seen
    Column("clock_offset", Float, nullable=False),  # seconds
)

operations = make_table(
    # Work that takes longer than a request; see `aizen_hub.operations`.
    "operations",
    Column("id", String(32), primary_key=True),  # 128 random bits
    Column("kind", String(40), nullable=False),
    Column("requested_by", String(IDENTITY_LENGTH), nullable=False),
    Column("channel", String(20), nullable=False),
    Column("source", String(64)),
    Column("requested", UtcDateTime, nullable=False),
    Column("state", String(20), nullable=False),  # waiting, running, succeeded, failed, cancelled, interrupted
    Column("effect", String(20), nullable=False),  # of what it staged: none, staged, applied, finalized
    Column("owner", String(40), nullable=False),  # the process that runs it
    Column("lease_until", UtcDateTime, nullable=False),  # after that its process counts as ended
    Column("cancelled_by", String(IDENTITY_LENGTH)),
    Column("progress", JSON, nullable=False),
    Column("result", JSON(none_as_null=True)),
    Column("problem", JSON(none_as_null=True)),
    Column("ended", UtcDateTime),
    # Read with every assignment that an operation staged.
    Index("ix_operations_effect", "effect", "id"),
    Index("ix_operations_requested", "requested"),
)

audit = make_table(
    "audit",
    Column("writer", String(40), primary_key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("id", String(64), nullable=False, unique=True),  # the decision's or the event's id
    Column("at", UtcDateTime, nullable=False),
    Column("event", String(40), nullable=False),
    Column("identity", String(IDENTITY_LENGTH)),
    Column("project", String(NAME_LENGTH)),
    Column("body", LargeBinary, nullable=False),  # canonical JSON of the whole record: what the hash covers
    Column("previous", LargeBinary, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    # The only index for searching, and one that grows at its end. Rows are written all the time, to the same few pages,
    # and are searched rarely, through this narrow copy from its newest end. An index per identity and per project would
    # be written in as many pages as there are identities, which was half the cost of a decision.
    Index("ix_audit_search", "at", "event", "identity", "project"),
)

archive_manifests = make_table(
    # Where the audit begins after its oldest rows were moved to a signed file; see `audit.archive.manifest`.
    "archive_manifests",
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("signed_json", Text, nullable=False),
)

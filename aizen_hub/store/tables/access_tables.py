"""Tables of access: the revision, projects, roles, assignments, limits, locks, sessions, signing keys and jobs."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    String,
    Text,
    UniqueConstraint,
    select,
    text,
)

from aizen_hub.store.tables.columns import (
    IDENTITY_LENGTH,
    NAME_LENGTH,
    WHERE_NOT_ENDED,
    id_column,
    make_table,
    where_set,
)
from aizen_hub.store.timestamps import UtcDateTime

revision = make_table(
    "revision",
    Column("id", Integer, CheckConstraint("id = 1", name="single"), primary_key=True),
    Column("value", BigInteger, nullable=False),
    Column("catalog_hash", String(64), nullable=False),
    Column("not_before", UtcDateTime),  # role tokens of all users issued earlier are revoked (R47)
    # The schema, and the earlier ones whose programs it serves. Read in every transaction: an upgrade stops all others.
    Column("schema_version", String(32), nullable=False),
)

projects = make_table(
    "projects",
    id_column(),
    Column("name", String(NAME_LENGTH), nullable=False, unique=True),
    Column("description", Text, nullable=False, default=""),
    Column("created_by", String(IDENTITY_LENGTH), nullable=False),
    Column("created", UtcDateTime, nullable=False),
    Column("not_before", UtcDateTime),
    # Every registered user may know that it exists, and may ask for a role in it.
    Column("listed", Boolean, nullable=False, default=False),
    Column("version", BigInteger, nullable=False),  # revision of its last change: its ETag
    never_reuse_ids=True,
)

roles = make_table(
    # Custom roles; the built-in ones are in the catalog only.
    "roles",
    id_column(),
    Column("name", String(NAME_LENGTH), nullable=False, unique=True),
    Column("description", Text, nullable=False, default=""),
    Column("category", String(NAME_LENGTH), nullable=False, default=""),
    Column("scopes", JSON, nullable=False),
    Column("permissions", JSON, nullable=False),
    Column("limits", JSON, nullable=False),
    Column("version", BigInteger, nullable=False),
    never_reuse_ids=True,
)

permissions = make_table(
    # Custom named permissions; the built-in ones are in the catalog only. Roles contain the right or limit itself.
    "permissions",
    id_column(),
    Column("name", String(64), nullable=False, unique=True),
    Column("skeleton", String(NAME_LENGTH), nullable=False, unique=True),  # equal for look-alikes
    Column("content", String(200), nullable=False, unique=True),  # `read:model`, or `projects=5`
    Column("description", Text, nullable=False, default=""),
)

assignment_rows = make_table(
    # The rows of `assignments`, and those that an operation has staged; only writers use it, readers use `assignments`.
    "assignments",
    id_column(),
    Column("role", String(NAME_LENGTH), nullable=False),
    Column("scope", String(NAME_LENGTH), nullable=False),  # `system` or a project's name
    Column("identity", String(IDENTITY_LENGTH), nullable=False),
    Column("starts", UtcDateTime),
    Column("ends", UtcDateTime),
    Column("reason", Text, nullable=False, default=""),
    Column("granted_by", String(IDENTITY_LENGTH), nullable=False),
    Column("granted", UtcDateTime, nullable=False),
    Column("creator", Boolean, nullable=False, default=False),  # given to the creator of the project
    Column("mapped", Boolean, nullable=False, default=False),  # given by a mapping rule, and removed with it
    Column("revision", BigInteger, nullable=False),
    Column("staged_by", String(32)),  # the operation that adds the row; without effect until that is applied
    Column("removed_by", String(32)),  # the operation that removes the row; in effect until that is applied
    # An expression index, because a unique constraint treats NULLs as different.
    Index(
        "uq_assignments_identity",
        "identity",
        "scope",
        "role",
        text("coalesce(staged_by, '')"),
        text("coalesce(removed_by, '')"),
        unique=True,
    ),
    Index("ix_assignments_role_identity", "role", "identity"),
    # Lists of projects and of members count and order by it alone, without the rows.
    Index("ix_assignments_scope_role", "scope", "role", "identity", "ends", "creator", "staged_by", "removed_by"),
    Index("ix_assignments_ends", "ends"),
    Index("ix_assignments_staged_by", "staged_by", **where_set("staged_by")),
    Index("ix_assignments_removed_by", "removed_by", **where_set("removed_by")),
    never_reuse_ids=True,
)

IN_EFFECT = (
    "(staged_by IS NULL OR staged_by IN (SELECT id FROM operations WHERE effect = 'applied'))"
    " AND (removed_by IS NULL OR removed_by NOT IN (SELECT id FROM operations WHERE effect = 'applied'))"
)
"""SQL condition of the rows of the table `assignments` that are assignments: what an operation staged is none yet."""

_STAGING_COLUMNS = frozenset({"staged_by", "removed_by"})
assignments = (
    select(*(column for column in assignment_rows.c if column.name not in _STAGING_COLUMNS))
    .where(text(IN_EFFECT))
    .subquery("assignments")
)
"""The assignments, for queries; a change of rows goes to `assignment_rows`."""

scope_limits = make_table(
    # Limits set on an identity in a scope directly, in addition to those that roles carry.
    "scope_limits",
    id_column(),
    Column("identity", String(IDENTITY_LENGTH), nullable=False),
    Column("scope", String(NAME_LENGTH), nullable=False),
    Column("kind", String(20), nullable=False),
    Column("value", Float, nullable=False),
    UniqueConstraint("identity", "scope", "kind"),
)

locks = make_table(
    "locks",
    id_column(),
    Column("target", String(20), nullable=False),
    Column("name", String(IDENTITY_LENGTH), nullable=False),
    Column("reason", Text, nullable=False),
    Column("ends", UtcDateTime),
    Column("locked_by", String(IDENTITY_LENGTH), nullable=False),
    Column("locked", UtcDateTime, nullable=False),
    UniqueConstraint("target", "name"),
    never_reuse_ids=True,
)

sessions = make_table(
    "sessions",
    Column("id", String(32), primary_key=True),  # 128 random bits
    Column("user", String(NAME_LENGTH), nullable=False, index=True),
    Column("hub", String(32), nullable=False),  # whose name space of servers `server` is in
    Column("server", String(NAME_LENGTH), nullable=False),
    Column("project", String(NAME_LENGTH)),  # None: a system session
    Column("credential", String(64), nullable=False, unique=True),  # SHA-256 of the server's own hub token
    Column("started", UtcDateTime, nullable=False),
    Column("last_seen", UtcDateTime, nullable=False),  # the hub's last heartbeat that listed its server
    Column("ended", UtcDateTime),
    Column("end_reason", Text),
    Column("ended_by", String(IDENTITY_LENGTH)),  # None: the hub reported that the server stopped
    Column("min_token_revision", BigInteger),  # role tokens of an earlier revision are revoked (RFC 7009)
    Index("ix_sessions_user_server", "user", "server"),
    # Ended sessions are never deleted: a query for the active ones must not read them.
    Index("ix_sessions_active", "started", **WHERE_NOT_ENDED),
)

keys = make_table(
    # Keys that sign role tokens, decision tokens and checkpoints.
    "keys",
    Column("kid", String(64), primary_key=True),
    Column("purpose", String(20), nullable=False),
    Column("public", LargeBinary, nullable=False),
    Column("private", LargeBinary),  # encrypted
    Column("state", String(20), nullable=False),  # published, signing, retired, withdrawn
    Column("created", UtcDateTime, nullable=False),
    Column("changed", UtcDateTime, nullable=False),
)

jobs = make_table(
    "jobs",
    Column("decision_id", String(64), primary_key=True),
    Column("user", String(NAME_LENGTH), nullable=False),
    Column("project", String(NAME_LENGTH), nullable=False),
    Column("session", String(32)),
    Column("acting", String(IDENTITY_LENGTH)),  # the service account that started it on behalf of the user (R54)
    Column("command", Text, nullable=False),  # canonical
    Column("key", String(NAME_LENGTH), nullable=False),  # noun and name, e.g. `training churn`, that `stop …` refers to
    Column("started", UtcDateTime, nullable=False),
    Column("ended", UtcDateTime),
    Column("outcome", String(20)),  # done, failed, stopped, unknown
    Index("ix_jobs_user_project_ended", "user", "project", "ended"),
    Index("ix_jobs_active", "project", "started", **WHERE_NOT_ENDED),
    Index("ix_jobs_project_key", "project", "key"),  # for the completion of names
)

project_alerts = make_table(
    # Which users want to be alerted of the jobs of one kind in a project.
    "project_alerts",
    id_column(),
    Column("project", String(NAME_LENGTH), nullable=False),
    Column("user", String(NAME_LENGTH), nullable=False),
    Column("service", String(40), nullable=False),
    UniqueConstraint("project", "user", "service"),
)

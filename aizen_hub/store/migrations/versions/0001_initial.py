"""Initial schema."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_INT64 = sa.BigInteger()
_ID = _INT64.with_variant(sa.Integer(), "sqlite")
_NAME = sa.String(length=255)
_IDENTITY = sa.String(length=275)
_WHERE_NOT_ENDED: dict[str, Any] = {f"{name}_where": sa.text("ended IS NULL") for name in ("sqlite", "postgresql")}


def _where_set(column: str) -> dict[str, Any]:
    return {f"{name}_where": sa.text(f"{column} IS NOT NULL") for name in ("sqlite", "postgresql")}


def upgrade() -> None:
    op.create_table(
        "access_reviews",
        sa.Column("id", sa.String(length=32), nullable=False), sa.Column("scope", _NAME, nullable=False),
        sa.Column("started_by", _IDENTITY, nullable=False), sa.Column("started", _INT64, nullable=False),
        sa.Column("deadline", _INT64, nullable=False), sa.Column("note", sa.Text(), nullable=False),
        sa.Column("finished", _INT64), sa.Column("finished_by", _IDENTITY),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_access_reviews")),
    )  # fmt: skip
    op.create_index("ix_access_reviews_scope", "access_reviews", ["scope", "started"], unique=False)
    op.create_table(
        "archive_manifests",
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("signed_json", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_archive_manifests")),
    )
    op.create_table(
        "assignments",
        sa.Column("id", _ID, autoincrement=True, nullable=False), sa.Column("role", _NAME, nullable=False),
        sa.Column("scope", _NAME, nullable=False), sa.Column("identity", _IDENTITY, nullable=False),
        sa.Column("starts", _INT64), sa.Column("ends", _INT64), sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("granted_by", _IDENTITY, nullable=False), sa.Column("granted", _INT64, nullable=False),
        sa.Column("creator", sa.Boolean(), nullable=False), sa.Column("mapped", sa.Boolean(), nullable=False),
        sa.Column("revision", _INT64, nullable=False), sa.Column("staged_by", sa.String(length=32)),
        sa.Column("removed_by", sa.String(length=32)),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_assignments")),
        sqlite_autoincrement=True,
    )  # fmt: skip
    op.create_index("ix_assignments_ends", "assignments", ["ends"], unique=False)
    op.create_index("ix_assignments_role_identity", "assignments", ["role", "identity"], unique=False)
    op.create_index(
        "ix_assignments_scope_role",
        "assignments",
        ["scope", "role", "identity", "ends", "creator", "staged_by", "removed_by"],
        unique=False,
    )
    for name in ("staged_by", "removed_by"):
        op.create_index(f"ix_assignments_{name}", "assignments", [name], unique=False, **_where_set(name))
    op.create_index(
        "uq_assignments_identity",
        "assignments",
        ["identity", "scope", "role", sa.text("coalesce(staged_by, '')"), sa.text("coalesce(removed_by, '')")],
        unique=True,
    )
    op.create_table(
        "assignment_uses",
        sa.Column("assignment_id", _ID, nullable=False),
        sa.Column("first_used", _INT64, nullable=False),
        sa.Column("last_used", _INT64, nullable=False),
        sa.Column("uses", _INT64, nullable=False),
        sa.ForeignKeyConstraint(
            ["assignment_id"],
            ["assignments.id"],
            name=op.f("fk_assignment_uses_assignment_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("assignment_id", name=op.f("pk_assignment_uses")),
    )
    op.create_table(
        "review_decisions",
        sa.Column("review_id", sa.String(length=32), nullable=False),
        sa.Column("assignment_id", _INT64, autoincrement=False, nullable=False),
        sa.Column("identity", _IDENTITY, nullable=False), sa.Column("role", _NAME, nullable=False),
        sa.Column("choice", sa.String(length=20), nullable=False), sa.Column("until", _INT64),
        sa.Column("decided_by", _IDENTITY, nullable=False), sa.Column("decided", _INT64, nullable=False),
        sa.Column("uses", _INT64), sa.Column("last_used", _INT64), sa.Column("carried_out", _INT64),
        sa.Column("carried_out_by", _IDENTITY), sa.Column("former_starts", _INT64), sa.Column("former_ends", _INT64),
        sa.Column("former_reason", sa.Text(), nullable=False), sa.Column("undone", _INT64),
        sa.ForeignKeyConstraint(
            ["review_id"], ["access_reviews.id"], name=op.f("fk_review_decisions_review_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("review_id", "assignment_id", name=op.f("pk_review_decisions")),
    )  # fmt: skip
    op.create_table(
        "attempt_counters",
        sa.Column("subject", sa.String(length=335), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("until", _INT64, nullable=False),
        sa.PrimaryKeyConstraint("subject", name=op.f("pk_attempt_counters")),
    )
    op.create_table(
        "audit",
        sa.Column("writer", sa.String(length=40), nullable=False),
        sa.Column("number", _INT64, autoincrement=False, nullable=False),
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("at", _INT64, nullable=False),
        sa.Column("event", sa.String(length=40), nullable=False),
        sa.Column("identity", _IDENTITY),
        sa.Column("project", _NAME),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("previous", sa.LargeBinary(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("writer", "number", name=op.f("pk_audit")),
        sa.UniqueConstraint("id", name=op.f("uq_audit_id")),
    )
    op.create_index("ix_audit_search", "audit", ["at", "event", "identity", "project"], unique=False)
    op.create_table(
        "changes",
        sa.Column("revision", _INT64, autoincrement=False, nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("invalidates", sa.JSON(), nullable=False),
        sa.Column("payload", sa.JSON(), nullable=False),
        sa.Column("at", _INT64, nullable=False),
        sa.Column("audit_id", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("revision", name=op.f("pk_changes")),
    )
    op.create_table(
        "groups",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("name", _NAME, nullable=False), sa.Column("provider", sa.String(length=32)),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("is_default", sa.Boolean(), nullable=False), sa.Column("built_in", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_groups")),
        sa.UniqueConstraint("name", name=op.f("uq_groups_name")),
        sqlite_autoincrement=True,
    )  # fmt: skip
    op.create_table(
        "idempotency_keys",
        sa.Column("identity", _IDENTITY, nullable=False),
        sa.Column("route", sa.String(length=120), nullable=False),
        sa.Column("key", sa.String(length=120), nullable=False),
        sa.Column("body_hash", sa.String(length=64), nullable=False), sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("response", sa.JSON(), nullable=False), sa.Column("at", _INT64, nullable=False),
        sa.PrimaryKeyConstraint("identity", "route", "key", name=op.f("pk_idempotency_keys")),
    )  # fmt: skip
    op.create_index(op.f("ix_idempotency_keys_at"), "idempotency_keys", ["at"], unique=False)
    op.create_table(
        "jobs",
        sa.Column("decision_id", sa.String(length=64), nullable=False), sa.Column("user", _NAME, nullable=False),
        sa.Column("project", _NAME, nullable=False), sa.Column("session", sa.String(length=32)),
        sa.Column("acting", _IDENTITY), sa.Column("command", sa.Text(), nullable=False),
        sa.Column("key", _NAME, nullable=False), sa.Column("started", _INT64, nullable=False),
        sa.Column("ended", _INT64), sa.Column("outcome", sa.String(length=20)),
        sa.PrimaryKeyConstraint("decision_id", name=op.f("pk_jobs")),
    )  # fmt: skip
    op.create_index("ix_jobs_active", "jobs", ["project", "started"], unique=False, **_WHERE_NOT_ENDED)
    op.create_index("ix_jobs_project_key", "jobs", ["project", "key"], unique=False)
    op.create_index("ix_jobs_user_project_ended", "jobs", ["user", "project", "ended"], unique=False)
    op.create_table(
        "keys",
        sa.Column("kid", sa.String(length=64), nullable=False),
        sa.Column("purpose", sa.String(length=20), nullable=False),
        sa.Column("public", sa.LargeBinary(), nullable=False), sa.Column("private", sa.LargeBinary()),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("created", _INT64, nullable=False), sa.Column("changed", _INT64, nullable=False),
        sa.PrimaryKeyConstraint("kid", name=op.f("pk_keys")),
    )  # fmt: skip
    op.create_table(
        "locks",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("target", sa.String(length=20), nullable=False), sa.Column("name", _IDENTITY, nullable=False),
        sa.Column("reason", sa.Text(), nullable=False), sa.Column("ends", _INT64),
        sa.Column("locked_by", _IDENTITY, nullable=False), sa.Column("locked", _INT64, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_locks")),
        sa.UniqueConstraint("target", "name", name=op.f("uq_locks_target_name")),
        sqlite_autoincrement=True,
    )  # fmt: skip
    op.create_table(
        "mapping_rules",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("provider", sa.String(length=32), nullable=False),
        sa.Column("group", _NAME, nullable=False),
        sa.Column("role", _NAME, nullable=False),
        sa.Column("project", _NAME),
        sa.Column("created_by", _IDENTITY, nullable=False),
        sa.Column("created", _INT64, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_mapping_rules")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_mapping_rules_provider"), "mapping_rules", ["provider"], unique=False)
    op.create_index(
        "uq_mapping_rules_provider",
        "mapping_rules",
        ["provider", "group", "role", sa.text("coalesce(project, '')")],
        unique=True,
    )
    op.create_table(
        "names",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("name", _NAME, nullable=False),
        sa.Column("skeleton", _NAME, nullable=False),
        sa.Column("retired", _INT64),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_names")),
        sa.UniqueConstraint("kind", "name", name=op.f("uq_names_kind_name")),
        sa.UniqueConstraint("kind", "skeleton", name=op.f("uq_names_kind_skeleton")),
    )
    op.create_table(
        "open_commands",
        sa.Column("decision_id", sa.String(length=64), nullable=False), sa.Column("user", _NAME, nullable=False),
        sa.Column("project", _NAME), sa.Column("session", sa.String(length=32)), sa.Column("acting", _IDENTITY),
        sa.Column("command", sa.Text(), nullable=False), sa.Column("job", sa.String(length=10)),
        sa.Column("owner", sa.String(length=40), nullable=False), sa.Column("lease_until", _INT64, nullable=False),
        sa.Column("lost", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("decision_id", name=op.f("pk_open_commands")),
    )  # fmt: skip
    op.create_index(op.f("ix_open_commands_lease_until"), "open_commands", ["lease_until"], unique=False)
    op.create_table(
        "operations",
        sa.Column("id", sa.String(length=32), nullable=False), sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("requested_by", _IDENTITY, nullable=False),
        sa.Column("channel", sa.String(length=20), nullable=False), sa.Column("source", sa.String(length=64)),
        sa.Column("requested", _INT64, nullable=False), sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("effect", sa.String(length=20), nullable=False),
        sa.Column("owner", sa.String(length=40), nullable=False), sa.Column("lease_until", _INT64, nullable=False),
        sa.Column("cancelled_by", _IDENTITY), sa.Column("progress", sa.JSON(), nullable=False),
        sa.Column("result", sa.JSON()), sa.Column("problem", sa.JSON()), sa.Column("ended", _INT64),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_operations")),
    )  # fmt: skip
    op.create_index("ix_operations_effect", "operations", ["effect", "id"], unique=False)
    op.create_index("ix_operations_requested", "operations", ["requested"], unique=False)
    op.create_table(
        "outbox",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("recipient", _NAME, nullable=False),
        sa.Column("channel", sa.String(length=20), nullable=False),
        sa.Column("event", sa.String(length=40), nullable=False),
        sa.Column("payload", sa.JSON(), nullable=False),
        sa.Column("created", _INT64, nullable=False),
        sa.Column("next_attempt", _INT64, nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("sent", _INT64),
        sa.Column("failure", sa.Text()),
        sa.Column("deduplication_key", sa.String(length=120)),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox")),
        sa.UniqueConstraint("deduplication_key", name=op.f("uq_outbox_deduplication_key")),
    )
    op.create_index(op.f("ix_outbox_next_attempt"), "outbox", ["next_attempt"], unique=False)
    op.create_table(
        "pending_changes",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("requested_by", _IDENTITY, nullable=False),
        sa.Column("requested", _INT64, nullable=False),
        sa.Column("expires", _INT64, nullable=False),
        sa.Column("payload", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("decided_by", _IDENTITY),
        sa.Column("decided", _INT64),
        sa.Column("comment", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pending_changes")),
    )
    op.create_index("ix_pending_changes_decided", "pending_changes", ["decided"], unique=False)
    op.create_index("ix_pending_changes_state", "pending_changes", ["state", "requested_by"], unique=False)
    op.create_table(
        "permissions",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False), sa.Column("skeleton", _NAME, nullable=False),
        sa.Column("content", sa.String(length=200), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_permissions")),
        *(sa.UniqueConstraint(name, name=op.f(f"uq_permissions_{name}")) for name in ("content", "name", "skeleton")),
    )  # fmt: skip
    op.create_table(
        "project_alerts",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("project", _NAME, nullable=False),
        sa.Column("user", _NAME, nullable=False),
        sa.Column("service", sa.String(length=40), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_project_alerts")),
        sa.UniqueConstraint("project", "user", "service", name=op.f("uq_project_alerts_project_user_service")),
    )
    op.create_table(
        "replicas",
        sa.Column("instance", sa.String(length=128), nullable=False), sa.Column("host", _NAME, nullable=False),
        sa.Column("started", _INT64, nullable=False), sa.Column("seen", _INT64, nullable=False),
        sa.Column("configuration", sa.JSON(), nullable=False), sa.Column("revision", _INT64, nullable=False),
        sa.Column("clock_offset", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("instance", name=op.f("pk_replicas")),
    )  # fmt: skip
    op.create_table(
        "projects",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("name", _NAME, nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("created_by", _IDENTITY, nullable=False),
        sa.Column("created", _INT64, nullable=False),
        sa.Column("not_before", _INT64),
        sa.Column("listed", sa.Boolean(), nullable=False),
        sa.Column("version", _INT64, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_projects")),
        sa.UniqueConstraint("name", name=op.f("uq_projects_name")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "recent_logins",
        sa.Column("user", _NAME, nullable=False),
        sa.Column("session", sa.String(length=64), nullable=False),
        sa.Column("at", _INT64, nullable=False),
        sa.PrimaryKeyConstraint("user", "session", name=op.f("pk_recent_logins")),
    )
    op.create_index(op.f("ix_recent_logins_at"), "recent_logins", ["at"], unique=False)
    op.create_table(
        "revision",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("value", _INT64, nullable=False),
        sa.Column("catalog_hash", sa.String(length=64), nullable=False),
        sa.Column("not_before", _INT64),
        sa.Column("schema_version", sa.String(length=32), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_revision_single")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_revision")),
    )
    op.create_table(
        "roles",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("name", _NAME, nullable=False), sa.Column("description", sa.Text(), nullable=False),
        sa.Column("category", _NAME, nullable=False), sa.Column("scopes", sa.JSON(), nullable=False),
        sa.Column("permissions", sa.JSON(), nullable=False), sa.Column("limits", sa.JSON(), nullable=False),
        sa.Column("version", _INT64, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_roles")),
        sa.UniqueConstraint("name", name=op.f("uq_roles_name")),
        sqlite_autoincrement=True,
    )  # fmt: skip
    op.create_table(
        "scope_limits",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("identity", _IDENTITY, nullable=False),
        sa.Column("scope", _NAME, nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("value", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_scope_limits")),
        sa.UniqueConstraint("identity", "scope", "kind", name=op.f("uq_scope_limits_identity_scope_kind")),
    )
    op.create_table(
        "service_accounts",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("name", _NAME, nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("controller", _IDENTITY),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("created", _INT64, nullable=False),
        sa.Column("built_in", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_service_accounts")),
        sa.UniqueConstraint("name", name=op.f("uq_service_accounts_name")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "sessions",
        sa.Column("id", sa.String(length=32), nullable=False), sa.Column("user", _NAME, nullable=False),
        sa.Column("hub", sa.String(length=32), nullable=False), sa.Column("server", _NAME, nullable=False),
        sa.Column("project", _NAME),
        sa.Column("credential", sa.String(length=64), nullable=False), sa.Column("started", _INT64, nullable=False),
        sa.Column("last_seen", _INT64, nullable=False), sa.Column("ended", _INT64),
        sa.Column("end_reason", sa.Text()), sa.Column("ended_by", _IDENTITY), sa.Column("min_token_revision", _INT64),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sessions")),
        sa.UniqueConstraint("credential", name=op.f("uq_sessions_credential")),
    )  # fmt: skip
    op.create_index("ix_sessions_active", "sessions", ["started"], unique=False, **_WHERE_NOT_ENDED)
    op.create_index(op.f("ix_sessions_user"), "sessions", ["user"], unique=False)
    op.create_index("ix_sessions_user_server", "sessions", ["user", "server"], unique=False)
    op.create_table(
        "registration_requests",
        sa.Column("provider", sa.String(length=32), nullable=False), sa.Column("name", _NAME, nullable=False),
        sa.Column("display_name", sa.Text(), nullable=False), sa.Column("email", _NAME),
        sa.Column("asked", _INT64, nullable=False),
        sa.PrimaryKeyConstraint("provider", "name", name=op.f("pk_registration_requests")),
    )  # fmt: skip
    op.create_index(op.f("ix_registration_requests_asked"), "registration_requests", ["asked"], unique=False)
    op.create_table(
        "undo_records",
        sa.Column("id", sa.String(length=32), nullable=False), sa.Column("identity", _IDENTITY, nullable=False),
        sa.Column("label", sa.Text(), nullable=False), sa.Column("steps", sa.JSON(), nullable=False),
        sa.Column("expires", _INT64, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_undo_records")),
    )  # fmt: skip
    op.create_index(op.f("ix_undo_records_expires"), "undo_records", ["expires"], unique=False)
    op.create_index(op.f("ix_undo_records_identity"), "undo_records", ["identity"], unique=False)
    op.create_table(
        "used_dpop_proofs",
        sa.Column("proof_hash", sa.String(length=64), nullable=False),
        sa.Column("expires", _INT64, nullable=False),
        sa.PrimaryKeyConstraint("proof_hash", name=op.f("pk_used_dpop_proofs")),
    )
    op.create_index(op.f("ix_used_dpop_proofs_expires"), "used_dpop_proofs", ["expires"], unique=False)
    op.create_table(
        "used_sign_ins",
        sa.Column("nonce_hash", sa.String(length=64), nullable=False), sa.Column("expires", _INT64, nullable=False),
        sa.PrimaryKeyConstraint("nonce_hash", name=op.f("pk_used_sign_ins")),
    )  # fmt: skip
    op.create_index(op.f("ix_used_sign_ins_expires"), "used_sign_ins", ["expires"], unique=False)
    op.create_table(
        "users",
        sa.Column("id", _ID, autoincrement=True, nullable=False), sa.Column("name", _NAME, nullable=False),
        sa.Column("provider", sa.String(length=32), nullable=False), sa.Column("domain", _NAME),
        sa.Column("subject", _NAME), sa.Column("display_name", sa.Text(), nullable=False), sa.Column("email", _NAME),
        sa.Column("email_set_by", _IDENTITY), sa.Column("email_unconfirmed", sa.Boolean(), nullable=False),
        sa.Column("phone", sa.String(length=40)), sa.Column("alerts", sa.JSON(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False), sa.Column("not_before", _INT64),
        sa.Column("sign_out_revision", _INT64),
        sa.Column("created", _INT64, nullable=False), sa.Column("last_seen", _INT64), sa.Column("gone_at", _INT64),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        sa.UniqueConstraint("name", name=op.f("uq_users_name")),
        sa.UniqueConstraint("provider", "subject", name=op.f("uq_users_provider_subject")),
        sqlite_autoincrement=True,
    )  # fmt: skip
    op.create_index(
        "ix_users_inactive",
        "users",
        ["name"],
        unique=False,
        sqlite_where=sa.text("active = 0"),
        postgresql_where=sa.text("NOT active"),
    )
    op.create_index("ix_users_gone_at", "users", ["gone_at"], unique=False, **_where_set("gone_at"))
    op.create_index("ix_users_provider_last_seen", "users", ["provider", "last_seen"], unique=False)
    op.create_table(
        "activations",
        sa.Column("user_id", _ID, nullable=False),
        sa.Column("token_hash", sa.String(length=64), nullable=False),
        sa.Column("expires", _INT64, nullable=False),
        sa.Column("issued_by", _IDENTITY),
        sa.Column("with_recent_login", sa.Boolean(), nullable=False),
        sa.Column("by_mail", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_activations_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_activations")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_activations_token_hash")),
    )
    op.create_table(
        "credentials",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("service_account_id", _ID, nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("created", _INT64, nullable=False),
        sa.Column("expires", _INT64, nullable=False),
        sa.Column("last_used", _INT64),
        sa.Column("issued_by", _IDENTITY),
        sa.Column("key", sa.String(length=43)),
        sa.Column("networks", sa.JSON(none_as_null=True)),
        sa.ForeignKeyConstraint(
            ["service_account_id"],
            ["service_accounts.id"],
            name=op.f("fk_credentials_service_account_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_credentials")),
        sa.UniqueConstraint("hash", name=op.f("uq_credentials_hash")),
    )
    op.create_index(op.f("ix_credentials_service_account_id"), "credentials", ["service_account_id"], unique=False)
    op.create_table(
        "logins",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("user_id", _ID, nullable=False),
        sa.Column("provider", sa.String(length=32), nullable=False),
        sa.Column("subject", _NAME, nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_logins_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_logins")),
        sa.UniqueConstraint("provider", "subject", name=op.f("uq_logins_provider_subject")),
    )
    op.create_index(op.f("ix_logins_user_id"), "logins", ["user_id"], unique=False)
    op.create_table(
        "memberships",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("group_id", _ID, nullable=False),
        sa.Column("member", _IDENTITY, nullable=False),
        sa.Column("provider", sa.String(length=32)),
        sa.Column("seen_at", _INT64),
        sa.ForeignKeyConstraint(["group_id"], ["groups.id"], name=op.f("fk_memberships_group_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_memberships")),
    )
    op.create_index(op.f("ix_memberships_group_id"), "memberships", ["group_id"], unique=False)
    op.create_index(op.f("ix_memberships_member"), "memberships", ["member"], unique=False)
    op.create_index(
        "uq_memberships_group_id", "memberships", ["group_id", "member", sa.text("coalesce(provider, '')")], unique=True
    )
    op.create_table(
        "passwords",
        sa.Column("user_id", _ID, nullable=False),
        sa.Column("hash", _NAME, nullable=False),
        sa.Column("changed", _INT64, nullable=False),
        sa.Column("totp_secret", sa.LargeBinary()),
        sa.Column("totp_step", _INT64),
        sa.Column("recovery_codes", sa.Text()),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_passwords_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_passwords")),
    )
    op.create_table(
        "reported_groups",
        sa.Column("user_id", _ID, nullable=False),
        sa.Column("provider", sa.String(length=32), nullable=False),
        sa.Column("groups", sa.JSON(), nullable=False),
        sa.Column("seen_at", _INT64, nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_reported_groups_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("user_id", "provider", name=op.f("pk_reported_groups")),
    )
    op.create_index(op.f("ix_reported_groups_seen_at"), "reported_groups", ["seen_at"], unique=False)
    # The single row with the revision; it is 0 before the first change.
    op.bulk_insert(
        sa.table(
            "revision", sa.column("id"), sa.column("value"), sa.column("catalog_hash"), sa.column("schema_version")
        ),
        [{"id": 1, "value": 0, "catalog_hash": "", "schema_version": revision}],
    )

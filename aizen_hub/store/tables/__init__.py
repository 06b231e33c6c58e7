"""The tables. Names are canonical and unique by constraint (R27); ids are immutable and never used again (T-47)."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Text,
    UniqueConstraint,
    text,
)

from aizen_hub.store.tables.columns import LIVE, NAME, Id, identifier, metadata, table
from aizen_hub.store.tables.log_tables import audit, changes, open_commands, outbox, pending, replays, seals, throttles
from aizen_hub.store.timestamps import Instant

__all__ = [
    "NAME",
    "activations",
    "assignments",
    "audit",
    "changes",
    "credentials",
    "groups",
    "jobs",
    "keys",
    "locks",
    "logins",
    "mappings",
    "memberships",
    "metadata",
    "names",
    "open_commands",
    "outbox",
    "passwords",
    "pending",
    "project_alerts",
    "projects",
    "proofs",
    "replays",
    "reported_groups",
    "revision",
    "roles",
    "scope_limits",
    "seals",
    "service_accounts",
    "sessions",
    "sign_ins",
    "throttles",
    "users",
]

revision = table(
    "revision",
    Column("id", Integer, CheckConstraint("id = 1", name="single"), primary_key=True),
    Column("value", BigInteger, nullable=False),
    Column("catalog_hash", String(64), nullable=False),
    Column("not_before", Instant),  # tokens issued earlier are dead, for everybody (R47)
)

names = table(
    # Every name ever used, of users, groups, service accounts, projects and roles: a deleted one stays reserved (R31).
    "names",
    identifier(),
    Column("kind", String(20), nullable=False),
    Column("name", String(NAME), nullable=False),
    Column("skeleton", String(NAME), nullable=False),  # UTS 39: look-alikes have equal skeletons (R29)
    Column("retired", Instant),
    UniqueConstraint("kind", "name"),
    UniqueConstraint("kind", "skeleton"),
)

users = table(
    "users",
    identifier(),
    Column("name", String(NAME), nullable=False, unique=True),
    Column("provider", String(32), nullable=False),
    Column("domain", String(NAME)),  # where the registration was written as a mail address
    Column("subject", String(NAME)),  # bound at the first login from that provider
    Column("display_name", String(NAME), nullable=False, default=""),
    Column("email", String(NAME)),
    Column("phone", String(40)),
    Column("alerts", JSON, nullable=False),  # {"email": bool, "phone": bool}
    Column("active", Boolean, nullable=False, default=True),  # False until a local account is activated
    Column("not_before", Instant),
    Column("created", Instant, nullable=False),
    Column("last_seen", Instant),
    UniqueConstraint("provider", "subject"),
    never_reuse_ids=True,
)

logins = table(
    # Further logins linked to a user (provider, subject).
    "logins",
    identifier(),
    Column("user_id", Id, ForeignKey("users.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("provider", String(32), nullable=False),
    Column("subject", String(NAME), nullable=False),
    UniqueConstraint("provider", "subject"),
)

passwords = table(
    "passwords",
    Column("user_id", Id, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    Column("hash", String(255), nullable=False),  # argon2id
    Column("changed", Instant, nullable=False),
    Column("totp_secret", LargeBinary),  # encrypted
    Column("totp_step", BigInteger),  # of the last code that was taken: none is good twice (RFC 6238, 5.2)
)

activations = table(
    "activations",
    Column("user_id", Id, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),  # a reissue voids the former
    Column("token_hash", String(64), nullable=False, unique=True),
    Column("expires", Instant, nullable=False),
    Column("issued_by", String(NAME + 20)),  # kind:name; None: the service's own machine
    Column("proven", Boolean, nullable=False, default=False),  # made after a fresh sign-in
)

sign_ins = table(
    # When somebody last proved in person who they are, by browser session (R77).
    "sign_ins",
    Column("user", String(NAME), primary_key=True),
    Column("session", String(64), primary_key=True),  # SHA-256 of the hub's id of the browser session
    Column("at", Instant, nullable=False, index=True),
)

groups = table(
    "groups",
    identifier(),
    Column("name", String(NAME), nullable=False, unique=True),
    Column("provider", String(32)),  # None: local
    Column("description", Text, nullable=False, default=""),
    Column("is_default", Boolean, nullable=False, default=False),  # every new user joins
    Column("built_in", Boolean, nullable=False, default=False),
    never_reuse_ids=True,
)

memberships = table(
    "memberships",
    identifier(),
    Column("group_id", Id, ForeignKey("groups.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("member", String(NAME + 20), nullable=False, index=True),  # an identity as kind:name
    Column("provider", String(32)),  # None: a local membership
    Column("seen_at", Instant),  # of a directory membership; gives nothing once older than group_max_age (R63)
    # Not a plain constraint: NULLs are all different to one.
    Index("uq_memberships_group_id", "group_id", "member", text("coalesce(provider, '')"), unique=True),
)

mappings = table(
    # Rules from the groups of a provider to a role in a project.
    "mappings",
    identifier(),
    Column("provider", String(32), nullable=False, index=True),
    Column("group", String(NAME), nullable=False),  # an exact name, or a template with one `{project}`
    Column("role", String(NAME), nullable=False),
    Column("project", String(NAME)),  # None: a template names it
    Column("created_by", String(NAME + 20), nullable=False),
    Column("created", Instant, nullable=False),
    Index("uq_mappings_provider", "provider", "group", "role", text("coalesce(project, '')"), unique=True),
    never_reuse_ids=True,
)

reported_groups = table(
    # What a provider last said of a person, so that a new rule can show whom it concerns.
    "reported_groups",
    Column("user_id", Id, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    Column("provider", String(32), primary_key=True),
    Column("groups", JSON, nullable=False),
    Column("seen_at", Instant, nullable=False, index=True),
)

service_accounts = table(
    "service_accounts",
    identifier(),
    Column("name", String(NAME), nullable=False, unique=True),
    Column("description", Text, nullable=False, default=""),
    Column("controller", String(NAME + 20)),  # the identity that made it
    Column("active", Boolean, nullable=False, default=True),
    Column("created", Instant, nullable=False),
    Column("built_in", Boolean, nullable=False, default=False),
    never_reuse_ids=True,
)

credentials = table(
    "credentials",
    identifier(),
    Column("service_account_id", Id, ForeignKey("service_accounts.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("hash", String(64), nullable=False, unique=True),  # SHA-256 of 256 random bits
    Column("created", Instant, nullable=False),
    Column("expires", Instant, nullable=False),
    Column("last_used", Instant),
    Column("issued_by", String(NAME + 20)),  # kind:name; None: the service's own machine, or not known any more
    Column("key", String(43)),  # thumbprint of the key with which every request is proven (RFC 9449)
    Column("networks", JSON(none_as_null=True)),  # list of CIDRs that it is good from; None: anywhere
)

proofs = table(
    "proofs",  # of possession, once they were used (RFC 9449, 11.1)
    Column("name", String(64), primary_key=True),  # SHA-256 of key and id
    Column("expires", Instant, nullable=False, index=True),
)

projects = table(
    "projects",
    identifier(),
    Column("name", String(NAME), nullable=False, unique=True),
    Column("description", Text, nullable=False, default=""),
    Column("created_by", String(NAME + 20), nullable=False),
    Column("created", Instant, nullable=False),
    Column("not_before", Instant),
    Column("version", BigInteger, nullable=False),  # revision of its last change: its ETag
    never_reuse_ids=True,
)

roles = table(
    # Custom roles; built-in ones are in the catalog only.
    "roles",
    identifier(),
    Column("name", String(NAME), nullable=False, unique=True),
    Column("description", Text, nullable=False, default=""),
    Column("category", String(NAME), nullable=False, default=""),
    Column("scopes", JSON, nullable=False),
    Column("permissions", JSON, nullable=False),
    Column("limits", JSON, nullable=False),
    Column("version", BigInteger, nullable=False),
    never_reuse_ids=True,
)

assignments = table(
    "assignments",
    identifier(),
    Column("role", String(NAME), nullable=False, index=True),
    Column("scope", String(NAME), nullable=False),  # `system` or a project's name
    Column("identity", String(NAME + 20), nullable=False),  # kind:name
    Column("starts", Instant),
    Column("ends", Instant),
    Column("reason", Text, nullable=False, default=""),
    Column("granted_by", String(NAME + 20), nullable=False),
    Column("granted", Instant, nullable=False),
    Column("creator", Boolean, nullable=False, default=False),
    Column("mapped", Boolean, nullable=False, default=False),  # made by a rule of `mappings`, and goes with it
    Column("revision", BigInteger, nullable=False),
    UniqueConstraint("identity", "scope", "role"),
    Index("ix_assignments_scope_role", "scope", "role"),
    Index("ix_assignments_ends", "ends"),
    never_reuse_ids=True,
)

scope_limits = table(
    # Limits set on an identity in a scope directly, beside those that roles carry.
    "scope_limits",
    identifier(),
    Column("identity", String(NAME + 20), nullable=False),
    Column("scope", String(NAME), nullable=False),
    Column("kind", String(20), nullable=False),
    Column("value", Float, nullable=False),
    UniqueConstraint("identity", "scope", "kind"),
)

locks = table(
    "locks",
    identifier(),
    Column("target", String(20), nullable=False),
    Column("name", String(NAME + 20), nullable=False),
    Column("reason", Text, nullable=False),
    Column("ends", Instant),
    Column("locked_by", String(NAME + 20), nullable=False),
    Column("locked", Instant, nullable=False),
    UniqueConstraint("target", "name"),
    never_reuse_ids=True,
)

sessions = table(
    "sessions",
    Column("id", String(32), primary_key=True),  # 128 random bits
    Column("user", String(NAME), nullable=False, index=True),
    Column("server", String(NAME), nullable=False),
    Column("project", String(NAME)),  # None: a system session
    Column("credential", String(64), nullable=False, unique=True),  # SHA-256 of the server's own hub token
    Column("started", Instant, nullable=False),
    Column("heard", Instant, nullable=False),  # last heartbeat of the hub that named it
    Column("ended", Instant),
    Column("end_reason", String(40)),
    Column("tokens_from", BigInteger),  # role tokens of an earlier revision are revoked (RFC 7009)
    Index("ix_sessions_user_server", "user", "server"),
    # Ended ones stay for ever: what looks for the live ones must not read them all.
    Index("ix_sessions_live", "started", **LIVE),
)

keys = table(
    # Keys that sign role tokens, decision tokens and checkpoints; private halves encrypted.
    "keys",
    Column("kid", String(64), primary_key=True),
    Column("purpose", String(20), nullable=False),
    Column("public", LargeBinary, nullable=False),
    Column("private", LargeBinary),
    Column("state", String(20), nullable=False),  # published, signing, retired, withdrawn
    Column("created", Instant, nullable=False),
    Column("changed", Instant, nullable=False),
)

jobs = table(
    "jobs",
    Column("decision_id", String(64), primary_key=True),
    Column("user", String(NAME), nullable=False),
    Column("project", String(NAME), nullable=False),
    Column("session", String(32)),
    Column("acting", String(NAME + 20)),  # the service account that began it for the user (R54)
    Column("command", Text, nullable=False),  # canonical
    Column("key", String(NAME), nullable=False),  # noun and name, e.g. `training churn`: what `stop …` names
    Column("started", Instant, nullable=False),
    Column("ended", Instant),
    Column("outcome", String(20)),  # done, failed, stopped, unknown
    Index("ix_jobs_user_project_ended", "user", "project", "ended"),
    Index("ix_jobs_live", "project", "started", **LIVE),
)

project_alerts = table(
    "project_alerts",
    identifier(),
    Column("project", String(NAME), nullable=False),
    Column("user", String(NAME), nullable=False),
    Column("service", String(40), nullable=False),
    UniqueConstraint("project", "user", "service"),
)

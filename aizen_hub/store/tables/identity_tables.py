"""Tables of identities: users, groups, service accounts, and how each of them signs in."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    LargeBinary,
    String,
    Text,
    UniqueConstraint,
    text,
)

from aizen_hub.store.tables.columns import IDENTITY_LENGTH, NAME_LENGTH, IdType, id_column, make_table, where_set
from aizen_hub.store.timestamps import UtcDateTime

names = make_table(
    # Every name ever used for a user, group, service account, project or role: the name of a deleted one stays
    # reserved (R31).
    "names",
    id_column(),
    Column("kind", String(20), nullable=False),
    Column("name", String(NAME_LENGTH), nullable=False),
    Column("skeleton", String(NAME_LENGTH), nullable=False),  # UTS 39: confusable names have equal skeletons (R29)
    Column("retired", UtcDateTime),
    UniqueConstraint("kind", "name"),
    UniqueConstraint("kind", "skeleton"),
)

users = make_table(
    "users",
    id_column(),
    Column("name", String(NAME_LENGTH), nullable=False, unique=True),
    Column("provider", String(32), nullable=False),
    Column("domain", String(NAME_LENGTH)),  # if the user was registered by e-mail address
    Column("subject", String(NAME_LENGTH)),  # bound at the first login from that provider
    Column("display_name", Text, nullable=False, default=""),
    Column("email", String(NAME_LENGTH)),
    # Whether activation links may be sent to the address; None: the operator, or a provider, set it.
    Column("email_set_by", String(IDENTITY_LENGTH)),
    # Set after the activation by another user, or by a program of this one.
    Column("email_unconfirmed", Boolean, nullable=False, default=False),
    Column("phone", String(40)),
    Column("alerts", JSON, nullable=False),  # {"email": bool, "phone": bool}
    Column("active", Boolean, nullable=False, default=True),  # False until a local account is activated
    Column("not_before", UtcDateTime),  # role tokens issued earlier are revoked
    Column("sign_out_revision", BigInteger),  # its change ended all earlier sign-ins at the hub (R142)
    Column("created", UtcDateTime, nullable=False),
    Column("last_seen", UtcDateTime),
    Column("gone_at", UtcDateTime),  # since when the provider does not know the user any more
    UniqueConstraint("provider", "subject"),
    # How many users each provider has, and when one of them was last seen, is read from it alone.
    Index("ix_users_provider_last_seen", "provider", "last_seen"),
    # Of few users: an index over all would be used to find those who are still known.
    Index("ix_users_gone_at", "gone_at", **where_set("gone_at")),
    Index("ix_users_inactive", "name", sqlite_where=text("active = 0"), postgresql_where=text("NOT active")),
    never_reuse_ids=True,
)

logins = make_table(
    # Linked logins: further (provider, subject) pairs that sign in as the same user.
    "logins",
    id_column(),
    Column("user_id", IdType, ForeignKey("users.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("provider", String(32), nullable=False),
    Column("subject", String(NAME_LENGTH), nullable=False),
    UniqueConstraint("provider", "subject"),
)

passwords = make_table(
    "passwords",
    Column("user_id", IdType, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    Column("hash", String(255), nullable=False),  # argon2id
    Column("changed", UtcDateTime, nullable=False),
    Column("totp_secret", LargeBinary),  # encrypted
    Column("totp_step", BigInteger),  # of the last accepted code, so that no code is accepted twice (RFC 6238, 5.2)
    Column("recovery_codes", Text),  # keyed hashes of the codes that are left, separated by blanks
)

activations = make_table(
    # Activation links. The primary key allows one per user: a new link replaces the former.
    "activations",
    Column("user_id", IdType, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    Column("token_hash", String(64), nullable=False, unique=True),
    Column("expires", UtcDateTime, nullable=False),
    Column("issued_by", String(IDENTITY_LENGTH)),  # None: an operator on the service's own machine
    Column("with_recent_login", Boolean, nullable=False, default=False),  # the issuer had signed in recently
    Column("by_mail", Boolean, nullable=False, default=False),  # sent to the user, and shown to no one else
)

recent_logins = make_table(
    # When a user last signed in interactively, by browser session: for step-up authentication (R77).
    "recent_logins",
    Column("user", String(NAME_LENGTH), primary_key=True),
    Column("session", String(64), primary_key=True),  # SHA-256 of the hub's id of the browser session
    Column("at", UtcDateTime, nullable=False, index=True),
)

groups = make_table(
    "groups",
    id_column(),
    Column("name", String(NAME_LENGTH), nullable=False, unique=True),
    Column("provider", String(32)),  # None: local
    Column("description", Text, nullable=False, default=""),
    Column("is_default", Boolean, nullable=False, default=False),  # every new user joins
    Column("built_in", Boolean, nullable=False, default=False),
    never_reuse_ids=True,
)

memberships = make_table(
    "memberships",
    id_column(),
    Column("group_id", IdType, ForeignKey("groups.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("member", String(IDENTITY_LENGTH), nullable=False, index=True),  # an identity as kind:name
    Column("provider", String(32)),  # None: a local membership
    Column("seen_at", UtcDateTime),  # of a directory membership, which expires after group_max_age (R63)
    # An expression index, because a unique constraint treats NULLs as different.
    Index("uq_memberships_group_id", "group_id", "member", text("coalesce(provider, '')"), unique=True),
)

mapping_rules = make_table(
    # Rules that give the members of a provider's group a role in a project.
    "mapping_rules",
    id_column(),
    Column("provider", String(32), nullable=False, index=True),
    Column("group", String(NAME_LENGTH), nullable=False),  # an exact name, or a template with one `{project}`
    Column("role", String(NAME_LENGTH), nullable=False),
    Column("project", String(NAME_LENGTH)),  # None: the template names it
    Column("created_by", String(IDENTITY_LENGTH), nullable=False),
    Column("created", UtcDateTime, nullable=False),
    Index("uq_mapping_rules_provider", "provider", "group", "role", text("coalesce(project, '')"), unique=True),
    never_reuse_ids=True,
)

reported_groups = make_table(
    # The groups that a provider reported at a user's last login, so that a new rule can show whom it affects.
    "reported_groups",
    Column("user_id", IdType, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    Column("provider", String(32), primary_key=True),
    Column("groups", JSON, nullable=False),
    Column("seen_at", UtcDateTime, nullable=False, index=True),
)

service_accounts = make_table(
    "service_accounts",
    id_column(),
    Column("name", String(NAME_LENGTH), nullable=False, unique=True),
    Column("description", Text, nullable=False, default=""),
    Column("controller", String(IDENTITY_LENGTH)),  # the identity that created it
    Column("active", Boolean, nullable=False, default=True),
    Column("created", UtcDateTime, nullable=False),
    Column("built_in", Boolean, nullable=False, default=False),
    never_reuse_ids=True,
)

credentials = make_table(
    # Credentials of service accounts.
    "credentials",
    id_column(),
    Column(
        "service_account_id",
        IdType,
        ForeignKey("service_accounts.id", ondelete="CASCADE"),
        nullable=False,
        index=True,
    ),
    Column("hash", String(64), nullable=False, unique=True),  # SHA-256 of 256 random bits
    Column("created", UtcDateTime, nullable=False),
    Column("expires", UtcDateTime, nullable=False),
    Column("last_used", UtcDateTime),
    Column("issued_by", String(IDENTITY_LENGTH)),  # None: an operator on the service's own machine, or unknown
    Column("key", String(43)),  # thumbprint of the key that must sign a proof for every request (RFC 9449)
    Column("networks", JSON(none_as_null=True)),  # list of CIDRs that may use it; None: any address
)

used_dpop_proofs = make_table(
    # Proofs of possession that were accepted, so that none is accepted twice (RFC 9449, 11.1).
    "used_dpop_proofs",
    Column("proof_hash", String(64), primary_key=True),  # SHA-256 of the key's thumbprint and the proof's id
    Column("expires", UtcDateTime, nullable=False, index=True),
)

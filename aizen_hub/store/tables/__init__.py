"""The tables of the database. Names are canonical and unique by constraint (R27); ids are immutable and never reused
(T-47).

Times are UTC. An identity is stored as ``kind:name``.
"""

from __future__ import annotations

from aizen_hub.store.tables.access_tables import (
    IN_EFFECT,
    assignment_rows,
    assignments,
    jobs,
    keys,
    locks,
    permissions,
    project_alerts,
    projects,
    revision,
    roles,
    scope_limits,
    sessions,
)
from aizen_hub.store.tables.columns import NAME_LENGTH, metadata
from aizen_hub.store.tables.identity_tables import (
    activations,
    credentials,
    groups,
    logins,
    mapping_rules,
    memberships,
    names,
    passwords,
    recent_logins,
    reported_groups,
    service_accounts,
    used_dpop_proofs,
    users,
)
from aizen_hub.store.tables.log_tables import (
    archive_manifests,
    attempt_counters,
    audit,
    changes,
    idempotency_keys,
    open_commands,
    operations,
    outbox,
    pending_changes,
    replicas,
)
from aizen_hub.store.tables.panel_tables import registration_requests, undo_records, used_sign_ins
from aizen_hub.store.tables.review_tables import access_reviews, assignment_uses, review_decisions

__all__ = [
    "IN_EFFECT",
    "NAME_LENGTH",
    "access_reviews",
    "activations",
    "archive_manifests",
    "assignment_rows",
    "assignment_uses",
    "assignments",
    "attempt_counters",
    "audit",
    "changes",
    "credentials",
    "groups",
    "idempotency_keys",
    "jobs",
    "keys",
    "locks",
    "logins",
    "mapping_rules",
    "memberships",
    "metadata",
    "names",
    "open_commands",
    "operations",
    "outbox",
    "passwords",
    "pending_changes",
    "permissions",
    "project_alerts",
    "projects",
    "recent_logins",
    "registration_requests",
    "replicas",
    "reported_groups",
    "review_decisions",
    "revision",
    "roles",
    "scope_limits",
    "service_accounts",
    "sessions",
    "undo_records",
    "used_dpop_proofs",
    "used_sign_ins",
    "users",
]

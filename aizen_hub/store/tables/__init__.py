"""The tables of the database. Names are canonical and unique by constraint (R27); ids are immutable and never reused
(T-47).

Times are UTC. An identity is stored as ``kind:name``.
"""

from __future__ import annotations

from aizen_hub.store.tables.access_tables import (
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
    outbox,
    pending_changes,
)

__all__ = [
    "NAME_LENGTH",
    "activations",
    "archive_manifests",
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
    "outbox",
    "passwords",
    "pending_changes",
    "permissions",
    "project_alerts",
    "projects",
    "recent_logins",
    "reported_groups",
    "revision",
    "roles",
    "scope_limits",
    "service_accounts",
    "sessions",
    "used_dpop_proofs",
    "users",
]

"""SQL statements by which an attacker who can write to the database changes access without the service (T-38)."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

NOW = int(datetime.now(UTC).timestamp()) * 1_000_000
LATER, FAR = NOW + 10**12, NOW + 5 * 10**15
HASH = hashlib.sha256(b"mine").hexdigest()
_OF = "SELECT id FROM users WHERE name ="
_INTO_GROUP = "INSERT INTO memberships (group_id, member, provider, seen_at) SELECT id, 'user:nil'"
_SESSION = 'INSERT INTO sessions (id, "user", hub, server, project, credential, started, last_seen)'
_PENDING = "INSERT INTO pending_changes (id, kind, requested_by, requested, expires, payload, state, comment)"
TAMPERED: dict[str, tuple[str, str, tuple[str, ...]]] = {
    # name: (statement, kind of the finding, texts in the finding)
    "assignment extended to the system": (
        "UPDATE assignments SET scope = 'system' WHERE role = 'PROJECT_ADMIN'",
        "assignment",
        ("PROJECT_ADMIN", "user:boss"),
    ),
    "assignment without its end": ("UPDATE assignments SET ends = NULL, starts = 5", "assignment", ("`starts`",)),
    "creator's role": ("UPDATE assignments SET creator = false", "assignment", ("PROJECT_ADMIN", "`creator`")),
    "mapped role made permanent": ("UPDATE assignments SET mapped = false", "assignment", ("readers", "`mapped`")),
    "local membership": (f"{_INTO_GROUP}, NULL, NULL FROM groups WHERE name = 'admins'", "membership", ("admins",)),
    "directory membership, seen in the far future": (
        f"{_INTO_GROUP}, 'ldap', {FAR} FROM groups WHERE name = 'admins'",
        "membership",
        ("user:nil", "admins"),
    ),
    "directory membership in a directory group": (
        f"{_INTO_GROUP}, 'ldap', {NOW} FROM groups WHERE name = 'staff'",
        "membership",
        ("user:nil", "staff"),
    ),
    "membership that never expires": (f"UPDATE memberships SET seen_at = {FAR}", "date", ("user:dora",)),
    "membership of another directory": ("UPDATE memberships SET provider = 'idp'", "membership", ("user:dora",)),
    "membership deleted": ("DELETE FROM memberships", "membership", ("user:nil", "team", "missing")),
    "nested group": ("UPDATE memberships SET member = 'group:team'", "membership", ("group:team",)),
    "group attached to a directory": ("UPDATE groups SET provider = 'ldap'", "group", ("admins", "`provider`")),
    "default group": ("UPDATE groups SET is_default = true", "group", ("admins", "`is_default`")),
    "lock expired": ("UPDATE locks SET ends = 1", "lock", ("user:nil", "`ends`")),
    "lock deleted": ("DELETE FROM locks", "lock", ("user:nil",)),
    "credential inserted": (
        "INSERT INTO credentials (service_account_id, hash, created, expires)"
        f" SELECT id, '{HASH}', {NOW}, {LATER} FROM service_accounts WHERE name = 'robot'",
        "credential",
        ("robot", "no change recorded it"),
    ),
    "credential prolonged": (f"UPDATE credentials SET expires = {FAR}", "credential", ("robot", "`expires`")),
    "credential replaced": (f"UPDATE credentials SET hash = '{HASH}'", "credential", ("robot", "`hash`")),
    "credential for another network": (
        "UPDATE credentials SET networks = '[\"10.0.0.0/8\"]'",
        "credential",
        ("`networks`",),
    ),
    "credential for another key": ("UPDATE credentials SET key = 'mine'", "credential", ("`key`",)),
    "credential issuer": ("UPDATE credentials SET issued_by = 'user:nil'", "credential", ("`issued_by`",)),
    "credential moved to another account": (
        "UPDATE credentials SET service_account_id = (SELECT id FROM service_accounts WHERE name = 'tool')",
        "credential",
        ("tool",),
    ),
    "service account enabled": (
        "UPDATE service_accounts SET active = true",
        "service-account",
        ("tool", "`active`"),
    ),
    "service account controller": (
        "UPDATE service_accounts SET controller = 'user:nil'",
        "service-account",
        ("robot", "`controller`"),
    ),
    "login linked": (
        "INSERT INTO logins (user_id, provider, subject) SELECT id, 'ldap', 'x' FROM users WHERE name = 'boss'",
        "login",
        ("boss", "ldap"),
    ),
    "login of another subject": ("UPDATE logins SET subject = 'attacker'", "login", ("boss", "idp")),
    "login moved to another user": (f"UPDATE logins SET user_id = ({_OF} 'nil')", "login", ("nil", "idp")),
    "password replaced": (
        f"UPDATE passwords SET hash = (SELECT hash FROM passwords WHERE user_id = ({_OF} 'nil'))"
        f" WHERE user_id = ({_OF} 'boss')",
        "password",
        ("boss", "`hash`"),
    ),
    "password for a directory user": (
        f"UPDATE passwords SET user_id = ({_OF} 'dora') WHERE user_id = ({_OF} 'nil')",
        "password",
        ("dora", "no change recorded it"),
    ),
    "second factor removed": ("UPDATE passwords SET totp_secret = NULL", "password", ("boss", "`totp_secret`")),
    "activation link replaced": (
        f"UPDATE activations SET token_hash = '{HASH}'",
        "activation",
        ("ina", "`token_hash`"),
    ),
    "activation link prolonged": (f"UPDATE activations SET expires = {FAR}", "activation", ("ina", "`expires`")),
    "activation link issuer": ("UPDATE activations SET issued_by = 'user:nil'", "activation", ("`issued_by`",)),
    "activation link for another user": (
        f"UPDATE activations SET user_id = ({_OF} 'boss')",
        "activation",
        ("boss", "no change recorded it"),
    ),
    "account activated": ("UPDATE users SET active = true", "user", ("ina", "`active`")),
    "registration of another provider": (
        "UPDATE users SET provider = 'idp' WHERE name = 'boss'",
        "user",
        ("`provider`",),
    ),
    "registration of another subject": ("UPDATE users SET subject = 'x' WHERE name = 'boss'", "user", ("`subject`",)),
    "registration unbound": ("UPDATE users SET subject = NULL WHERE name = 'dora'", "user", ("dora", "`subject`")),
    "user tokens valid again": (
        "UPDATE users SET not_before = 1 WHERE name = 'boss'",
        "user",
        ("boss", "`not_before`"),
    ),
    "registration": (
        "INSERT INTO users (name, provider, display_name, email_unconfirmed, alerts, active, created)"
        f" VALUES ('mallory', 'local', '', false, '{{}}', true, {NOW})",
        "user",
        ("mallory",),
    ),
    "address set by another user": (
        "UPDATE users SET email_set_by = 'user:mallory' WHERE name = 'boss'",
        "user",
        ("boss", "`email_set_by`"),
    ),
    "address not confirmed": (
        "UPDATE users SET email_unconfirmed = true WHERE name = 'boss'",
        "user",
        ("boss", "`email_unconfirmed`"),
    ),
    "activation link by mail": ("UPDATE activations SET by_mail = true", "activation", ("`by_mail`",)),
    "last seen in the far future": (f"UPDATE users SET last_seen = {FAR} WHERE name = 'dora'", "date", ("dora",)),
    "groups reported in the far future": (f"UPDATE reported_groups SET seen_at = {FAR}", "date", ("dora",)),
    "recent login in the far future": (
        f"INSERT INTO recent_logins (\"user\", session, at) VALUES ('boss', '{HASH}', {FAR})",
        "date",
        ("boss",),
    ),
    "reserved name freed": ("DELETE FROM names WHERE name = 'gone'", "name", ("user:gone",)),
    "reserved name in use": ("UPDATE names SET retired = NULL", "name", ("user:gone", "`retired`")),
    "mapping rule": (
        'INSERT INTO mapping_rules (provider, "group", role, project, created_by, created)'
        f" VALUES ('ldap', 'all-staff', 'PROJECT_ADMIN', 'p1', 'user:boss', {NOW})",
        "mapping",
        ("no change recorded it",),
    ),
    "mapping rule for more": ("UPDATE mapping_rules SET role = 'PROJECT_ADMIN'", "mapping", ("`role`",)),
    "mapping rule for others": ("UPDATE mapping_rules SET \"group\" = 'staff'", "mapping", ("`group`",)),
    "role's permissions": ("UPDATE roles SET permissions = '[\"*:*\"]'", "role", ("scorer", "`permissions`")),
    "role's limits": ("UPDATE roles SET limits = '{}'", "role", ("scorer", "`limits`")),
    "permission's content": (
        "UPDATE permissions SET content = 'projects=500'",
        "permission",
        ("5 Project Limit", "`content`"),
    ),
    "role's scopes": ("UPDATE roles SET scopes = '[\"system\"]'", "role", ("scorer", "`scopes`")),
    "limit raised": ("UPDATE scope_limits SET value = 99", "limit", ("jobs", "user:nil", "`value`")),
    "limit deleted": ("DELETE FROM scope_limits", "limit", ("jobs", "user:nil")),
    "project creator": ("UPDATE projects SET created_by = 'user:nil'", "project", ("p1", "`created_by`")),
    "project listed": ("UPDATE projects SET listed = true", "project", ("p1", "`listed`")),
    "project tokens valid again": ("UPDATE projects SET not_before = 1", "project", ("p1", "`not_before`")),
    "all tokens valid again": ("UPDATE revision SET not_before = 1", "store", ("`not_before`",)),
    "another catalog": (f"UPDATE revision SET catalog_hash = '{HASH}'", "store", ("`catalog_hash`",)),
    "session inserted": (
        f"{_SESSION} VALUES ('s1', 'boss', 'main', '', NULL, '{HASH}', {NOW}, {NOW})",
        "session",
        ("s1", "no change recorded it"),
    ),
    "session moved to another hub": ("UPDATE sessions SET hub = 'gpu'", "session", ("`hub`",)),
    "session reactivated": ("UPDATE sessions SET ended = NULL", "session", ("no change recorded it",)),
    "session of another user": ("UPDATE sessions SET \"user\" = 'nil'", "session", ("`user`",)),
    "session of another server": (
        f"UPDATE sessions SET credential = '{HASH}' WHERE ended IS NULL",
        "session",
        ("`credential`",),
    ),
    "session of another project": ("UPDATE sessions SET project = 'p2'", "session", ("`project`",)),
    "session tokens valid again": ("UPDATE sessions SET min_token_revision = 1", "session", ("`min_token_revision`",)),
    "session seen in the far future": (f"UPDATE sessions SET last_seen = {FAR}", "date", ("session",)),
    "key published again": ("UPDATE keys SET state = 'published' WHERE state = 'retired'", "key", ("`state`",)),
    "key for another purpose": ("UPDATE keys SET purpose = 'checkpoint' WHERE purpose = 'role'", "key", ("`purpose`",)),
    "job marked as ended": ("UPDATE jobs SET ended = 1", "job", ("d1", "missing")),
    "job of another user": ("UPDATE jobs SET \"user\" = 'nil'", "job", ("d1", "`user`")),
    "pending change rewritten": ("UPDATE pending_changes SET payload = '{}'", "pending", ("`payload`",)),
    "pending change of another requester": (
        "UPDATE pending_changes SET requested_by = 'user:nil'",
        "pending",
        ("`requested_by`",),
    ),
    "pending change inserted": (
        f"{_PENDING} VALUES ('w', 'grant', 'user:boss', {NOW}, {LATER}, '{{}}', 'waiting', '')",
        "pending",
        ("w", "no change recorded it"),
    ),
}

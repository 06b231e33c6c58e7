"""Statements by which somebody who can write to the database gives, takes or opens access past the service (T-38)."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

NOW = int(datetime.now(UTC).timestamp()) * 1_000_000
LATER, FAR = NOW + 10**12, NOW + 5 * 10**15
HASH = hashlib.sha256(b"mine").hexdigest()
_OF = "SELECT id FROM users WHERE name ="
_INTO_GROUP = "INSERT INTO memberships (group_id, member, provider, seen_at) SELECT id, 'user:nil'"
_SESSION = 'INSERT INTO sessions (id, "user", server, project, credential, started, heard)'
_PENDING = "INSERT INTO pending (id, kind, asked_by, asked, expires, payload, state, comment)"
TAMPERED: dict[str, tuple[str, str, tuple[str, ...]]] = {
    # name: (statement, kind of the finding, what it must name)
    "assignment to oneself": (
        "UPDATE assignments SET scope = 'system' WHERE role = 'PROJECT_ADMIN'",
        "assignment",
        ("PROJECT_ADMIN", "user:boss"),
    ),
    "assignment without its end": ("UPDATE assignments SET ends = NULL, starts = 5", "assignment", ("`starts`",)),
    "creator's role": ("UPDATE assignments SET creator = false", "assignment", ("PROJECT_ADMIN", "`creator`")),
    "rule's role made one's own": ("UPDATE assignments SET mapped = false", "assignment", ("readers", "`mapped`")),
    "local membership": (f"{_INTO_GROUP}, NULL, NULL FROM groups WHERE name = 'admins'", "membership", ("admins",)),
    "directory membership, seen in the far future": (
        f"{_INTO_GROUP}, 'ldap', {FAR} FROM groups WHERE name = 'admins'",
        "membership",
        ("user:nil", "admins"),
    ),
    "directory membership of a directory's group": (
        f"{_INTO_GROUP}, 'ldap', {NOW} FROM groups WHERE name = 'staff'",
        "membership",
        ("user:nil", "staff"),
    ),
    "membership that never lapses": (f"UPDATE memberships SET seen_at = {FAR}", "date", ("user:dora",)),
    "membership of another directory": ("UPDATE memberships SET provider = 'idp'", "membership", ("user:dora",)),
    "membership taken away": ("DELETE FROM memberships", "membership", ("user:nil", "team", "gone")),
    "group inside another": ("UPDATE memberships SET member = 'group:team'", "membership", ("group:team",)),
    "group that a directory feeds": ("UPDATE groups SET provider = 'ldap'", "group", ("admins", "`provider`")),
    "group that everybody joins": ("UPDATE groups SET is_default = true", "group", ("admins", "`is_default`")),
    "lock ended by its end": ("UPDATE locks SET ends = 1", "lock", ("user:nil", "`ends`")),
    "lock gone": ("DELETE FROM locks", "lock", ("user:nil",)),
    "credential made": (
        "INSERT INTO credentials (service_account_id, hash, created, expires)"
        f" SELECT id, '{HASH}', {NOW}, {LATER} FROM service_accounts WHERE name = 'robot'",
        "credential",
        ("robot", "no change put it there"),
    ),
    "credential prolonged": (f"UPDATE credentials SET expires = {FAR}", "credential", ("robot", "`expires`")),
    "credential exchanged": (f"UPDATE credentials SET hash = '{HASH}'", "credential", ("robot", "`hash`")),
    "credential of another network": (
        "UPDATE credentials SET networks = '[\"10.0.0.0/8\"]'",
        "credential",
        ("`networks`",),
    ),
    "credential of another key": ("UPDATE credentials SET key = 'mine'", "credential", ("`key`",)),
    "credential's maker": ("UPDATE credentials SET issued_by = 'user:nil'", "credential", ("`issued_by`",)),
    "credential moved to another account": (
        "UPDATE credentials SET service_account_id = (SELECT id FROM service_accounts WHERE name = 'tool')",
        "credential",
        ("tool",),
    ),
    "service account switched on": (
        "UPDATE service_accounts SET active = true",
        "service-account",
        ("tool", "`active`"),
    ),
    "service account taken over": (
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
    "login moved to another person": (f"UPDATE logins SET user_id = ({_OF} 'nil')", "login", ("nil", "idp")),
    "password exchanged": (
        f"UPDATE passwords SET hash = (SELECT hash FROM passwords WHERE user_id = ({_OF} 'nil'))"
        f" WHERE user_id = ({_OF} 'boss')",
        "password",
        ("boss", "`hash`"),
    ),
    "password of the directory's person": (
        f"UPDATE passwords SET user_id = ({_OF} 'dora') WHERE user_id = ({_OF} 'nil')",
        "password",
        ("dora", "no change put it there"),
    ),
    "second factor off": ("UPDATE passwords SET totp_secret = NULL", "password", ("boss", "`totp_secret`")),
    "activation link exchanged": (
        f"UPDATE activations SET token_hash = '{HASH}'",
        "activation",
        ("ina", "`token_hash`"),
    ),
    "activation link prolonged": (f"UPDATE activations SET expires = {FAR}", "activation", ("ina", "`expires`")),
    "activation link of nobody": ("UPDATE activations SET issued_by = 'user:nil'", "activation", ("`issued_by`",)),
    "activation link for somebody else": (
        f"UPDATE activations SET user_id = ({_OF} 'boss')",
        "activation",
        ("boss", "no change put it there"),
    ),
    "account switched on": ("UPDATE users SET active = true", "user", ("ina", "`active`")),
    "registration of another provider": (
        "UPDATE users SET provider = 'idp' WHERE name = 'boss'",
        "user",
        ("`provider`",),
    ),
    "registration of another subject": ("UPDATE users SET subject = 'x' WHERE name = 'boss'", "user", ("`subject`",)),
    "registration unbound": ("UPDATE users SET subject = NULL WHERE name = 'dora'", "user", ("dora", "`subject`")),
    "tokens good again": ("UPDATE users SET not_before = 1 WHERE name = 'boss'", "user", ("boss", "`not_before`")),
    "registration": (
        "INSERT INTO users (name, provider, display_name, alerts, active, created)"
        f" VALUES ('mallory', 'local', '', '{{}}', true, {NOW})",
        "user",
        ("mallory",),
    ),
    "checked in the far future": (f"UPDATE users SET last_seen = {FAR} WHERE name = 'dora'", "date", ("dora",)),
    "reported in the far future": (f"UPDATE reported_groups SET seen_at = {FAR}", "date", ("dora",)),
    "signed in afresh for good": (
        f"INSERT INTO sign_ins (\"user\", session, at) VALUES ('boss', '{HASH}', {FAR})",
        "date",
        ("boss",),
    ),
    "reserved name freed": ("DELETE FROM names WHERE name = 'gone'", "name", ("user:gone",)),
    "reserved name in use": ("UPDATE names SET retired = NULL", "name", ("user:gone", "`retired`")),
    "mapping rule": (
        'INSERT INTO mappings (provider, "group", role, project, created_by, created)'
        f" VALUES ('ldap', 'everybody', 'PROJECT_ADMIN', 'p1', 'user:boss', {NOW})",
        "mapping",
        ("no change put it there",),
    ),
    "mapping rule for more": ("UPDATE mappings SET role = 'PROJECT_ADMIN'", "mapping", ("`role`",)),
    "mapping rule for others": ("UPDATE mappings SET \"group\" = 'staff'", "mapping", ("`group`",)),
    "role's permissions": ("UPDATE roles SET permissions = '[\"*:*\"]'", "role", ("scorer", "`permissions`")),
    "role's limits": ("UPDATE roles SET limits = '{}'", "role", ("scorer", "`limits`")),
    "role's scopes": ("UPDATE roles SET scopes = '[\"system\"]'", "role", ("scorer", "`scopes`")),
    "limit raised": ("UPDATE scope_limits SET value = 99", "limit", ("jobs", "user:nil", "`value`")),
    "limit gone": ("DELETE FROM scope_limits", "limit", ("jobs", "user:nil")),
    "project of somebody else": ("UPDATE projects SET created_by = 'user:nil'", "project", ("p1", "`created_by`")),
    "project's tokens good again": ("UPDATE projects SET not_before = 1", "project", ("p1", "`not_before`")),
    "tokens of all good again": ("UPDATE revision SET not_before = 1", "store", ("`not_before`",)),
    "another catalog": (f"UPDATE revision SET catalog_hash = '{HASH}'", "store", ("`catalog_hash`",)),
    "session opened": (
        f"{_SESSION} VALUES ('s1', 'boss', '', NULL, '{HASH}', {NOW}, {NOW})",
        "session",
        ("s1", "no change put it there"),
    ),
    "session alive again": ("UPDATE sessions SET ended = NULL", "session", ("no change put it there",)),
    "session of another person": ("UPDATE sessions SET \"user\" = 'nil'", "session", ("`user`",)),
    "session of another server": (
        f"UPDATE sessions SET credential = '{HASH}' WHERE ended IS NULL",
        "session",
        ("`credential`",),
    ),
    "session of another project": ("UPDATE sessions SET project = 'p2'", "session", ("`project`",)),
    "revoked tokens good again": ("UPDATE sessions SET tokens_from = 1", "session", ("`tokens_from`",)),
    "session heard for good": (f"UPDATE sessions SET heard = {FAR}", "date", ("session",)),
    "key in force again": ("UPDATE keys SET state = 'published' WHERE state = 'retired'", "key", ("`state`",)),
    "key for another purpose": ("UPDATE keys SET purpose = 'checkpoint' WHERE purpose = 'role'", "key", ("`purpose`",)),
    "job that counts no more": ("UPDATE jobs SET ended = 1", "job", ("d1", "gone")),
    "job of somebody else": ("UPDATE jobs SET \"user\" = 'nil'", "job", ("d1", "`user`")),
    "waiting change rewritten": ("UPDATE pending SET payload = '{}'", "pending", ("`payload`",)),
    "waiting change of another asker": ("UPDATE pending SET asked_by = 'user:nil'", "pending", ("`asked_by`",)),
    "waiting change": (
        f"{_PENDING} VALUES ('w', 'grant', 'user:boss', {NOW}, {LATER}, '{{}}', 'waiting', '')",
        "pending",
        ("w", "no change put it there"),
    ),
}

"""The audit is searched through one index that grows at its end, instead of one for each column."""

from __future__ import annotations

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_audit_found", "audit", ["at", "event", "identity", "project"], unique=False)
    for column in ("at", "identity", "project"):
        op.drop_index(f"ix_audit_{column}", "audit")

"""What the core was given and has not ended, and which replica watches over it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_RUNNING = """
INSERT INTO open_commands (decision_id, "user", project, session, acting, command, job, watcher, until, lost)
SELECT decision_id, "user", CASE WHEN project = 'system' THEN NULL ELSE project END, session, acting, command,
       'starts', '', 0, (1 = 0)
FROM jobs WHERE ended IS NULL
"""


def upgrade() -> None:
    op.create_table(
        "open_commands",
        sa.Column("decision_id", sa.String(length=64), nullable=False),
        sa.Column("user", sa.String(length=255), nullable=False),
        sa.Column("project", sa.String(length=255), nullable=True),
        sa.Column("session", sa.String(length=32), nullable=True),
        sa.Column("acting", sa.String(length=275), nullable=True),
        sa.Column("command", sa.Text(), nullable=False),
        sa.Column("job", sa.String(length=10), nullable=True),
        sa.Column("watcher", sa.String(length=40), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.Column("lost", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("decision_id", name=op.f("pk_open_commands")),
    )
    op.create_index(op.f("ix_open_commands_until"), "open_commands", ["until"], unique=False)
    op.execute(_RUNNING)

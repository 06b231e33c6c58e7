"""What a credential of a service account is bound to, and the proofs that were used."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("credentials", sa.Column("key", sa.String(length=43), nullable=True))
    op.add_column("credentials", sa.Column("networks", sa.JSON(), nullable=True))
    op.create_table(
        "proofs",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("expires", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_proofs")),
    )
    op.create_index(op.f("ix_proofs_expires"), "proofs", ["expires"], unique=False)

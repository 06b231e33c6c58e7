"""What a database holds already is recorded once, so that it can be compared with its changes from now on."""

from __future__ import annotations

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

from aizen_hub.audit import baseline

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    conn = op.get_bind()
    if conn.scalar(sa.text("SELECT value FROM revision")):  # a new one has nothing yet
        baseline.record(conn, datetime.now(UTC))

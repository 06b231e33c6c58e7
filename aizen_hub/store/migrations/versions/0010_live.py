"""Live sessions and running jobs are found among themselves, however many ended before them."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_LIVE: dict[str, Any] = {f"{dialect}_where": sa.text("ended IS NULL") for dialect in ("sqlite", "postgresql")}


def upgrade() -> None:
    op.create_index("ix_sessions_live", "sessions", ["started"], unique=False, **_LIVE)
    op.create_index("ix_jobs_live", "jobs", ["project", "started"], unique=False, **_LIVE)

"""From here on changes record which rows they write; `schema` records once what a database of before holds."""

from __future__ import annotations

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Change nothing: the number is what counts."""

"""Tables of the panel: undo records, sign-ins that were completed, and people who ask to be registered."""

from __future__ import annotations

from sqlalchemy import JSON, Column, String, Text

from aizen_hub.store.tables.columns import IDENTITY_LENGTH, NAME_LENGTH, make_table
from aizen_hub.store.timestamps import UtcDateTime

undo_records = make_table(
    # The inverse of a change that was made in the panel, offered for ten minutes to who made it.
    "undo_records",
    Column("id", String(32), primary_key=True),
    Column("identity", String(IDENTITY_LENGTH), nullable=False, index=True),
    Column("label", Text, nullable=False),  # the change in words
    Column("steps", JSON, nullable=False),  # list of [operation, arguments]
    Column("expires", UtcDateTime, nullable=False, index=True),
)

used_sign_ins = make_table(
    # Sign-ins of browsers that were completed, so that the state of none is accepted twice, on any replica.
    "used_sign_ins",
    Column("nonce_hash", String(64), primary_key=True),  # SHA-256
    Column("expires", UtcDateTime, nullable=False, index=True),
)

registration_requests = make_table(
    # People whom a provider signed in, who are not registered and asked for it.
    "registration_requests",
    Column("provider", String(32), primary_key=True),
    Column("name", String(NAME_LENGTH), primary_key=True),  # as the provider calls the person
    Column("display_name", Text, nullable=False),
    Column("email", String(NAME_LENGTH)),
    Column("asked", UtcDateTime, nullable=False, index=True),
)

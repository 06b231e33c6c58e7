"""Alembic asks for this file; `aizen_hub.store.migrate` alone runs migrations: it has the transaction and the lock."""

raise RuntimeError("run `aizen-hub db upgrade`")

"""Environment file required by Alembic. Migrations run only through `aizen_hub.store.migrate`, which locks first."""

raise RuntimeError("run `aizen-hub db upgrade`")

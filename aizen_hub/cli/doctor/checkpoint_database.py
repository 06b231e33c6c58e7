"""Checks of the database with the checkpoints: that it can be used, and who could change what proves the audit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from aizen_hub.diagnosis.check_result import CheckResult, in_settings
from aizen_hub.diagnosis.installation import Installation
from aizen_hub.settings import ConfigurationError

if TYPE_CHECKING:
    from aizen_hub.store.checkpoint_rows import CheckpointRows
    from aizen_hub.store.sql_store import Store

_CREATE = "run deploy/postgresql/checkpoints.sql in that database as a role that owns neither it nor the audit"
_GRANT = (
    "as the owner of the table: REVOKE ALL ON aizen_checkpoints.checkpoints FROM {0}; then, for the role of"
    " checkpoint_database only: GRANT SELECT, INSERT ON aizen_checkpoints.checkpoints"
)
_WHERE = in_settings("checkpoint_database")


def check_checkpoint_database(installation: Installation) -> Iterator[CheckResult]:
    """Check that the table can be used by a role that can only append to it (R97)."""
    from aizen_hub.store.checkpoint_rows import CheckpointRows, CheckpointRowsError

    settings = installation.settings
    try:
        url = settings.checkpoint_database_url
        if url is None:
            return
        rows = CheckpointRows(url, settings.service.deadline_seconds)
    except ConfigurationError as error:
        yield CheckResult.error("checkpoint-database", _WHERE, str(error), "correct it in aizen.yaml")
        return
    try:
        privileges = rows.read_own_privileges()
        if privileges.can_append:
            rows.read_newest(1)
    except CheckpointRowsError as error:
        yield from _report_unusable(error)
        return
    finally:
        rows.close()
    if privileges.can_change:
        yield CheckResult.error(
            "checkpoint-privileges",
            _WHERE,
            f"the role `{privileges.role}` can change and delete checkpoints: who takes over the service can cut the "
            "end of the audit",
            _GRANT.format(privileges.role),
        )
    elif not privileges.can_append:
        yield CheckResult.error(
            "checkpoint-database", _WHERE, f"the role `{privileges.role}` may not insert checkpoints", _CREATE
        )
    else:
        yield CheckResult.passed("checkpoint-privileges", f"the role `{privileges.role}` can only append checkpoints")


def check_other_roles(store: Store, installation: Installation) -> Iterator[CheckResult]:
    """Check that neither the service's role nor the owner of the audit can write checkpoints (R96, R97)."""
    from aizen_hub.store.checkpoint_rows import CheckpointRows, CheckpointRowsError

    settings = installation.settings
    if store.database.embedded or settings.checkpoint_database_url is None:
        return
    with store.translate_db_errors(), store.database.engine.connect() as conn:
        started = str(conn.exec_driver_sql("SELECT pg_postmaster_start_time()").scalar_one())
        query = "SELECT current_user, pg_get_userbyid(relowner) FROM pg_class WHERE oid = 'audit'::regclass"
        names = [str(name) for name in conn.exec_driver_sql(query).one()]
    rows = CheckpointRows(settings.checkpoint_database_url, settings.service.deadline_seconds)
    try:
        if rows.server_started() == started:
            yield from _check_same_server(rows, dict.fromkeys(names))
    except CheckpointRowsError:
        return  # reported with the settings
    finally:
        rows.close()


def _check_same_server(rows: CheckpointRows, names: dict[str, None]) -> Iterator[CheckResult]:
    yield CheckResult.warning(
        "checkpoint-server",
        _WHERE,
        "the checkpoints are on the server of the audit: who sets that server back to an older state sets back both",
        "put checkpoint_database on a server of its own, which is backed up and restored by itself",
        production=True,
    )
    own = rows.read_own_privileges().role
    for name in names:
        privileges = rows.read_privileges(name)
        if name == own:
            yield CheckResult.error(
                "checkpoint-privileges",
                _WHERE,
                f"the role `{name}` writes both the audit and its checkpoints",
                "give the checkpoints a role of their own: see deploy/postgresql/checkpoints.sql",
            )
        elif privileges is not None and (privileges.can_append or privileges.can_change):
            yield CheckResult.error(
                "checkpoint-privileges",
                _WHERE,
                f"the role `{name}`, which writes the audit, can write its checkpoints too",
                _GRANT.format(name),
            )


def _report_unusable(error: OSError) -> Iterator[CheckResult]:
    from aizen_hub.store.checkpoint_rows import SCHEMA

    diagnosis, sentence = getattr(error, "diagnosis", None), str(error)
    if SCHEMA in sentence:
        yield CheckResult.error(
            "checkpoint-database", _WHERE, f"the checkpoint database is not ready: {error}", _CREATE
        )
    elif diagnosis is not None:
        yield CheckResult.error("checkpoint-database", _WHERE, diagnosis.detail, diagnosis.remedy or _CREATE)
    else:
        yield CheckResult.error("checkpoint-database", _WHERE, f"the checkpoint database: {error}", _CREATE)

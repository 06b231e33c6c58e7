"""Where the settings put the checkpoints."""

from __future__ import annotations

from aizen_hub.audit.checkpoints.checkpoint_file import CheckpointFile
from aizen_hub.audit.checkpoints.checkpoint_log import CheckpointLog
from aizen_hub.audit.checkpoints.checkpoint_table import CheckpointTable
from aizen_hub.settings import Settings
from aizen_hub.store.checkpoint_rows import CheckpointRows


def open_checkpoints(settings: Settings) -> CheckpointLog:
    """Return the log of the settings: the table of ``checkpoint_database``, or the file. Nothing is opened yet.

    Raises
    ------
    ConfigurationError
        The address, its password file or the driver cannot be used.
    """
    url = settings.checkpoint_database_url
    if url is None:
        return CheckpointFile(settings.checkpoint_path)
    return CheckpointTable(CheckpointRows(url, settings.service.deadline_seconds))

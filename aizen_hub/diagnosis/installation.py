"""The installation that the doctor examines."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from aizen_hub.settings import Settings

if TYPE_CHECKING:
    from aizen_hub.catalogs.catalog import Catalog


@dataclass(frozen=True)
class Installation:
    """The configuration files of an installation.

    Attributes
    ----------
    config_path : Path
        ``aizen.yaml``, or the file in its place.
    settings : Settings
        Its content, with the overrides of this environment.
    hub_config_path : Path
        ``jupyterhub_config.py``, which may not exist.
    """

    config_path: Path
    settings: Settings
    hub_config_path: Path

    @cached_property
    def catalog(self) -> Catalog:
        """The catalog with its overlays; ValueError with all faults of the files."""
        from aizen_hub.catalogs.loader import load_catalog

        return load_catalog(self.settings.catalog, self.settings.overlays)

    @property
    def folder(self) -> Path:
        """The folder of ``aizen.yaml``, where relative paths in it start."""
        return self.config_path.absolute().parent

    @property
    def is_new(self) -> bool:
        """Whether the service was never started here: a SQLite file is made at the first start."""
        from aizen_hub.store.database import database_url, sqlite_path

        settings = self.settings
        return settings.uses_sqlite and not sqlite_path(database_url(settings.database_url)).exists()

from __future__ import annotations

import atexit
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from aizen_hub.catalogs.loader import load_catalog
from aizen_hub.notebook.client import NotebookClient
from aizen_hub.notebook.command_catalog import CatalogEntry, CommandCatalog
from tests.notebook.service_double import ServiceDouble, service_double


@pytest.fixture
def double() -> Iterator[ServiceDouble]:
    with service_double() as running:
        yield running


@pytest.fixture
def client(double: ServiceDouble) -> NotebookClient:
    return NotebookClient.from_environment(double.environment())


@pytest.fixture(scope="session")
def command_catalog() -> CommandCatalog:
    catalog = load_catalog("aizen")
    entries = (CatalogEntry(tuple(words.split()), entry.grammar) for words, entry in catalog.commands.items())
    return CommandCatalog(entries, catalog.roles)


@pytest.fixture
def bare_shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A real IPython shell without the extension."""
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    config = Config()
    config.HistoryManager.enabled = False
    InteractiveShell.clear_instance()
    shell = InteractiveShell.instance(config=config)
    yield shell
    atexit.unregister(shell.atexit_operations)
    shell.atexit_operations()
    InteractiveShell.clear_instance()


@pytest.fixture
def shell(bare_shell: Any, double: ServiceDouble, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A real IPython shell with the extension, in the environment of a user server."""
    for name, value in double.environment(JUPYTERHUB_USER="bob", AIZEN_PROJECT="churn").items():
        monkeypatch.setenv(name, value)
    bare_shell.run_line_magic("load_ext", "aizen_hub.notebook")
    return bare_shell

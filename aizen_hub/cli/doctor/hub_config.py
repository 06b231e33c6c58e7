"""The hub's configuration, loaded as the hub loads it, without what `configure` writes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

from traitlets.config import Config, PyFileConfigLoader

from aizen_hub.diagnosis.check_result import CheckResult, in_hub_config
from aizen_hub.diagnosis.installation import Installation
from aizen_hub.settings import ConfigurationError, Settings

_NO_SECRET = "0" * 64
"""In place of the service's token, which `configure` would create."""


def load_hub_config(installation: Installation) -> tuple[Config | None, list[CheckResult]]:
    """Return the final configuration, or None if there is none, and what is wrong with the file."""
    path = installation.hub_config_path
    if not path.exists():
        return None, [
            CheckResult.warning(
                "hub-config",
                str(path),
                f"{path} does not exist, so the hub was not checked",
                "name it with --hub-config, or write one with `aizen-hub init`",
            )
        ]
    calls: list[Path] = []
    try:
        # What the file prints must not get into our own output.
        with _recorded_calls(calls, installation.settings), redirect_stdout(sys.stderr):
            loader = PyFileConfigLoader(path.name, path=str(path.absolute().parent))
            hub: Config = loader.load_config()
    except ConfigurationError as error:
        return None, [CheckResult.error("hub-config", str(path), str(error), "correct that setting")]
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the file is a program of the operator
        reason = f"{type(error).__name__}: {error}"
        return None, [
            CheckResult.error("hub-config", str(path), f"{path} cannot be loaded: {reason}", "correct the file")
        ]
    return hub, list(_check_calls(calls, installation))


def _check_calls(calls: list[Path], installation: Installation) -> Iterator[CheckResult]:
    where = in_hub_config("configure")
    if not calls:
        yield CheckResult.error(
            "hub-configure",
            where,
            f"{installation.hub_config_path} does not call `configure`",
            'add as its last lines: from aizen_hub.hub.configure import configure; configure(c, "aizen.yaml")',
        )
    for path in calls:
        # Relative to the working directory of the hub, usually the folder of its configuration.
        candidates = {path.absolute(), installation.hub_config_path.absolute().parent / path}
        if not any(_is_same_file(candidate, installation.config_path) for candidate in candidates):
            yield CheckResult.error(
                "hub-configure",
                where,
                f"the hub reads `{path}`, and this command and the service read `{installation.config_path}`",
                f"configure(c, {str(installation.config_path.absolute())!r}), or run this command with -c {path}",
            )


def _is_same_file(path: Path, other: Path) -> bool:
    try:
        return path.samefile(other)
    except OSError:
        return False


@contextmanager
def _recorded_calls(calls: list[Path], settings: Settings) -> Iterator[None]:
    """Replace `configure` by a function that records its calls and writes no file."""
    from aizen_hub.hub import configure as configure_module

    real_configure = configure_module.configure
    configure_module.configure = _recorder(calls, settings)
    try:
        yield
    finally:
        configure_module.configure = real_configure


def _recorder(calls: list[Path], settings: Settings) -> Callable[..., Settings]:
    from aizen_hub.hub.configure import apply_settings

    def configure(c: Any, path: str | Path = "aizen.yaml") -> Settings:
        calls.append(Path(path))
        apply_settings(c, Path(path).absolute(), settings, api_token=None if settings.is_further_hub else _NO_SECRET)
        return settings

    return configure

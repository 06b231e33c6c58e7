"""``aizen-hub init``: the initial configuration files."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import click

from aizen_hub.cli.exit_codes import ExitCode
from aizen_hub.cli.output import show_message

HUB_CONFIG = '''\
"""A hub with aizen-hub. Start it with `jupyterhub -f jupyterhub_config.py`."""

from aizen_hub.hub.configure import configure

c = get_config()  # noqa: F821 - given by JupyterHub

# Put your own settings first, for example the spawner:
# c.JupyterHub.spawner_class = "dockerspawner.DockerSpawner"

configure(c, "aizen.yaml")
'''


def example() -> str:
    """Return the commented ``aizen.yaml`` that ``init`` writes."""
    return files("aizen_hub.cli").joinpath("example.yaml").read_text(encoding="utf-8")


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=".")
@click.option("--force", is_flag=True, help="Overwrite existing files.")
def init(folder: Path, force: bool) -> int:
    """Write a commented aizen.yaml and a jupyterhub_config.py into FOLDER (default: the current one).

    Existing files are kept unless you set --force. Then adapt aizen.yaml and start `jupyterhub`, which starts the
    service; `aizen-hub recover-admin` prints the link for the first admin; `aizen-hub doctor` checks the installation.
    """
    folder.mkdir(parents=True, exist_ok=True)
    contents = {folder / "aizen.yaml": example(), folder / "jupyterhub_config.py": HUB_CONFIG}
    present = [path for path in contents if path.exists()]
    if present and not force:
        show_message(f"aizen-hub: {present[0]} exists already; --force overwrites it")
        return ExitCode.CONFLICT
    for path, text in contents.items():
        path.write_text(text, encoding="utf-8")
        show_message(f"wrote {path}")
    return ExitCode.DONE

"""``aizen-hub init``: the first configuration file."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import click

from aizen_hub.cli.exit_codes import Outcome
from aizen_hub.cli.output import say

HUB_CONFIG = '''\
"""A hub with aizen-hub. Start it with `jupyterhub -f jupyterhub_config.py`."""

from aizen_hub.hub.configure import configure

c = get_config()  # noqa: F821 - given by JupyterHub

# Settings of your own come first, for example the spawner:
# c.JupyterHub.spawner_class = "dockerspawner.DockerSpawner"

configure(c, "aizen.yaml")
'''


def example() -> str:
    """The commented ``aizen.yaml`` that ``init`` writes."""
    return files("aizen_hub.cli").joinpath("example.yaml").read_text(encoding="utf-8")


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=".")
@click.option("--force", is_flag=True, help="Overwrite files that are there.")
def init(folder: Path, force: bool) -> int:
    """Write a commented aizen.yaml and a jupyterhub_config.py into FOLDER (default: here).

    Nothing is overwritten without --force. Afterwards: look through aizen.yaml, then start `jupyterhub`, which starts
    the service; `aizen-hub recover-admin` gives the first admin a way in; `aizen-hub doctor` says what is missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    contents = {folder / "aizen.yaml": example(), folder / "jupyterhub_config.py": HUB_CONFIG}
    present = [path for path in contents if path.exists()]
    if present and not force:
        say(f"aizen-hub: {present[0]} is there already; --force overwrites it")
        return Outcome.CONFLICT
    for path, text in contents.items():
        path.write_text(text, encoding="utf-8")
        say(f"wrote {path}")
    return Outcome.DONE

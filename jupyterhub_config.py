"""A hub with aizen-hub. Start it with `jupyterhub -f jupyterhub_config.py`."""

from aizen_hub.hub.configure import configure

c = get_config()  # noqa: F821 - given by JupyterHub

# Put your own settings first, for example the spawner:
# c.JupyterHub.spawner_class = "dockerspawner.DockerSpawner"

configure(c, "aizen.yaml")

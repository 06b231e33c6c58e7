"""A hub with aizen-hub. Start it with `jupyterhub -f jupyterhub_config.py`."""

import os

from aizen_hub.hub.configure import configure

c = get_config()  # noqa: F821 - given by JupyterHub

# Each user server gets a host of its own below this one, ann.hub.localhost: with one host for all, a page of any user
# could act in the hub and the panel as the user who opens it.
# Browsers find *.localhost on their own machine.
c.JupyterHub.subdomain_host = "http://hub.localhost:8000"
c.JupyterHub.bind_url = "http://127.0.0.1:8000"

# For a trial on this machine: user servers run under the account that starts the hub, with their files in `homes`.
# `insecure_same_uid` in aizen.yaml accepts that. For production choose a spawner that gives each user an account, a
# container or a pod, such as c.JupyterHub.spawner_class = "aizen-docker"
c.JupyterHub.spawner_class = "simple"
c.SimpleLocalProcessSpawner.home_dir_template = os.path.abspath("homes/{username}")
if os.geteuid() == 0:
    c.Spawner.args = ["--allow-root"]

# Put your own settings above this line.
configure(c, "aizen.yaml")

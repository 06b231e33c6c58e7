"""A hub in a container, whose servers are containers beside it."""

import os

from aizen_hub.hub.configure import configure

c = get_config()  # noqa: F821 - given by JupyterHub

c.JupyterHub.subdomain_host = os.environ["HUB_URL"]
c.JupyterHub.bind_url = "http://0.0.0.0:8000"
c.JupyterHub.db_url = "sqlite:////srv/aizen/jupyterhub.sqlite"
# The name of this container in the network of the servers.
c.JupyterHub.hub_ip = "0.0.0.0"
c.JupyterHub.hub_connect_ip = "hub"
c.JupyterHub.cleanup_servers = False

c.JupyterHub.spawner_class = "aizen-docker"
c.AizenDockerSpawner.image = os.environ["SERVER_IMAGE"]
c.AizenDockerSpawner.network_name = os.environ["SERVER_NETWORK"]
c.AizenDockerSpawner.use_internal_ip = True
# The account of the image, which reads the token: `jovyan` in the images of Jupyter.
c.AizenDockerSpawner.server_uid = 1000
c.AizenDockerSpawner.extra_create_kwargs = {"user": "1000:100"}
c.AizenDockerSpawner.volumes = {"aizen-home-{username}": "/home/jovyan"}
c.AizenDockerSpawner.extra_host_config = {
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges"],
    "pids_limit": 512,
}
# For roles without limits. A limit of a role is never exceeded, whatever stands here.
c.AizenDockerSpawner.mem_limit = "4G"
c.AizenDockerSpawner.cpu_limit = 2
c.Spawner.default_url = "/lab"

configure(c, "/srv/config/aizen.yaml")

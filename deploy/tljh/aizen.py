"""The Littlest JupyterHub with aizen-hub: copy this file to /opt/tljh/config/jupyterhub_config.d/aizen.py."""

from aizen_hub.hub.configure import configure

c = get_config()  # noqa: F821 - given by JupyterHub

# In the place of the authenticator that `tljh-config` chose; its settings under `auth` have no effect.
c.JupyterHub.authenticator_class = "aizen"
c.JupyterHub.subdomain_host = "https://hub.example.org"

# One unit of systemd for each user: a second server of the same user would end the first.
c.JupyterHub.allow_named_servers = False
# Accounts of one machine: sockets in a user's own folder instead of ports that every account can reach.
c.Spawner.args = ["--KernelManager.transport=ipc"]
c.SystemdSpawner.isolate_tmp = True
c.SystemdSpawner.isolate_devices = True
# Also for kernels that the user starts in a terminal: no core files with tokens, and only their own processes in /proc.
c.SystemdSpawner.unit_extra_properties = {"LimitCORE": "0", "ProtectProc": "invisible"}

configure(c, "/opt/tljh/config/aizen.yaml")

"""A hub whose servers are jobs of Slurm; it runs where `sbatch` works, under an account that may use sudo for that."""

from aizen_hub.hub.configure import configure

c = get_config()  # noqa: F821 - given by JupyterHub

c.JupyterHub.subdomain_host = "https://hub.example.org"
c.JupyterHub.bind_url = "http://127.0.0.1:8000"
# The hub's API, as the compute nodes reach it.
c.JupyterHub.hub_ip = "head.example.org"
# Jobs go on while the hub restarts.
c.JupyterHub.cleanup_servers = False

c.JupyterHub.spawner_class = "aizen-slurm"
# JupyterLab, batchspawner and aizen-hub, on all nodes.
c.AizenSlurmSpawner.batchspawner_singleuser_cmd = "/opt/jupyter/bin/batchspawner-singleuser"
c.Spawner.cmd = ["/opt/jupyter/bin/jupyterhub-singleuser"]
c.AizenSlurmSpawner.req_prologue = "export PATH=/opt/jupyter/bin:$PATH"
# For roles without limits. A limit of a role is never exceeded, whatever stands here.
c.AizenSlurmSpawner.req_memory = "8G"
c.AizenSlurmSpawner.req_nprocs = "2"
# What the servers of a project request, and so who pays for them. Projects that are not here start no servers.
c.AizenSlurmSpawner.projects = {
    "churn": {"account": "marketing", "partition": "gpu", "qos": "high", "runtime": "12:00:00"},
    "*": {"account": "aizen-{project}", "partition": "main", "runtime": "8:00:00"},
    # Servers without a project, for account commands.
    "": {"account": "general", "partition": "short", "runtime": "1:00:00", "memory": "1G", "nprocs": "1"},
}
c.Spawner.start_timeout = 600
c.Spawner.default_url = "/lab"

configure(c, "aizen.yaml")

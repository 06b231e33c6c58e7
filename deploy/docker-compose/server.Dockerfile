# The image of user servers: one of Jupyter's with the commands of aizen-hub, in the hub's version of JupyterHub.
FROM quay.io/jupyter/minimal-notebook:2026-11-02
ARG AIZEN_HUB=aizen-hub
RUN pip install --no-cache-dir "$AIZEN_HUB" "jupyterhub==6.1.*"

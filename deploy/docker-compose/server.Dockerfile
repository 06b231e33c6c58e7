# The image of user servers: one of Jupyter's with the commands of aizen-hub, in the hub's version of JupyterHub.
# Pin it by its digest.
ARG BASE=quay.io/jupyter/minimal-notebook:python-3.13
FROM ${BASE}
ARG AIZEN_HUB=aizen-hub
RUN pip install --no-cache-dir "$AIZEN_HUB" "jupyterhub==6.1.*"

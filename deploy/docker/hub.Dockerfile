# The hub: JupyterHub with aizen-hub, the spawners for Kubernetes and Docker, and the proxy. From the root of the repository,
# after `make wheel`: docker build --file deploy/docker/hub.Dockerfile --tag registry.example.org/aizen-hub-jupyterhub:0.1.0 .
ARG BASE=python:3.13.9-slim-trixie

FROM ${BASE} AS build
COPY requirements/images/hub.txt requirements/node.txt /build/
RUN python3 -m venv /opt/aizen && \
    /opt/aizen/bin/pip install --no-cache-dir --require-hashes --only-binary :all: --requirement /build/hub.txt && \
    /opt/aizen/bin/pip install --no-cache-dir --require-hashes --only-binary :all: --requirement /build/node.txt
# The proxy of Node: that of PyPI takes an empty `--api-ip=`, which the Zero-to-JupyterHub chart sets, as loopback.
COPY deploy/docker/proxy/package.json deploy/docker/proxy/package-lock.json /opt/proxy/
RUN cd /opt/proxy && PATH=/opt/aizen/bin:$PATH npm ci --omit=dev --ignore-scripts --no-audit --no-fund
COPY dist/aizen_hub-0.1.0-py3-none-any.whl /build/
RUN /opt/aizen/bin/pip install --no-cache-dir --no-deps --no-index /build/aizen_hub-0.1.0-py3-none-any.whl && \
    /opt/aizen/bin/pip check

FROM ${BASE}
LABEL org.opencontainers.image.title="aizen-hub-jupyterhub" \
      org.opencontainers.image.description="JupyterHub with the authenticator and the spawners of aizen-hub, and its proxy" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="BSD-3-Clause"
COPY --from=build /opt/aizen /opt/aizen
COPY --from=build /opt/proxy /opt/proxy
# The account and the folder that the chart expects in the image of its hub.
RUN groupadd --gid 1000 hub && \
    useradd --uid 1000 --gid 1000 --home-dir /srv/jupyterhub --no-create-home --shell /usr/sbin/nologin hub && \
    install --directory --owner 1000 --group 1000 --mode 0700 /srv/jupyterhub
ENV PATH=/opt/aizen/bin:/opt/proxy/node_modules/.bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 1000:1000
WORKDIR /srv/jupyterhub
EXPOSE 8000 8081
# Kubernetes has the probes of the chart.
HEALTHCHECK --interval=10s --timeout=5s --start-period=120s \
    CMD ["python3", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8081/hub/health', timeout=4)"]
CMD ["jupyterhub", "--config", "/usr/local/etc/jupyterhub/jupyterhub_config.py"]

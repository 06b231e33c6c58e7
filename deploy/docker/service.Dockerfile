# The service, and the commands of its operator. From the root of the repository, after `make wheel`:
# docker build --file deploy/docker/service.Dockerfile --tag registry.example.org/aizen-hub:0.1.0 .
ARG BASE=python:3.13.9-slim-trixie

FROM ${BASE} AS build
COPY requirements/images/service.txt /build/
RUN python3 -m venv /opt/aizen && \
    /opt/aizen/bin/pip install --no-cache-dir --require-hashes --only-binary :all: --requirement /build/service.txt
COPY dist/aizen_hub-0.1.0-py3-none-any.whl /build/
RUN /opt/aizen/bin/pip install --no-cache-dir --no-deps --no-index /build/aizen_hub-0.1.0-py3-none-any.whl && \
    /opt/aizen/bin/pip check

FROM ${BASE}
LABEL org.opencontainers.image.title="aizen-hub" \
      org.opencontainers.image.description="The service of aizen-hub: decisions, sessions, panel and audit" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="BSD-3-Clause"
COPY --from=build /opt/aizen /opt/aizen
# As in deploy/kubernetes/service. What the service writes are volumes there.
RUN groupadd --gid 10001 aizen && \
    useradd --uid 10001 --gid 10001 --home-dir /var/lib/aizen --no-create-home --shell /usr/sbin/nologin aizen && \
    install --directory --owner 10001 --group 10001 --mode 0700 /var/lib/aizen /var/lib/aizen-checkpoints
ENV PATH=/opt/aizen/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 10001:10001
WORKDIR /var/lib/aizen
EXPOSE 9095 9096
# Kubernetes has its own probes, see the manifests.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s \
    CMD ["python3", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:9095/livez', timeout=4)"]
CMD ["aizen-hub", "serve", "--config", "/etc/aizen/aizen.yaml"]

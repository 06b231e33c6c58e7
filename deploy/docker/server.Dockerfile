# User servers: JupyterLab and Notebook with the commands and the extension of aizen-hub. From the root of the repository, after
# `make wheel`: docker build --file deploy/docker/server.Dockerfile --tag registry.example.org/aizen-hub-server:0.1.0 .
ARG BASE=python:3.13.9-slim-trixie

FROM ${BASE} AS build
COPY requirements/images/server.txt /build/
RUN python3 -m venv /opt/aizen && \
    /opt/aizen/bin/pip install --no-cache-dir --require-hashes --only-binary :all: --requirement /build/server.txt
COPY dist/aizen_hub-0.1.0-py3-none-any.whl /build/
RUN /opt/aizen/bin/pip install --no-cache-dir --no-deps --no-index /build/aizen_hub-0.1.0-py3-none-any.whl && \
    /opt/aizen/bin/pip check

FROM ${BASE}
LABEL org.opencontainers.image.title="aizen-hub-server" \
      org.opencontainers.image.description="A user server with the commands and the JupyterLab extension of aizen-hub" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="BSD-3-Clause"
# Reaps the processes that kernels leave.
RUN apt-get update && apt-get install --yes --no-install-recommends tini && rm -rf /var/lib/apt/lists/*
COPY --from=build /opt/aizen /opt/aizen
# The account and the home of Jupyter's images, which spawners expect.
RUN useradd --uid 1000 --gid 100 --home-dir /home/jovyan --no-create-home --shell /bin/bash jovyan && \
    install --directory --owner 1000 --group 100 --mode 0700 /home/jovyan
ENV PATH=/opt/aizen/bin:$PATH \
    HOME=/home/jovyan \
    LANG=C.UTF-8 \
    PYTHONDONTWRITEBYTECODE=1
USER 1000:100
WORKDIR /home/jovyan
EXPOSE 8888
ENTRYPOINT ["tini", "--"]
CMD ["jupyterhub-singleuser"]

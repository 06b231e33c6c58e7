"""What the class of KubeSpawner needs to be created."""

from __future__ import annotations

from tests.hub.spawn.conftest import kube_config as kube_config

"""The cluster of ``KUBECONFIG``, if one is given; `test_kubernetes_kubelet` runs the same on a cluster of its own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.engines.given_cluster_hub import check_given_cluster, given_cluster_hub
from tests.engines.slurm_hub import open_folder
from tests.fixtures.engines.given_cluster import ADDRESS, IMAGE, KUBECONFIG, missing_requirements


@pytest.mark.needs("given-cluster")
@pytest.mark.slow
@pytest.mark.proves("T-10", "R35", "R48", "R139", "R140")
def test_a_server_in_a_given_cluster() -> None:
    with (
        open_folder() as folder,
        given_cluster_hub(folder, Path(os.environ[KUBECONFIG]), os.environ[IMAGE], os.environ[ADDRESS]) as given,
    ):
        check_given_cluster(given)


def test_what_is_missing_is_named() -> None:
    assert missing_requirements({KUBECONFIG: "x", IMAGE: "y", ADDRESS: "z"}) is None
    reason = missing_requirements({KUBECONFIG: "x"})
    assert reason is not None
    assert IMAGE in reason
    assert ADDRESS in reason
    assert KUBECONFIG not in reason

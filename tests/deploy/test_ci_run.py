"""What ``.ci/run`` requires on a machine, with programs in place of those that it calls."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(
    folder: Path,
    *,
    docker: str = "exit 0",
    cluster: str = "exit 0",
    kubelet: str = "exit 0",
    mount: str = "exit 0",
    **environ: str,
) -> tuple[int, str, str]:
    """Run the script; return its status, the tiers that it requires, and what it says."""
    scripts = {
        ".ci/run": (ROOT / ".ci" / "run").read_text(encoding="utf-8"),
        ".ci/system-packages": "#!/bin/sh\n",
        ".ci/cluster": f"#!/bin/sh\n{cluster}\n",
        "bin/id": "#!/bin/sh\necho 0\n",
        "bin/unshare": f"#!/bin/sh\n{mount}\n",
        "bin/uv": "#!/bin/sh\n",
        "bin/make": '#!/bin/sh\n[ "$1" != test ] || echo "required=$AIZEN_REQUIRE"\n',
        "venv/bin/python": f"#!/bin/sh\ncase $2 in\n*.docker_daemon) {docker} ;;\n*.kubelet) {kubelet} ;;\nesac\n",
    }
    for name, text in scripts.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        path.chmod(0o755)
    done = subprocess.run(
        ["sh", "-c", "umask 022; exec .ci/run"],
        cwd=folder,
        env={"PATH": f"{folder / 'bin'}:/usr/bin:/bin", "VENV": "venv", **environ},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    said, _, required = done.stdout.partition("required=")
    return done.returncode, required.strip(), said + done.stderr


def test_every_engine_that_runs_here_is_required(tmp_path: Path) -> None:
    status, required, said = run(tmp_path)
    assert (status, said) == (0, "")
    assert required.endswith(",accounts,slurm,docker,kubernetes,kubelet")


def test_a_cluster_is_required_where_it_is_given_with_an_image(tmp_path: Path) -> None:
    _, required, _ = run(tmp_path, KUBECONFIG="config", AIZEN_TEST_IMAGE="server:1")
    assert required.endswith(",kubelet,given-cluster")
    _, required, _ = run(tmp_path, KUBECONFIG="config")
    assert required.endswith(",kubelet")


@pytest.mark.parametrize(
    ("programs", "tiers", "reason"),
    [
        ({"docker": "echo no container here; exit 1"}, {"docker"}, "the tier docker: no container here"),
        (
            {"cluster": "echo building >&2; echo the modules are missing >&2; exit 3"},
            {"kubernetes", "kubelet"},
            "the tiers kubernetes, kubelet: the modules are missing",
        ),
        ({"kubelet": "echo no node here; exit 1"}, {"kubelet"}, "the tier kubelet: no node here"),
    ],
)
def test_an_engine_that_cannot_run_here_is_not_required_and_the_reason_is_said(
    tmp_path: Path, programs: dict[str, str], tiers: set[str], reason: str
) -> None:
    status, required, said = run(tmp_path, **programs)
    assert (status, said) == (0, f"NOT REQUIRED: {reason}\n")
    assert {"docker", "kubernetes", "kubelet"} - set(required.split(",")) == tiers


def test_a_defect_of_the_program_or_of_the_probe_fails_the_run(tmp_path: Path) -> None:
    status, required, said = run(tmp_path, cluster="echo main.go: undefined: x >&2; exit 1")
    assert (status, required) == (1, "")
    assert "undefined: x" in said
    for probe in ("docker", "kubelet"):
        status, required, said = run(tmp_path, **{probe: "echo Traceback >&2; exit 1"})
        assert (status, required) == (1, "")
        assert "Traceback" in said


def test_without_the_right_to_mount_no_engine_is_required(tmp_path: Path) -> None:
    status, required, said = run(tmp_path, mount="exit 1")
    assert status == 0
    assert not {"accounts", "slurm", "docker", "kubernetes", "kubelet"} & set(required.split(","))
    assert "NOT REQUIRED: the tiers accounts, slurm, docker, kubernetes, kubelet" in said

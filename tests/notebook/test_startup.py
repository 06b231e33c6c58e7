"""The startup file in a real kernel, installed where the wheel puts it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.manager import KernelManager

from tests.notebook.service_double import ServiceDouble, respond_with, stream_events

ROOT = Path(__file__).parents[2]
STARTUP = "aizen_hub/notebook/startup.py"
TABLE = {"kind": "table", "message": "", "columns": ["name"], "rows": [["churn"]], "data": {}}


def installed_at() -> str:
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    return str(build["shared-data"][STARTUP])


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A separate environment, so that the startup file does not affect other kernels."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True, timeout=60)
    packages = next(folder.glob("lib/python*/site-packages"))
    (packages / "others.pth").write_text(f"{sysconfig.get_path('purelib')}\n{ROOT}\n")
    target = folder / installed_at()
    target.parent.mkdir(parents=True)
    shutil.copy(ROOT / STARTUP, target)
    return str(folder / "bin/python")


@contextmanager
def kernel(python: str, folder: Path, **environ: str) -> Iterator[Any]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AIZEN_", "JUPYTERHUB_"))}
    manager = KernelManager()
    manager.kernel_spec.argv = [python, "-m", "ipykernel_launcher", "-f", "{connection_file}"]  # type: ignore[union-attr]
    manager.start_kernel(env={**environment, "IPYTHONDIR": str(folder / "ipython"), **environ}, cwd=str(folder))
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=60)
        yield client
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
        manager.cleanup_resources()


def execute(client: Any, code: str) -> tuple[str, list[dict[str, Any]], list[str]]:
    """Run a cell and return its status, the displayed data, and the message types."""
    outputs: list[dict[str, Any]] = []
    kinds: list[str] = []

    def collect(message: dict[str, Any]) -> None:
        kinds.append(message["msg_type"])
        content = message["content"]
        if "data" in content:
            outputs.append(content["data"])
        elif message["msg_type"] == "stream":
            outputs.append({"text/plain": content["text"]})

    reply = client.execute_interactive(code, timeout=60, output_hook=collect)
    return str(reply["content"]["status"]), outputs, kinds


def test_commands_work_in_the_first_cell(python: str, tmp_path: Path, double: ServiceDouble) -> None:
    double.scripts["list projects"] = respond_with(TABLE)
    progress = [{"event": "progress", "fraction": part / 4, "message": f"epoch {part}"} for part in range(5)]
    paced_events: list[Any] = [item for event in progress for item in (event, 0.25)]
    double.scripts["start training churn"] = stream_events(
        *paced_events, {"event": "end", "state": "done", "result": TABLE}
    )
    with kernel(python, tmp_path, **double.environment()) as client:
        status, outputs, _ = execute(client, "list projects")
        assert status == "ok"
        assert "churn" in outputs[-1]["text/plain"]
        assert outputs[-1]["application/vnd.aizen.result+json"]["rows"] == [["churn"]]
        status, outputs, kinds = execute(client, "start training churn")
        assert status == "ok"
        assert kinds.count("display_data") == 1
        assert kinds.count("update_display_data") >= 2
        status, outputs, _ = execute(client, "sorted(n for n in globals() if 'aizen' in n.lower())")
        assert outputs[-1]["text/plain"] == "[]", "nothing remains in the user's name space"


def test_the_catalog_is_fetched_before_the_first_cell(python: str, tmp_path: Path, double: ServiceDouble) -> None:
    with kernel(python, tmp_path, **double.environment()) as client:
        for _ in range(1200):
            if double.catalog_requests:
                break
            time.sleep(0.05)
        for _ in range(300):
            offered = client.complete("start tr", reply=True, timeout=60)["content"]["matches"]
            if offered == ["training"]:
                break
            time.sleep(0.1)
        assert offered == ["training"], "before any cell ran"
        status, outputs, _ = execute(client, "x = 1\nlist projects")
        assert status == "error"
        assert "%aizen list projects" in outputs[-1]["text/plain"]
        double.answers["command"] = {"usage": "start training [<name>]", "description": "", "allowed": True}
        _, outputs, _ = execute(client, "start training?")
        assert "start training" in outputs[-1]["text/plain"]
        assert double.catalog_requests <= 2
        assert double.commands == []


def test_without_an_address_nothing_is_loaded_or_printed(python: str, tmp_path: Path) -> None:
    with kernel(python, tmp_path) as client:
        _, outputs, _ = execute(
            client, "print(get_ipython().find_line_magic('aizen'), 'aizen_hub' in __import__('sys').modules)"
        )
        assert outputs[-1]["text/plain"].strip() == "None False"


def test_a_failure_to_load_is_one_line_and_breaks_nothing(python: str, tmp_path: Path) -> None:
    broken = tmp_path / "broken/aizen_hub/notebook"
    broken.mkdir(parents=True)
    (broken.parent / "__init__.py").write_text("")
    (broken / "__init__.py").write_text("raise RuntimeError('two\\nlines')")
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from IPython.core.interactiveshell import InteractiveShell; "
        "shell = InteractiveShell.instance(); shell.safe_execfile(sys.argv[2], shell.user_ns, raise_exceptions=True); "
        "print(shell.run_cell('1 + 1').result)"
    )
    environ = {**os.environ, "AIZEN_URL": "http://127.0.0.1:1", "IPYTHONDIR": str(tmp_path / "ipython")}
    done = subprocess.run(
        [python, "-c", code, str(tmp_path / "broken"), str(ROOT / STARTUP)],
        env=environ, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    first, *rest = done.stdout.splitlines()
    assert first == "aizen: the commands could not be loaded (RuntimeError: two lines)"
    assert "2" in "".join(rest)
    assert "Traceback" not in done.stdout + done.stderr


def test_the_extension_needs_no_other_dependency(python: str, tmp_path: Path) -> None:
    """User images have IPython and this package, but not its database, web or token libraries."""
    code = (
        "import sys\n"
        "for name in ('sqlalchemy', 'tornado', 'jwt', 'pydantic', 'yaml', 'cryptography', 'jupyterhub', 'requests'):\n"
        "    sys.modules[name] = None\n"
        "import aizen_hub.notebook, aizen_hub.notebook.extension\n"
        "print(sorted(name for name in sys.modules if name.startswith('aizen_hub.') and 'notebook' not in name))\n"
    )
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"

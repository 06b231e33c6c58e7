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

from tests.notebook.service_double import Double, answers, streams

ROOT = Path(__file__).parents[2]
STARTUP = "aizen_hub/notebook/startup.py"
TABLE = {"kind": "table", "message": "", "columns": ["name"], "rows": [["churn"]], "data": {}}


def installed_at() -> str:
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    return str(build["shared-data"][STARTUP])


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An environment of its own, so that our startup file is in no other kernel's way."""
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
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AIZEN_", "JUPYTERHUB_"))}
    manager = KernelManager()
    manager.kernel_spec.argv = [python, "-m", "ipykernel_launcher", "-f", "{connection_file}"]  # type: ignore[union-attr]
    manager.start_kernel(env={**kept, "IPYTHONDIR": str(folder / "ipython"), **environ}, cwd=str(folder))
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
    """Run a cell; returns its status, the displayed data, and the message types."""
    shown: list[dict[str, Any]] = []
    kinds: list[str] = []

    def collect(message: dict[str, Any]) -> None:
        kinds.append(message["msg_type"])
        content = message["content"]
        if "data" in content:
            shown.append(content["data"])
        elif message["msg_type"] == "stream":
            shown.append({"text/plain": content["text"]})

    reply = client.execute_interactive(code, timeout=60, output_hook=collect)
    return str(reply["content"]["status"]), shown, kinds


def test_commands_work_in_the_first_cell(python: str, tmp_path: Path, double: Double) -> None:
    double.scripts["list projects"] = answers(TABLE)
    progress = [{"event": "progress", "fraction": part / 4, "message": f"epoch {part}"} for part in range(5)]
    paced: list[Any] = [one for event in progress for one in (event, 0.25)]
    double.scripts["start training churn"] = streams(*paced, {"event": "end", "state": "done", "result": TABLE})
    with kernel(python, tmp_path, **double.environment()) as client:
        status, shown, _ = execute(client, "list projects")
        assert status == "ok"
        assert "churn" in shown[-1]["text/plain"]
        assert shown[-1]["application/vnd.aizen.result+json"]["rows"] == [["churn"]]
        status, shown, kinds = execute(client, "start training churn")
        assert status == "ok"
        assert kinds.count("display_data") == 1
        assert kinds.count("update_display_data") >= 2
        status, shown, _ = execute(client, "sorted(n for n in globals() if 'aizen' in n.lower())")
        assert shown[-1]["text/plain"] == "[]", "nothing is left in the user's name space"


def test_the_catalog_is_there_before_the_first_cell(python: str, tmp_path: Path, double: Double) -> None:
    with kernel(python, tmp_path, **double.environment()) as client:
        for _ in range(200):
            if double.catalog_asked:
                break
            time.sleep(0.05)
        for _ in range(50):
            offered = client.complete("start tr", reply=True, timeout=60)["content"]["matches"]
            if offered == ["training"]:
                break
            time.sleep(0.1)
        assert offered == ["training"], "as the kernel's first word, before any cell ran"
        status, shown, _ = execute(client, "x = 1\nlist projects")
        assert status == "error"
        assert "%aizen list projects" in shown[-1]["text/plain"]
        _, shown, _ = execute(client, "start training?")
        assert "start training" in shown[-1]["text/plain"]
        assert double.catalog_asked <= 2
        assert double.commands == []


def test_without_an_address_nothing_is_loaded_and_nothing_said(python: str, tmp_path: Path) -> None:
    with kernel(python, tmp_path) as client:
        _, shown, _ = execute(
            client, "print(get_ipython().find_line_magic('aizen'), 'aizen_hub' in __import__('sys').modules)"
        )
        assert shown[-1]["text/plain"].strip() == "None False"


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


def test_it_runs_where_nothing_else_of_ours_can(python: str, tmp_path: Path) -> None:
    """A user's image has IPython and our package; not our database, web or token libraries."""
    code = (
        "import sys\n"
        "for name in ('sqlalchemy', 'tornado', 'jwt', 'pydantic', 'yaml', 'cryptography', 'jupyterhub', 'requests'):\n"
        "    sys.modules[name] = None\n"
        "import aizen_hub.notebook, aizen_hub.notebook.extension\n"
        "print(sorted(name for name in sys.modules if name.startswith('aizen_hub.') and 'notebook' not in name))\n"
    )
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"

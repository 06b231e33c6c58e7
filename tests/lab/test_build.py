"""The built extension of JupyterLab, which is committed so that installing it needs no Node."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

LAB = Path(__file__).parents[2] / "lab"
SOURCES = ("build.mjs", "package-lock.json", "package.json", "src", "style", "tsconfig.json", "webpack.config.cjs")


def source_files(folder: Path) -> list[Path]:
    files = [file for name in SOURCES for file in ([folder / name] if "." in name else (folder / name).rglob("*"))]
    return [file for file in files if file.is_file()]


def source_hash(folder: Path) -> str:
    """Return what `build.mjs` writes into ``source_hash``."""
    names = sorted(file.relative_to(folder).as_posix() for file in source_files(folder))
    hashes = [f"{name}\0{hashlib.sha256((folder / name).read_bytes()).hexdigest()}\n" for name in names]
    return hashlib.sha256("".join(hashes).encode()).hexdigest()


def link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_the_committed_build_is_of_the_present_sources() -> None:
    assert (LAB / "source_hash").read_text().strip() == source_hash(LAB), "`npm ci && npm run build` in lab/"


def test_a_change_of_a_source_changes_the_hash(tmp_path: Path) -> None:
    for file in source_files(LAB):
        target = tmp_path / file.relative_to(LAB)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, target)
    assert source_hash(tmp_path) == source_hash(LAB)
    (tmp_path / "src" / "session.ts").write_text("// changed\n")
    assert source_hash(tmp_path) != source_hash(LAB)


def test_the_build_loads_a_file_that_is_there() -> None:
    build = json.loads((LAB / "labextension" / "package.json").read_text())["jupyterlab"]["_build"]
    assert (LAB / "labextension" / build["load"]).is_file()


@pytest.mark.needs("lab-build")
def test_the_modules_that_need_no_page_pass_their_own_tests(tmp_path: Path) -> None:
    compiler = ["node", "node_modules/typescript/bin/tsc", "-p", "tsconfig.test.json", "--outDir", str(tmp_path)]
    subprocess.run(compiler, cwd=LAB, check=True, capture_output=True, timeout=300)
    files = sorted(str(file) for file in (LAB / "tests").glob("*.test.mjs"))
    environ = os.environ | {"AIZEN_LAB_COMPILED": str(tmp_path)}
    done = subprocess.run(
        ["node", "--test", *files], cwd=LAB, env=environ, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout
    written = sum(Path(file).read_text().count("\ntest(") for file in files)
    assert f"# pass {written}\n" in done.stdout


@pytest.mark.slow
@pytest.mark.needs("lab-build")
def test_a_build_from_the_locked_packages_is_the_committed_one(tmp_path: Path) -> None:
    for file in source_files(LAB):
        target = tmp_path / file.relative_to(LAB)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, target)
    # Not as a symbolic link: the names of the built files depend on where modules lie.
    shutil.copytree(LAB / "node_modules", tmp_path / "node_modules", symlinks=True, copy_function=link_or_copy)
    subprocess.run(["node", "build.mjs"], cwd=tmp_path, check=True, capture_output=True, timeout=300)
    assert contents(tmp_path / "labextension") == contents(LAB / "labextension")
    assert (tmp_path / "source_hash").read_text() == (LAB / "source_hash").read_text()


@pytest.mark.slow
def test_the_wheel_brings_both_parts(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=LAB.parent, check=True, capture_output=True, timeout=300)
    [wheel] = tmp_path.glob("*.whl")
    names = {name.partition(".data/data/")[2]: name for name in ZipFile(wheel).namelist()}
    installed = "share/jupyter/labextensions/aizen-lab/"
    built = {f"{installed}{name}" for name in contents(LAB / "labextension")}
    assert built <= set(names)
    assert f"{installed}install.json" in names
    enabled = json.loads(ZipFile(wheel).read(names["etc/jupyter/jupyter_server_config.d/aizen-lab.json"]))
    assert enabled == {"ServerApp": {"jpserver_extensions": {"aizen_hub.lab": True}}}
    assert not any("node_modules" in name or "lab/src" in name for name in names.values())

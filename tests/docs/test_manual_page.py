"""The manual page is in the wheel, at the place where `man` looks beside the program."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = "share/man/man1/aizen-hub.1"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page as the wheel installs it."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=300)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (member,) = (name for name in archive.namelist() if name.endswith(f".data/data/{PAGE}"))
        return Path(archive.extract(member, folder))


@pytest.mark.slow
def test_the_wheel_installs_the_page_of_the_reference(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert text == (ROOT / "docs/reference/aizen-hub.1").read_text(encoding="utf-8")
    assert ".TH AIZEN-HUB 1" in text


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("man") is None, reason="there is no man here")
def test_man_renders_it_without_a_complaint(page: Path) -> None:
    command = ["man", "--warnings", "-E", "UTF-8", "-l", str(page)]
    environment = {"PATH": os.environ["PATH"], "HOME": str(page.parent), "LC_ALL": "C.UTF-8", "MANWIDTH": "80"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=True)
    if "minimized" in done.stdout:
        pytest.skip("the man of this machine renders nothing")
    assert not done.stderr, done.stderr
    assert "aizen-hub whoami" in done.stdout

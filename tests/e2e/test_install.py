"""The installation as README.md describes it: a fresh environment, the wheel, `init`, `doctor`, `jupyterhub`.

The wheel is built from this tree. Tests have no network, so its dependencies are not downloaded: the new environment
sees the packages of the running one, and gets the programs of those that the wheel requires. With
``AIZEN_TEST_DOWNLOADS=1`` pip downloads them instead, as a user's would.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from packaging.requirements import Requirement

from tests.fixtures.hub import FOREIGN_PREFIXES, HubHandle, start_process, wait_until_running
from tests.fixtures.network.ports import free_ports

if TYPE_CHECKING:
    from tests.fixtures.browser.pages import BrowserUser

pytestmark = [pytest.mark.needs("browser"), pytest.mark.slow]

ROOT = Path(__file__).parents[2]
DOWNLOADS = os.environ.get("AIZEN_TEST_DOWNLOADS") == "1"
PASSWORD = "four unrelated words of mine"
RUN_CELL = """async (code) => {
  const base = "/user/admin/api/kernels";
  const xsrf = decodeURIComponent(document.cookie.match(/(?:^|; )_xsrf=([^;]+)/)[1]);
  const started = await fetch(base, {
    method: "POST", headers: {"X-XSRFToken": xsrf}, signal: AbortSignal.timeout(60000),
  });
  const {id} = await started.json();
  if (!id) return `no kernel: ${started.status} at ${location.href}`;
  const socket = new WebSocket(`ws://${location.host}${base}/${id}/channels`);
  const opened = await new Promise((resolve) => {
    socket.onopen = () => resolve(true);
    socket.onclose = (event) => resolve(`closed: ${event.code} ${event.reason}`);
    setTimeout(() => resolve("not opened"), 30000);
  });
  if (opened !== true) return opened;
  const header = {msg_id: "one", msg_type: "execute_request", username: "", session: "s", version: "5.3", date: ""};
  const content = {code, silent: false, store_history: true, user_expressions: {}, allow_stdin: false};
  let text = "";
  return await new Promise((resolve) => {
    setTimeout(() => resolve(`no reply: ${text}`), 40000);
    socket.onmessage = ({data}) => {
      const message = JSON.parse(data);
      if (message.parent_header?.msg_id !== "one") return;
      text += JSON.stringify(message.content);
      if (message.msg_type === "execute_reply") setTimeout(() => resolve(text), 500);
    };
    const message = {header, parent_header: {}, metadata: {}, content, channel: "shell", buffers: []};
    socket.send(JSON.stringify(message));
  });
}"""


@dataclass
class Installation:
    """A folder with the configuration, and the programs of the new environment."""

    folder: Path
    programs: Path
    environ: dict[str, str]

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self.programs / command[0]), *command[1:]],
            cwd=self.folder,
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )


def build_wheel(folder: Path) -> Path:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=120)
    (wheel,) = folder.glob("*.whl")
    return wheel


def link_missing(source: Path, target: Path) -> None:
    """Link what is in one folder into another that may have parts of it, which the wheel installed."""
    if target.is_dir() and source.is_dir():
        for path in source.iterdir():
            link_missing(path, target / path.name)
    elif not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(source)


def use_packages_of_this_environment(environment: Path, required: set[str]) -> None:
    """Let an environment see the packages of this one, with the programs of some of them."""
    python = environment / "bin" / "python"
    (packages,) = (environment / "lib").glob("python3.*/site-packages")
    (packages / "test.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    for name in ("etc", "share"):
        link_missing(Path(sys.prefix) / name / "jupyter", environment / name / "jupyter")
    for name in required:
        for entry in metadata.distribution(name).entry_points.select(group="console_scripts"):
            program = environment / "bin" / entry.name
            program.write_text(
                f"#!{python}\nimport sys\nfrom {entry.module} import {entry.attr}\nsys.exit({entry.attr}())\n"
            )
            program.chmod(0o755)


def requirements_of(wheel: Path, extra: str) -> list[Requirement]:
    """Return what pip installs with a wheel and one of its extras."""
    (file,) = (each for each in metadata.Distribution.discover(path=[str(wheel)]))
    found = [Requirement(text) for text in file.requires or ()]
    return [each for each in found if each.marker is None or each.marker.evaluate({"extra": extra})]


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    folder = tmp_path_factory.mktemp("i")
    wheel = build_wheel(folder / "dist")
    environment = folder / "venv"
    venv.create(environment, with_pip=True)
    pip = [str(environment / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check"]
    if DOWNLOADS:
        subprocess.run([*pip, f"{wheel}[hub]"], check=True, timeout=900)
    else:
        required = requirements_of(wheel, "hub")
        assert {each.name for each in required} > {"jupyterhub", "jupyterlab", "configurable-http-proxy"}
        for each in required:
            assert each.specifier.contains(metadata.version(each.name)), f"{each} is not what is tested here"
        subprocess.run([*pip, "--no-deps", "--no-index", str(wheel)], check=True, timeout=120)
        use_packages_of_this_environment(environment, {each.name for each in required})
    environ = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN_PREFIXES)}
    # The environment is not activated.
    environ |= {"PATH": os.defpath, "PYTHONWARNINGS": "ignore", "HOME": str(folder)}
    (folder / "hub").mkdir()
    return Installation(folder / "hub", environment / "bin", environ)


@pytest.fixture(scope="module")
def hub(installation: Installation) -> Iterator[HubHandle]:
    """The hub of a first installation, started after `init` and `doctor`; only its ports are not the usual ones."""
    public, hub_port, proxy, service = free_ports(4)
    url = f"http://hub.localhost:{public}"
    installation.environ["AIZEN_SERVICE__PORT"] = str(service)
    done = installation.run("aizen-hub", "init", "--hub-url", url)
    assert done.returncode == 0, done.stderr
    checked = installation.run("aizen-hub", "doctor")
    assert checked.returncode == 0, checked.stdout
    command = [
        str(installation.programs / "jupyterhub"),
        f"--JupyterHub.hub_port={hub_port}",
        f"--ConfigurableHTTPProxy.api_url=http://127.0.0.1:{proxy}",
    ]
    process = start_process(command, installation.folder, installation.environ)
    handle = HubHandle(
        f"http://127.0.0.1:{public}",
        f"http://127.0.0.1:{service}",
        installation.folder,
        {},
        process,
        installation.environ,
    )
    try:
        wait_until_running(handle)
        handle.url = url
        yield handle
    finally:
        handle.stop()


def levels(installation: Installation, *arguments: str) -> tuple[int, dict[str, str]]:
    """Return the exit code of the doctor, and the level of each of its messages."""
    done = installation.run("aizen-hub", "doctor", "-o", "json", *arguments)
    return done.returncode, {finding["message"]: finding["level"] for finding in json.loads(done.stdout)}


def test_the_doctor_accepts_a_first_installation_but_not_for_production(
    hub: HubHandle, installation: Installation
) -> None:
    status, found = levels(installation)
    assert (status, "fail" in found.values()) == (0, False), found
    assert found[f"the service at {hub.service_url} is ready"] == "ok"
    text = " ".join(message for message, level in found.items() if level == "ok")
    assert "the proxy is" in text
    assert "the single-user server is" in text
    status, found = levels(installation, "--production")
    assert status == 1
    assert "fail" in {level for message, level in found.items() if "under the service's account" in message}


def test_the_first_admin_runs_a_command(
    hub: HubHandle, installation: Installation, person: Callable[[], BrowserUser]
) -> None:
    """From the printed link to the first command in a notebook."""
    link = installation.run("aizen-hub", "recover-admin", "admin").stdout.strip()
    admin = person()
    admin.page.goto(hub.url + link)
    admin.page.fill("#password", PASSWORD)
    admin.page.fill("#repeated", PASSWORD)
    admin.page.click("button[type=submit]")
    admin.page.wait_for_selector("#outcome:has-text('active')")
    admin.page.goto("/hub/login")
    admin.login("admin", PASSWORD)
    admin.page.goto("/hub/spawn")
    assert admin.page.input_value("input[name=project]") == "", "no project, the only choice"
    admin.page.click("input[type=submit], button[type=submit]")
    admin.page.wait_for_url(re.compile(r"http://admin\.hub\.localhost:\d+/user/admin/(lab|tree)"), timeout=60_000)
    # A page without scripts: JupyterLab's own requests can use up the browser's connections to the server.
    admin.page.goto(admin.page.url.partition("/user/")[0] + "/user/admin/static/favicon.ico")
    output: Any = admin.page.evaluate(RUN_CELL, "list users")
    assert "admin" in output, output
    assert "AIZEN_ADMIN" in output or "refusal" not in output, output

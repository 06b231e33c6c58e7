"""A running demo: core, hub with its proxy and the service that the hub starts."""

from __future__ import annotations

import errno
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass

from aizen_hub.demo import config
from aizen_hub.demo.config import Ports
from aizen_hub.demo.processes import Processes, StartFailed
from aizen_hub.demo.seed import seed
from aizen_hub.demo.workspace import DemoFolder
from aizen_hub.settings import Settings
from aizen_hub.store import migrate as schema

START_SECONDS = 60.0
ATTEMPTS = 3
IN_USE = os.strerror(errno.EADDRINUSE)


@dataclass
class Deployment:
    """Everything that runs for one demo.

    Attributes
    ----------
    passwords : dict
        Name to password, where the accounts were made just now; empty for a folder that had them.
    """

    folder: DemoFolder
    ports: Ports
    processes: Processes
    passwords: dict[str, str]

    @classmethod
    def start(cls, folder: DemoFolder, public: int | None, say: Callable[[str], None]) -> Deployment:
        """Write the configuration, make the accounts where there are none, and start everything.

        Raises
        ------
        StartFailed
            Something did not come up; what had been started is stopped.
        """
        passwords: dict[str, str] = {}
        for attempt in range(1, ATTEMPTS + 1):
            # After a collision the preferred port is not tried again.
            ports = Ports.find(public if attempt == 1 else public or 0)
            folder.log.unlink(missing_ok=True)
            folder.log.touch(mode=0o600)
            config.write(folder, ports)
            if not folder.seeded.exists():
                say("making five accounts and a project")
                passwords = seed(Settings.load(folder.config, {}))
                folder.seeded.touch(mode=0o600)
            else:
                # A demo's data outlives `git pull`.
                schema.upgrade(Settings.load(folder.config, {}).database_url)
            deployment = cls(folder, ports, Processes(folder.log), passwords)
            try:
                deployment._start(say)
                return deployment
            except StartFailed:
                deployment.stop()
                # A free port was found and then given up for the process that binds it: another may have been quicker.
                if attempt == ATTEMPTS or IN_USE not in folder.log.read_text(encoding="utf-8", errors="replace"):
                    raise
                say("another process took one of the ports; trying others")
            except BaseException:  # goes on up, Ctrl-C too; no process stays behind
                deployment.stop()
                raise
        raise AssertionError("the loop ends by return or raise")

    def _start(self, say: Callable[[str], None]) -> None:
        environ = config.environment()
        core = config.sample_core()
        if core is not None:
            say("starting the sample core")
            command = [sys.executable, str(core), "--port", str(self.ports.core), "--issuer", self.ports.service_url]
            command += [
                "--data",
                str(self.folder.core / "data"),
                "--credential-file",
                str(self.folder.core / "credential"),
            ]
            self.processes.start("the sample core", command, cwd=self.folder.path, environ=environ)
        else:
            say(
                "the sample core comes with a clone only: commands of the platform will be decided, but not carried out"
            )
        say("starting the hub, its proxy and the service")
        command = [sys.executable, "-m", "jupyterhub", "--config", str(self.folder.hub_config)]
        self.processes.start("the hub", command, cwd=self.folder.path, environ=environ)
        self.processes.wait("the service", lambda: answers(self.ports.service_url + "/readyz"), START_SECONDS)
        self.processes.wait("the hub", lambda: answers(self.ports.url + "/hub/health"), START_SECONDS)

    def stop(self) -> list[str]:
        """End everything; return what had to be killed."""
        return self.processes.stop()


def answers(url: str) -> bool:
    """Whether a GET of this loopback address gives 200."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False

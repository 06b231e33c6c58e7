"""A running demo: the core, the hub with its proxy, and the service that the hub starts."""

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
from aizen_hub.demo.processes import Processes, StartError
from aizen_hub.demo.seed import renew_passwords, seed
from aizen_hub.demo.workspace import Workspace
from aizen_hub.settings import Settings
from aizen_hub.store import migrate

START_SECONDS = 60.0
MAX_ATTEMPTS = 3
ADDRESS_IN_USE = os.strerror(errno.EADDRINUSE)


@dataclass
class Deployment:
    """The processes of one demo.

    Attributes
    ----------
    passwords : dict
        Passwords by name if they were created by this start; empty otherwise.
    """

    folder: Workspace
    ports: Ports
    processes: Processes
    passwords: dict[str, str]

    @classmethod
    def start(
        cls, folder: Workspace, public: int | None, report: Callable[[str], None], *, new_passwords: bool = False
    ) -> Deployment:
        """Write the configuration, create the accounts if necessary, and start all processes.

        Parameters
        ----------
        public : int or None
            The port for browsers.
        report : callable
            Is told what is being done.
        new_passwords : bool
            Give the accounts of an earlier run new passwords.

        Raises
        ------
        StartError
            A process did not start; the others were stopped.
        """
        passwords: dict[str, str] = {}
        for attempt in range(1, MAX_ATTEMPTS + 1):
            # After a collision the preferred port is not used again.
            ports = Ports.find_free(public if attempt == 1 else public or 0)
            if public and ports.public != public:
                report(f"port {public} is not free; the demo uses {ports.public}")
            folder.log.unlink(missing_ok=True)
            folder.log.touch(mode=0o600)
            config.write_config(folder, ports)
            if not folder.seeded_marker.exists():
                report("creating five accounts and a project")
                passwords = seed(Settings.load(folder.config, {}))
                folder.seeded_marker.touch(mode=0o600)
            else:
                # The data may be of an earlier version.
                migrate.upgrade(Settings.load(folder.config, {}).database_url)
                if new_passwords and not passwords:
                    report("creating new passwords")
                    passwords = renew_passwords(Settings.load(folder.config, {}))
            deployment = cls(folder, ports, Processes(folder.log), passwords)
            try:
                deployment._start(report)
                return deployment
            except StartError:
                deployment.stop()
                # Another process may have bound a port between its selection and the start.
                if attempt == MAX_ATTEMPTS or ADDRESS_IN_USE not in folder.log.read_text(
                    encoding="utf-8", errors="replace"
                ):
                    raise
                report("another process took one of the ports; trying others")
            except BaseException:  # re-raised, including Ctrl-C; no process must remain
                deployment.stop()
                raise
        raise AssertionError("the loop ends by return or raise")

    def _start(self, report: Callable[[str], None]) -> None:
        environ = config.environment()
        core = config.sample_core()
        if core is not None:
            report("starting the sample core")
            command = [sys.executable, str(core), "--port", str(self.ports.core), "--issuer", self.ports.service_url]
            command += [
                "--data",
                str(self.folder.core / "data"),
                "--credential-file",
                str(self.folder.core / "credential"),
            ]
            self.processes.start("the sample core", command, cwd=self.folder.path, environ=environ)
        else:
            report("no sample core, which is only in the repository: platform commands are decided but not executed")
        report("starting the hub, its proxy and the service")
        command = [sys.executable, "-m", "jupyterhub", "--config", str(self.folder.hub_config)]
        self.processes.start("the hub", command, cwd=self.folder.path, environ=environ)
        self.processes.wait("the service", lambda: responds(self.ports.service_url + "/readyz"), START_SECONDS)
        self.processes.wait("the hub", lambda: responds(self.ports.url + "/hub/health"), START_SECONDS)

    def stop(self) -> list[str]:
        """Stop all processes and return those that had to be killed."""
        return self.processes.stop()


def responds(url: str) -> bool:
    """Return whether a GET request to this loopback address returns 200."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=2) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False

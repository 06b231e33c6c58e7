"""The units of ``deploy/systemd``: systemd understands them, and they start what exists and forbid what they should."""

from __future__ import annotations

import configparser
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.fixtures.hub import BIN
from tests.test_docs import parse_arguments

FOLDER = Path(__file__).parents[2] / "deploy" / "systemd"
PROGRAMS = "/opt/aizen/bin/"
HUB, SERVICE = "jupyterhub.service", "aizen-hub.service"
SLURM = "slurm.conf"
IMPLY_NO_NEW_PRIVILEGES = (
    "SystemCallFilter", "SystemCallArchitectures", "SystemCallLog", "RestrictAddressFamilies", "RestrictNamespaces",
    "RestrictFileSystems", "PrivateDevices", "ProtectKernelTunables", "ProtectKernelModules", "ProtectKernelLogs",
    "ProtectClock", "ProtectHostname", "MemoryDenyWriteExecute", "RestrictRealtime", "RestrictSUIDSGID", "DynamicUser",
    "LockPersonality",
)  # fmt: skip
IN_BOTH = {
    "UMask": "0077",
    "StateDirectoryMode": "0700",
    "LimitCORE": "0",
    "NoNewPrivileges": "yes",
    "ProtectKernelModules": "yes",
    "ProtectKernelTunables": "yes",
    "ProtectProc": "invisible",
    "RestrictSUIDSGID": "yes",
}
OF_THE_SERVICE = {
    "User": "aizen",
    "CapabilityBoundingSet": "",
    "ProtectSystem": "strict",
    "ProtectHome": "yes",
    "PrivateTmp": "yes",
    "PrivateDevices": "yes",
    "SystemCallFilter": "@system-service",
}
MAX_EXPOSURE = 30
"""Of 100, as ``systemd-analyze security`` counts it; 100 is a unit without any isolation."""


def read_unit(name: str) -> dict[str, dict[str, str]]:
    parser = configparser.ConfigParser(interpolation=None, delimiters=("=",), comment_prefixes=("#",))
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    with (FOLDER / name).open(encoding="utf-8") as file:
        parser.read_file(file)
    return {section: dict(parser[section]) for section in parser.sections()}


@pytest.mark.parametrize("name", [HUB, SERVICE])
def test_a_unit_starts_what_exists_in_its_own_folder(name: str) -> None:
    unit = read_unit(name)
    assert set(unit) == {"Unit", "Service", "Install"}
    service = unit["Service"]
    program, *arguments = shlex.split(service["ExecStart"])
    assert program.startswith(PROGRAMS)
    assert (BIN / program.removeprefix(PROGRAMS)).is_file()
    if program.endswith("/aizen-hub"):
        parse_arguments(arguments)
    else:
        assert arguments == ["-f", "/etc/aizen/jupyterhub_config.py"]
    assert service["WorkingDirectory"] == f"/var/lib/{service['StateDirectory']}"


@pytest.mark.parametrize(("name", "more"), [(HUB, {"ProtectSystem": "full"}), (SERVICE, OF_THE_SERVICE)])
def test_a_unit_isolates(name: str, more: dict[str, str]) -> None:
    service = read_unit(name)["Service"]
    wanted = IN_BOTH | more
    assert {key: service.get(key) for key in wanted} == wanted


def test_the_hub_may_start_servers_of_others_and_no_more() -> None:
    """Without the first two it cannot become a user; the others would undo what the rest of the unit forbids."""
    capabilities = set(read_unit(HUB)["Service"]["CapabilityBoundingSet"].split())
    assert {"CAP_SETUID", "CAP_SETGID", "CAP_KILL"} <= capabilities
    assert not capabilities & {"CAP_SYS_ADMIN", "CAP_SYS_PTRACE", "CAP_SYS_MODULE", "CAP_NET_RAW", "CAP_NET_ADMIN"}


def test_the_hub_of_slurm_can_use_sudo_and_is_not_root() -> None:
    """Each setting of `IMPLY_NO_NEW_PRIVILEGES` implies it in a unit with `User=`, as systemd.exec(5) says."""
    drop_in = read_unit(SLURM)
    assert drop_in.keys() == {"Service"}
    service = read_unit(HUB)["Service"] | drop_in["Service"]
    assert service["User"] == service["Group"] == "hub"
    assert service["NoNewPrivileges"] == "no"
    assert {name for name in IMPLY_NO_NEW_PRIVILEGES if service.get(name, "no") not in ("no", "")} == set()
    kept = ("ProtectSystem", "ProtectProc", "ProtectControlGroups", "LimitCORE", "UMask", "StateDirectoryMode")
    assert [service[name] for name in kept] == ["full", "invisible", "yes", "0", "0077", "0700"]
    guide = (FOLDER.parent / "slurm" / "README.md").read_text(encoding="utf-8")
    assert f"\n{service['User']} ALL=(%jupyter) NOPASSWD" in guide, "the account that the file of sudo names"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze on this machine")
@pytest.mark.parametrize(("more", "complaints"), [("", 0), ("Unknown=yes\n", 1)])
def test_systemd_knows_every_line_of_the_drop_in(tmp_path: Path, more: str, complaints: int) -> None:
    unit = tmp_path / HUB
    unit.write_text((FOLDER / HUB).read_text(encoding="utf-8").replace(PROGRAMS, f"{BIN}/"), encoding="utf-8")
    drop_in = tmp_path / f"{HUB}.d" / SLURM
    drop_in.parent.mkdir()
    drop_in.write_text((FOLDER / SLURM).read_text(encoding="utf-8") + more, encoding="utf-8")
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True, timeout=60, check=False
    )
    assert len([line for line in done.stderr.splitlines() if str(tmp_path) in line]) == complaints, done.stderr


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze on this machine")
@pytest.mark.parametrize("name", [HUB, SERVICE])
def test_systemd_knows_every_line(name: str, tmp_path: Path) -> None:
    unit = tmp_path / name
    unit.write_text((FOLDER / name).read_text(encoding="utf-8").replace(PROGRAMS, f"{BIN}/"), encoding="utf-8")
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True, timeout=60, check=False
    )
    assert [line for line in done.stderr.splitlines() if str(unit) in line or name in line] == []


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze on this machine")
def test_little_of_the_machine_is_open_to_the_service() -> None:
    command = ["systemd-analyze", "security", "--offline=true", f"--threshold={MAX_EXPOSURE}", "--no-pager"]
    done = subprocess.run([*command, str(FOLDER / SERVICE)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout[-600:] + done.stderr

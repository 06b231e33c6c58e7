"""The doctor finds each planted fault, names its place and a remedy, and no longer reports it once that is followed."""

from __future__ import annotations

import logging
import os
import re
import secrets
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from aizen_hub.cli.doctor import data_files, machine, service, shared_host, store
from aizen_hub.cli.exit_codes import ExitCode
from aizen_hub.cli.local_store import open_store
from aizen_hub.service.runtime import clock_check
from aizen_hub.settings import Settings
from tests.cli.doctor.installed import (
    Findings,
    add_checkpoint,
    change_state,
    clear_variables,
    run_doctor,
    write_settings,
)
from tests.cli.doctor.planted_fault import FaultPlanter, describe
from tests.fixtures.databases.checkpoint_database import checkpoint_database
from tests.fixtures.databases.postgres import Server
from tests.fixtures.identity.slapd import running_directory

TABLE = yaml.safe_load(Path(__file__).with_name("planted_faults.yaml").read_text(encoding="utf-8"))
REAL_UID = os.geteuid()
TIERS = {"postgres", "slapd"}
CASES = [
    pytest.param(
        row, id=row["fault"], marks=[pytest.mark.needs(tier) for tier in row.get("needs", ()) if tier in TIERS]
    )
    for row in TABLE
]


def test_the_table_has_the_required_size() -> None:
    assert len(TABLE) >= 70
    assert len({row["fault"] for row in TABLE}) == len(TABLE)


def test_every_finding_is_documented() -> None:
    """`docs/doctor.md` lists the ids, for scripts that wait for one."""
    folder = Path(data_files.__file__).parent
    in_code = {
        name
        for path in folder.glob("*.py")
        for name in re.findall(
            r'CheckResult(?:\.(?:error|warning|passed))?\(\s*"([a-z-]+)"', path.read_text(encoding="utf-8")
        )
    }
    documented = set(re.findall(r"`([a-z-]+)`", (folder.parents[2] / "docs" / "doctor.md").read_text(encoding="utf-8")))
    assert in_code | {row["check"] for row in TABLE} <= documented
    assert len(in_code) > 50


def test_the_installation_itself_has_no_errors(folder: Path) -> None:
    status, findings = run_doctor(folder)
    assert (status, [finding for finding in findings if finding["level"] == "fail"]) == (ExitCode.DONE, [])


@pytest.mark.proves("R1", "R2", "R4", "R7", "T-40")
@pytest.mark.parametrize("row", CASES)
def test_a_planted_fault_is_found(
    row: dict[str, Any], folder: Path, planter: FaultPlanter, clean_report: set[tuple[str, str]]
) -> None:
    """Plant the fault, and compare the report with that of the installation without it."""
    planter.plant(row.get("given", {}))
    before = set(clean_report) if "given" not in row and planter.directory is None else summarize(folder)
    planter.plant(row)
    status, findings = run_doctor(folder)
    new = [each for each in findings if key_of(each, folder) not in before and each["level"] != "ok"]
    matches = find_matches(row, new, planter)
    assert len(matches) == 1, f"not found once:\n{describe(new)}"
    (finding,) = matches
    assert finding["level"] == row["level"]
    assert planter.fill(row["where"]) in finding["where"]
    assert planter.fill(row["remedy"]) in finding["remedy"]
    expected_errors = {*row.get("also", ()), *([row["check"]] if row["level"] == "fail" else [])}
    assert {each["check"] for each in new if each["level"] == "fail"} <= expected_errors, describe(new)
    assert (status == ExitCode.ERROR) == any(each["level"] == "fail" for each in findings)
    assert all(each["where"] and each["remedy"] for each in findings if each["level"] != "ok"), describe(findings)
    if row.get("production"):
        assert [each["level"] for each in find_matches(row, run_doctor(folder, "--production")[1], planter)] == ["fail"]
    if "cure" in row:
        if row["cure"] == "remedy":
            planter.follow(finding["remedy"])
        else:
            planter.plant(row["cure"])
        assert find_matches(row, run_doctor(folder)[1], planter) == [], "the remedy has no effect"


def key_of(finding: dict[str, str], folder: Path) -> tuple[str, str]:
    return finding["check"], finding["message"].replace(str(folder), "")


def summarize(folder: Path) -> set[tuple[str, str]]:
    return {key_of(finding, folder) for finding in run_doctor(folder)[1]}


@pytest.fixture(scope="session")
def clean_report(prepared_folder: Path) -> set[tuple[str, str]]:
    """The report on the installation without a fault."""
    with pytest.MonkeyPatch.context() as patch:
        clear_variables(patch)
        return summarize(prepared_folder)


def find_matches(row: dict[str, Any], findings: Findings, planter: FaultPlanter) -> Findings:
    return [
        finding
        for finding in findings
        if finding["check"] == row["check"]
        and finding["level"] != "ok"
        and planter.fill(row["says"]) in finding["message"]
    ]


# -- what the rows of the table may need -------------------------------------------------------------------------------


def make_certificate(folder: Path, days: int) -> None:
    """Write a certificate that ends after so many days, and its key."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "hub")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=300))
        .not_valid_after(now + timedelta(days=days))
        .sign(key, hashes.SHA256())
    )
    (folder / "hub.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "hub.key").write_bytes(private)
    (folder / "hub.key").chmod(0o600)


def set_database_back(folder: Path) -> None:
    """Restore a copy of the database that lacks what a later checkpoint signed."""
    settings, database = Settings.load(folder / "aizen.yaml", {}), folder / "data" / "aizen.sqlite"
    copy = database.read_bytes()
    change_state(settings)
    add_checkpoint(settings)
    database.write_bytes(copy)


def add_checkpoint_line(folder: Path) -> None:
    settings = Settings.load(folder / "aizen.yaml", {})
    change_state(settings)
    add_checkpoint(settings)
    file = settings.checkpoint_path
    first, second = file.read_text().splitlines()
    assert first != second
    file.write_text(f"{second}\n")


def add_old_package(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the metadata of a former version of JupyterHub first on the path, as a broken environment has it."""
    metadata = folder / "old-packages" / "jupyterhub-5.2.1.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: jupyterhub\nVersion: 5.2.1\n")
    monkeypatch.syspath_prepend(str(metadata.parent))


# What cannot be planted for real: a full disk, a wrong clock, a network file system, another account.
PATCHES: dict[str, Callable[[Path, pytest.MonkeyPatch], None]] = {
    "certificate expired": lambda folder, _: make_certificate(folder, -1),
    "certificate ends soon": lambda folder, _: make_certificate(folder, 5),
    "database set back": lambda folder, _: set_database_back(folder),
    "checkpoint line cut": lambda folder, _: add_checkpoint_line(folder),
    "old package": add_old_package,
    "missing package": lambda _, patch: patch.setitem(machine.FLOORS, "not-installed-anywhere", (1, 0)),
    "no driver": lambda _, patch: patch.setitem(sys.modules, "psycopg", None),
    "full disk": lambda _, patch: patch.setattr(data_files.os, "statvfs", lambda _: fake_disk(20 << 20, 10_000)),
    "low disk": lambda _, patch: patch.setattr(data_files.os, "statvfs", lambda _: fake_disk(600 << 20, 10_000)),
    "no inodes": lambda _, patch: patch.setattr(data_files.os, "statvfs", lambda _: fake_disk(90 << 30, 10)),
    "network file system": lambda folder, patch: fake_mounts(folder, patch),
    "not root": lambda _, patch: patch.setattr(os, "geteuid", lambda: REAL_UID + 4242),
    "root": lambda _, patch: patch.setattr(os, "geteuid", lambda: 0),
    "synchronised clock": lambda _, patch: patch.setattr(clock_check, "kernel_ntp_status", lambda: (1.0, 0.0)),
    "free running clock": lambda _, patch: patch.setattr(clock_check, "kernel_ntp_status", lambda: (0.0, 0.0)),
    "visible processes": lambda folder, patch: show_processes(folder, patch),
    "old sqlite": lambda _, patch: patch.setattr(machine, "SQLITE_FLOOR", (99, 0)),
    "wrong clock": lambda _, patch: patch.setattr(store, "MAX_CLOCK_SKEW", timedelta(seconds=-1)),
}


def fake_disk(free: int, files: int) -> Any:
    return SimpleNamespace(f_bavail=free // 4096, f_frsize=4096, f_files=1_000_000, f_favail=files)


def fake_mounts(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = folder / "mountinfo"
    file.write_text(f"21 1 0:20 / / rw - ext4 /dev/sda rw\n22 21 0:21 / {folder.resolve()} rw - nfs4 server:/x rw\n")
    monkeypatch.setattr(data_files, "MOUNTINFO", file)


def show_processes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "mountinfo").write_text("22 27 0:21 / /proc rw,relatime - proc proc rw\n")
    monkeypatch.setattr(shared_host, "MOUNTINFO", folder / "mountinfo")


@pytest.fixture
def other_program() -> Iterator[int]:
    """The port of a web server that is not the service."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = b"<h1>It works!</h1>"
            self.send_response(404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield server.server_port
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    logging.getLogger("python-ldap-test").setLevel(logging.ERROR)
    with running_directory(tmp_path_factory.mktemp("slapd")) as running:
        yield running


@pytest.fixture
def planter(
    request: pytest.FixtureRequest, folder: Path, monkeypatch: pytest.MonkeyPatch, fast_values: dict[str, Any]
) -> FaultPlanter:
    row, values = request.node.callspec.params["row"], dict(fast_values)
    needs = set(row.get("needs", ()))
    if "other_program" in needs:
        values["other_program"] = request.getfixturevalue("other_program")
    if "postgres" in needs:
        values |= request.getfixturevalue("postgres_values")
    monkeypatch.setattr(service, "_SECONDS", 30.0)  # the machine of the tests may be busy
    planter = FaultPlanter(folder, monkeypatch, values, PATCHES)
    if "slapd" in needs:
        planter.directory = request.getfixturevalue("directory")
        planter.plant({"ldap": {}})
    return planter


@pytest.fixture
def fast_values() -> dict[str, Any]:
    return {"random": secrets.token_hex(32), "other_random": secrets.token_hex(32)}


@pytest.fixture
def postgres_values(
    fast_postgres_server: Server, postgres_url: str, migrated_url: str, folder: Path
) -> Iterator[dict[str, Any]]:
    with open_store(write_settings(folder, database=migrated_url)):
        pass  # puts the catalog in force, as the first start of a service does
    write_settings(folder)
    with checkpoint_database(fast_postgres_server) as checkpoints:
        yield {
            "postgres_port": fast_postgres_server.port,
            "empty_postgres": postgres_url,
            "postgres": migrated_url,
            "checkpoints": checkpoints.url,
            "checkpoints_owner": checkpoints.owner_url,
        }

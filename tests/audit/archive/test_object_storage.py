"""Archive files in object storage: complete and verified before rows are deleted, and read back (R95, T-38, T-45).

The tests run at a real FTP server, which gets each file under a temporary name first. They also run at the URL that
``AIZEN_TEST_OBJECT_STORAGE`` names, such as ``s3://bucket/prefix``, with credentials from the environment.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from aizen_hub.audit.archive.archiver import Archiver
from aizen_hub.audit.archive.manifest import ArchiveManifests
from aizen_hub.audit.archive.object_storage import ObjectStorage
from aizen_hub.audit.archive.storage import fetch_archive, open_storage
from aizen_hub.problems import BadInput, Conflict, NotFound, Problem, Unavailable
from aizen_hub.store import failpoints
from tests.audit.archive.test_archiver import SCRIPT, AuditedInstallation, installation  # noqa: F401  a fixture

fsspec = pytest.importorskip("fsspec", reason="fsspec is not installed: requirements/test.txt has it")
GIVEN = os.environ.get("AIZEN_TEST_OBJECT_STORAGE")
SECRET = "a-secret-of-the-operator"


@dataclass(frozen=True)
class Storage:
    """A URL that only one test uses, and the variables with which a process reaches it."""

    url: str
    environ: dict[str, str]

    def names(self) -> list[str]:
        files, root = fsspec.url_to_fs(self.url)
        files.invalidate_cache()
        return sorted(path.rpartition("/")[2] for path in files.ls(root, detail=False)) if files.exists(root) else []

    def write(self, name: str, content: bytes) -> None:
        files, root = fsspec.url_to_fs(self.url)
        files.makedirs(root, exist_ok=True)
        with files.open(f"{root}/{name}", "wb") as file:
            file.write(content)

    def read(self, name: str) -> bytes:
        files, root = fsspec.url_to_fs(self.url)
        files.invalidate_cache()
        with files.open(f"{root}/{name}", "rb") as file:
            return bytes(file.read())


@pytest.fixture(params=["ftp", *(["given"] if GIVEN else [])])
def storage(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Storage]:
    if request.param == "given":
        yield Storage(f"{GIVEN}/{uuid.uuid4().hex}", {})
        return
    pytest.importorskip("pyftpdlib", reason="pyftpdlib is not installed: requirements/test.txt has it")
    from tests.fixtures.network.ftp_server import running_ftp_server

    folder = tmp_path / "served"
    folder.mkdir()
    with running_ftp_server(folder) as server:
        monkeypatch.setitem(fsspec.config.conf, "ftp", server.credentials)
        yield Storage(server.url, server.environ)


@pytest.fixture
def archived(installation: AuditedInstallation, storage: Storage) -> AuditedInstallation:  # noqa: F811
    installation.url = storage.url
    return installation


def break_uploads(monkeypatch: pytest.MonkeyPatch, end: Callable[[], None]) -> None:
    """Let only the first half of a file arrive: a fake of a lost connection, at the real server."""
    initialize = ObjectStorage.__init__

    def initialize_broken(self: ObjectStorage, url: str) -> None:
        initialize(self, url)
        upload = self._files.put_file

        def put_half(lpath: str, rpath: str) -> None:
            half = Path(lpath).with_name("half")
            half.write_bytes(Path(lpath).read_bytes()[: Path(lpath).stat().st_size // 2])
            upload(str(half), rpath)
            end()

        monkeypatch.setattr(self._files, "put_file", put_half)

    monkeypatch.setattr(ObjectStorage, "__init__", initialize_broken)


def lose_connection() -> None:
    raise ConnectionResetError("connection reset by peer")


@pytest.mark.proves("R95", "R97")
def test_rows_leave_the_database_for_object_storage(archived: AuditedInstallation, storage: Storage) -> None:
    rows = archived.count_rows()
    done = archived.archive()
    assert done.manifest is not None
    (name,) = storage.names()
    assert done.location == f"{storage.url}/{name}"
    assert archived.count_rows() == rows - done.removed + 1
    with fetch_archive(done.location) as file:
        report = archived.audit(file)
    assert not file.exists(), "the copy is removed"
    assert (report.findings, report.unread_rows) == ((), 0)

    changed = storage.read(name).replace(b"looked", b"locked", 1)
    storage.write(name, changed)
    with fetch_archive(done.location) as file:
        assert [finding.kind for finding in archived.audit(file).findings] == ["archive"]


@pytest.mark.proves("T-45")
@pytest.mark.parametrize(
    ("end", "error"), [(lose_connection, Unavailable), (lambda: None, Conflict)], ids=["reported", "not reported"]
)
def test_half_an_upload_is_no_archive(
    archived: AuditedInstallation,
    storage: Storage,
    monkeypatch: pytest.MonkeyPatch,
    end: Callable[[], None],
    error: type[Problem],
) -> None:
    rows = archived.count_rows()
    with monkeypatch.context() as patch:
        break_uploads(patch, end)
        with pytest.raises(error, match=r"connection reset|is not what was sent"):
            archived.archive()
    assert archived.count_rows() == rows
    with archived.store.read() as tx:
        assert ArchiveManifests.read(tx.conn, lambda *_: True).manifests == ()
    if not storage.url.startswith("ftp:"):
        return  # an object store shows what its upload completed, and the fake completed half a file
    assert [name.removesuffix(".part") for name in storage.names()] != storage.names(), "only a temporary name"
    done = archived.archive()
    assert done.location is not None
    with fetch_archive(done.location) as file:
        assert archived.audit(file).findings == ()
    assert len(storage.names()) == 1


def test_the_same_object_is_accepted_and_another_one_is_kept(storage: Storage, tmp_path: Path) -> None:
    file = tmp_path / "audit-0001.jsonl"
    file.write_bytes(b"rows\n" * 100_000)
    place = ObjectStorage(storage.url)
    assert place.keep(file) == place.keep(file) == f"{storage.url}/{file.name}"
    assert storage.read(file.name) == file.read_bytes()
    file.write_bytes(b"ROWS\n" * 100_000)
    with pytest.raises(Conflict, match="another file, which was not overwritten"):
        place.keep(file)
    assert storage.read(file.name) == b"rows\n" * 100_000
    assert storage.names() == [file.name]
    with pytest.raises(NotFound), fetch_archive(f"{storage.url}/audit-0002.jsonl"):
        pass


def test_a_storage_that_cannot_say_what_is_there_gets_nothing(
    storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error is no "no": another archive of that name may be the only copy."""
    place, file = ObjectStorage(storage.url), tmp_path / "audit-0001.jsonl"
    file.write_text("rows\n")

    def fail(*_: object, **__: object) -> None:
        raise OSError("the connection was lost")

    monkeypatch.setattr(type(place._files), "info", fail)
    with pytest.raises(Unavailable, match="the connection was lost"):
        place.keep(file)
    with pytest.raises(Unavailable, match="the connection was lost"), place.fetch(file.name):
        pass


@pytest.mark.proves("T-45")
def test_a_run_that_was_killed_after_the_upload_is_repeated(archived: AuditedInstallation, storage: Storage) -> None:
    script = SCRIPT.replace("installation.archive()", f"installation.url = {storage.url!r}\ninstallation.archive()")
    process = subprocess.run(
        [sys.executable, "-c", script, str(archived.settings.data_dir), archived.settings.database or ""],
        env=os.environ | storage.environ | {failpoints.VARIABLE: "archive-written"},
        cwd=Path(__file__).parents[3],
        timeout=60,
        check=False,
    )
    assert process.returncode == -signal.SIGKILL
    uploaded = storage.names()
    assert len(uploaded) == 1
    assert archived.archive().manifest is not None
    assert storage.names() == uploaded


def test_an_interrupted_removal_resumes_only_with_its_object(
    archived: AuditedInstallation, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Archiver, "_remove_archived", lambda self: 0)
        archived.archive()
    rows = archived.count_rows()
    archived.url = f"{storage.url}/elsewhere"
    with pytest.raises(Conflict, match="interrupted"):
        archived.archive()
    assert archived.count_rows() == rows
    archived.url = storage.url
    assert archived.archive().removed > 0


def test_a_refused_credential_is_reported_without_it(
    storage: Storage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if not storage.url.startswith("ftp:"):
        pytest.skip("how credentials are given differs from storage to storage")
    monkeypatch.setitem(fsspec.config.conf, "ftp", {"username": "archive", "password": SECRET})
    with pytest.raises(Unavailable, match="cannot be used: error_perm: 530") as caught:
        open_storage(storage.url)
    assert SECRET not in str(caught.value)
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        (f"s3://key:{SECRET}@bucket/prefix", "neither a password"),
        (f"az://container/prefix?sig={SECRET}", "neither a password"),
        ("memory://archive", "keeps no archive"),
        ("simplecache::s3://bucket/prefix", "keeps no archive"),
        ("file:///srv/audit", "a folder of this machine"),
        ("s3://", "names no bucket"),
        ("tape://bucket", "no storage that fsspec knows"),
        ("s3://[", "not a URL"),
    ],
)
def test_a_url_that_keeps_no_archive_is_refused(url: str, reason: str) -> None:
    with pytest.raises(BadInput, match=reason) as caught:
        open_storage(url)
    assert SECRET not in f"{caught.value} {caught.value.remedy}"


@pytest.mark.parametrize(
    ("module", "remedy"), [("fsspec", "pip install 'aizen-hub[object-storage]'"), ("gcsfs", "pip install gcsfs")]
)
def test_a_library_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch, module: str, remedy: str) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(Unavailable, match="not installed") as caught:
        open_storage("gs://bucket/prefix")
    assert caught.value.remedy == remedy

"""What the store says happened: changes, audit rows and tables, read past the service and compared with a history."""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, select

from aizen_hub.audit.integrity.chain_verifier import verify_chains
from aizen_hub.store import tables
from aizen_hub.store.database import Database
from tests.faults.history import Op
from tests.faults.rules import ADMIN, Key, Violation

_SYSTEM_ADMIN = "AIZEN_ADMIN"
_ROWS_OF = {"grant": "role.granted", "revoke": "role.revoked", "lock": "lock.set", "unlock": "lock.removed"}


@dataclass(frozen=True)
class Change:
    """One revision: what was done in it, and the row that tells of it."""

    revision: int
    entries: tuple[Mapping[str, Any], ...]
    audit_id: str
    digest: str = ""


@dataclass(frozen=True)
class Row:
    """One audit row: its place, its links and what it says."""

    writer: str
    number: int
    body: Mapping[str, Any]
    raw: bytes = b""
    previous: bytes = b""
    hash: bytes = b""

    @property
    def id(self) -> str:
        return str(self.body["id"])


@dataclass(frozen=True)
class StoreState:
    """Everything that the store holds and a checker needs.

    Attributes
    ----------
    held : frozenset of Key
        Assignments of users in force now.
    twice : tuple
        Assignments that stand in the table more than once.
    """

    revision: int
    held: frozenset[Key]
    locked: frozenset[str]
    changes: tuple[Change, ...] = ()
    rows: tuple[Row, ...] = ()
    checkpoints: tuple[Mapping[str, tuple[int, str]], ...] = ()
    duplicates: tuple[Any, ...] = ()
    findings: tuple[str, ...] = ()


def read_state(url: str, checkpoint_path: Path | None = None) -> StoreState:
    """Read a store at rest."""
    database = Database(url, 10)
    try:
        with database.engine.connect() as conn:
            database.begin(conn, "read")
            try:
                return _read_state(conn, checkpoint_path)
            finally:
                database.rollback(conn)
    finally:
        database.dispose()


def _read_state(conn: Connection, checkpoint_path: Path | None) -> StoreState:
    a = tables.assignments.c
    rows = conn.execute(select(a.identity, a.scope, a.role).where(a.identity.like("user:%"))).all()
    counted = Counter((row.identity.removeprefix("user:"), row.scope, row.role) for row in rows)
    k = tables.locks.c
    locked = conn.execute(select(k.name).where(k.target == "identity")).scalars()
    changes = tuple(
        Change(row.revision, tuple(row.payload), row.audit_id, _digest(row.revision, row.payload, row.invalidates))
        for row in conn.execute(select(tables.changes).order_by(tables.changes.c.revision))
    )
    audit = tuple(
        Row(row.writer, row.number, json.loads(bytes(row.body)), bytes(row.body), bytes(row.previous), bytes(row.hash))
        for row in conn.execute(select(tables.audit).order_by(tables.audit.c.writer, tables.audit.c.number))
    )
    return StoreState(
        revision=conn.execute(select(tables.revision.c.value)).scalar_one(),
        held=frozenset(counted),
        locked=frozenset(name.removeprefix("user:") for name in locked),
        changes=changes,
        rows=audit,
        checkpoints=_checkpoints(checkpoint_path),
        duplicates=tuple(key for key, count in counted.items() if count > 1),
        findings=tuple(one.sentence for one in verify_chains(conn).findings),
    )


def _digest(revision: int, payload: Any, touches: Any) -> str:
    text = json.dumps([revision, payload, touches], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _checkpoints(path: Path | None) -> tuple[Mapping[str, tuple[int, str]], ...]:
    if path is None or not path.exists():
        return ()
    checkpoints = []
    for line in path.read_bytes().split(b"\n"):
        try:
            heads = json.loads(line)["content"]["heads"]
        except (ValueError, KeyError):
            continue  # a line that a crash cut short
        checkpoints.append({writer: (number, digest) for writer, (number, digest) in heads.items()})
    return tuple(checkpoints)


def check_consistency(ops: Sequence[Op], before: StoreState, after: StoreState) -> list[Violation]:
    """Compare what clients saw with what the store holds.

    Parameters
    ----------
    before, after : Books
        From before the first operation and after the last one.
    """
    fresh = [one for one in after.changes if one.revision > before.revision]
    return [
        *_chain(after),
        *_numbers(before, after),
        *_rows_of_changes(fresh, after),
        *_decisions(ops, after),
        *_acknowledged(ops, fresh),
        *_nothing_invented(ops, fresh),
        *_states(ops, before, fresh, after),
        *(Violation("I4", f"the assignment {one} stands twice in the table") for one in after.duplicates),
    ]


def _chain(state: StoreState) -> Iterator[Violation]:
    """I7, computed anew from the rows; the product's own verifier has to agree."""
    hashes: dict[str, dict[int, str]] = defaultdict(dict)
    last: dict[str, tuple[int, bytes]] = {}
    for row in state.rows:
        number, previous = last.get(
            row.writer, (0, hashlib.sha256(b"aizen-hub audit chain\0" + row.writer.encode()).digest())
        )
        if row.number != number + 1:
            yield Violation("I7", f"the rows of `{row.writer}` go from {number} to {row.number}")
        name = row.writer.encode()
        position = len(name).to_bytes(2, "big") + name + row.number.to_bytes(8, "big")
        if row.hash and (
            row.previous != previous or row.hash != hashlib.sha256(row.previous + position + row.raw).digest()
        ):
            yield Violation("I7", f"row {row.number} of `{row.writer}` is not linked to the one before it")
        last[row.writer] = (row.number, row.hash)
        hashes[row.writer][row.number] = row.hash.hex()
    for heads in state.checkpoints:
        for writer, (number, digest) in heads.items():
            if hashes[writer].get(number) != digest:
                yield Violation("I7", f"row {number} of `{writer}` was signed and is not there")
    for sentence in state.findings:
        yield Violation("I7", sentence)


def _numbers(before: StoreState, after: StoreState) -> Iterator[Violation]:
    revisions = [one.revision for one in after.changes if one.revision > before.revision]
    if revisions != list(range(before.revision + 1, after.revision + 1)):
        yield Violation("I1", f"revisions {before.revision + 1} to {after.revision} are not all there, each once")
    earlier = {row.id for row in before.rows}
    if not earlier <= {row.id for row in after.rows}:
        yield Violation("I7", "rows of the audit have gone")


def _rows_of_changes(changes: Sequence[Change], state: StoreState) -> Iterator[Violation]:
    """No change without its row, no row without its change (I2)."""
    by_id = Counter(row.id for row in state.rows)
    bodies = {row.id: row.body for row in state.rows}
    for name, count in by_id.items():
        if count > 1:
            yield Violation("I2", f"the id {name} stands in {count} audit rows")
    recorded: defaultdict[int, Counter[tuple[Any, ...]]] = defaultdict(Counter)
    for row in state.rows:
        if row.body["event"] in _ROWS_OF.values():
            recorded[row.body.get("revision", 0)][(row.body["event"], *_described(row.body.get("details", {})))] += 1
    for change in changes:
        body = bodies.get(change.audit_id)
        if body is None:
            yield Violation("I2", f"the change {change.revision} has no audit row")
        elif body.get("revision") != change.revision or (
            change.digest and body.get("details", {}).get("change") != change.digest
        ):
            yield Violation("I2", f"the audit row of change {change.revision} tells of something else")
        expected = Counter(
            (_ROWS_OF[one["kind"]], *_described(one)) for one in change.entries if one["kind"] in _ROWS_OF
        )
        if expected != recorded.pop(change.revision, Counter()):
            yield Violation("I2", f"the audit does not tell what change {change.revision} did")
    first = changes[0].revision if changes else state.revision + 1
    for revision in recorded:
        if revision >= first:
            yield Violation("I2", f"the audit tells of a change {revision} that does not exist")


def _described(entry: Mapping[str, Any]) -> tuple[Any, ...]:
    names = ("role", "scope", "identity") if "role" in entry else ("target", "name")
    return tuple(entry.get(name) for name in names)


def _decisions(ops: Sequence[Op], state: StoreState) -> Iterator[Violation]:
    by_id = {row.id: row.body for row in state.rows}
    for op in ops:
        decision_id = op.observed.get("id")
        if decision_id is None or op.op == "again":
            continue
        row = by_id.get(decision_id)
        if row is None:
            yield Violation("I2", f"the decision {decision_id} ({op.op}, {op.result}) has no audit row")
        elif op.op == "check" and (
            row.get("allowed") != (op.result == "allowed")
            or row.get("identity") != f"user:{op.args['user']}"
            or row.get("project") != op.args["project"]
            or row.get("reason") != op.observed.get("reason")
            or (op.revision is not None and row.get("revision") != op.revision)
        ):
            yield Violation("I2", f"the decision {decision_id} was answered otherwise than it is recorded")
    answered = Counter(op.observed["id"] for op in ops if op.op == "check" and "id" in op.observed)
    for decision_id, count in answered.items():
        if count > 1:
            yield Violation("I2", f"{count} answers bear the one decision {decision_id}")


def _entries(change: Change) -> set[tuple[Any, ...]]:
    out: set[tuple[Any, ...]] = set()
    for one in change.entries:
        if one["kind"] in ("grant", "revoke"):
            out.add((one["kind"], one["identity"].removeprefix("user:"), one["scope"], one["role"]))
        elif one["kind"] in ("lock", "unlock"):
            out.add((one["kind"], one["name"].removeprefix("user:")))
    return out


def _acknowledged(ops: Sequence[Op], changes: Sequence[Change]) -> Iterator[Violation]:
    by_revision = {one.revision: one for one in changes}
    tags = Counter(one.get("reason") for change in changes for one in change.entries if one["kind"] in _ROWS_OF)
    for op in ops:
        tag = op.args.get("tag")
        if tag is not None and tags[tag] > 1 and op.op != "again":
            yield Violation("I4", f"one {op.op} with one key had {tags[tag]} effects")
        if op.op not in ("grant", "revoke", "lock", "unlock", "import") or op.result != "done":
            continue
        change = by_revision.get(op.revision or 0)
        if change is None:
            yield Violation("I1", f"the {op.op} acknowledged with revision {op.revision} is not in the store")
        elif op.op == "import":
            continue  # its whole effect is compared in `_states`
        else:
            wanted = (op.op, *op.key) if op.op in ("grant", "revoke") else (op.op, op.args["user"])
            if wanted not in _entries(change):
                yield Violation("I1", f"revision {op.revision} was acknowledged for {wanted} and holds something else")


def _nothing_invented(ops: Sequence[Op], changes: Sequence[Change]) -> Iterator[Violation]:
    """Every right comes from an operation that was done, or may have been (I6)."""
    possible_keys: set[Key] = set()
    for op in ops:
        possible = op.indeterminate or op.result in ("done", "same")
        if op.op == "grant" and possible:
            possible_keys.add(op.key)
        elif op.op == "import" and possible:
            possible_keys |= {(user, op.args["project"], role) for user, role in op.args["members"]}
    for change in changes:
        for entry in _entries(change):
            if entry[0] == "grant" and entry[1:] not in possible_keys:
                yield Violation("I6", f"no operation granted {entry[1:]}, which came with revision {change.revision}")


def _states(ops: Sequence[Op], before: StoreState, changes: Sequence[Change], after: StoreState) -> Iterator[Violation]:
    """Replay the changes: decisions, imports, last holders and the tables have to agree with them."""
    held, locked = set(before.held), set(before.locked)
    checks: defaultdict[int, list[Op]] = defaultdict(list)
    imports: defaultdict[int, list[Op]] = defaultdict(list)
    files = [op for op in ops if op.op == "import" and (op.indeterminate or op.result in ("done", "same"))]
    for op in ops:
        if op.op == "check" and op.revision is not None:
            checks[op.revision].append(op)
        elif op.op == "import" and op.result == "done" and op.revision is not None:
            imports[op.revision].append(op)
    protected = {key[1:] for key in held if key[2] in (ADMIN, _SYSTEM_ADMIN)}
    yield from _at(before.revision, checks, held, locked)
    for change in changes:
        entries = _entries(change)
        for entry in entries:
            if entry[0] in ("grant", "revoke"):
                (held.add if entry[0] == "grant" else held.discard)(entry[1:])
            else:
                (locked.add if entry[0] == "lock" else locked.discard)(entry[1])
        yield from _at(change.revision, checks, held, locked)
        for op in imports[change.revision]:
            if not _as_in_file(held, op):
                yield Violation(
                    "I9", f"the import of `{op.args['project']}` at revision {change.revision} is not whole"
                )
        projects = {entry[2] for entry in entries if entry[0] in ("grant", "revoke")}
        if len([entry for entry in entries if entry[0] in ("grant", "revoke")]) > 1:
            for project in projects:
                mine = [op for op in files if op.args["project"] == project]
                if not any(_as_in_file(held, op) for op in mine):
                    yield Violation("I9", f"revision {change.revision} did part of an import of `{project}`")
        unlocked = {key[1:] for key in held if key[0] not in locked}
        for project, role in sorted(protected - unlocked):
            yield Violation("I5", f"`{project}` was without any {role} at revision {change.revision}")
        protected &= unlocked
    if held != after.held:
        missing, more = sorted(held - after.held), sorted(after.held - held)
        yield Violation("I2", f"the tables are not what the changes say: {missing[:3]} missing, {more[:3]} too many")
    if locked != after.locked:
        yield Violation("I2", "the locks are not what the changes say")


def _as_in_file(held: set[Key], op: Op) -> bool:
    project = op.args["project"]
    return {key for key in held if key[1] == project} == {(user, project, role) for user, role in op.args["members"]}


def _at(revision: int, checks: Mapping[int, Sequence[Op]], held: set[Key], locked: set[str]) -> Iterator[Violation]:
    for op in checks.get(revision, ()):
        user = op.args["user"]
        right = op.key in held and user not in locked
        if op.result == "allowed" and not right:
            yield Violation("I6", f"`{user}` was allowed at revision {revision}, at which {op.key} was not theirs")
        elif op.result == "denied" and op.observed.get("reason") == "no-assignment" and op.key in held:
            yield Violation("I1", f"`{user}` was denied at revision {revision}, at which {op.key} was theirs")

"""Which test proves which requirement; ``python -m tests.traceability`` writes the table anew."""

from __future__ import annotations

import ast
import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

TESTS = Path(__file__).parent
TABLE = TESTS / "TRACEABILITY.md"
REQUIREMENTS = TESTS / "data" / "requirements.yaml"
LATER = TESTS / "later.yaml"
FACT = re.compile(r"F([1-9]|1[0-4])")  # a fact about what we build on: may be cited, needs no proof
SHOWN = 4  # more names than that make a cell unreadable


@dataclass(frozen=True)
class Trace:
    """What is asked for, what is proven, and what a later issue builds.

    Attributes
    ----------
    titles : mapping of str to str
        Each id with its one line.
    proofs : mapping of str to tuple of str
        Each id found in a ``proves`` mark, with the tests that carry it as ``folder/file.py::name``.
    later : mapping of str to mapping
        Each id that is built later: ``issue`` (a number, or a word where none exists yet) and ``why``.
    """

    titles: Mapping[str, str]
    proofs: Mapping[str, tuple[str, ...]]
    later: Mapping[str, Mapping[str, str | int]]

    def faults(self) -> list[str]:
        """Every id that is unknown, missing on both sides, or claimed by both."""
        faults = [
            f"{one}: no such requirement, cited by {', '.join(self.proofs[one])}"
            for one in self.proofs
            if one not in self.titles and not FACT.fullmatch(one)
        ]
        faults += [f"{one}: no such requirement, listed in later.yaml" for one in self.later if one not in self.titles]
        for one in self.titles:
            if one not in self.proofs and one not in self.later:
                faults.append(f"{one}: no test proves it, and later.yaml does not name the issue that builds it")
            if one in self.proofs and one in self.later:
                faults.append(f"{one}: proven by {self.proofs[one][0]}, so later.yaml must not list it")
        for one, entry in self.later.items():
            if set(entry) != {"issue", "why"} or not all(entry.values()):
                faults.append(f"{one}: an entry of later.yaml has an `issue` and a `why`, and nothing else")
        return faults

    def table(self) -> str:
        lines = [
            "# What each test proves",
            "",
            "Written by `python -m tests.traceability`; `make test` compares it with the tests.",
            "",
            "| id | requirement, threat or invariant | proven by, or built later |",
            "|---|---|---|",
        ]
        for one, title in self.titles.items():
            proofs = self.proofs.get(one, ())
            if proofs:
                more = f" and {len(proofs) - SHOWN} more" if len(proofs) > SHOWN else ""
                cell = "<br>".join(f"`{test}`" for test in proofs[:SHOWN]) + more
            else:
                entry = self.later.get(one, {"issue": "?", "why": "?"})
                issue = entry["issue"]
                cell = f"later, {f'issue {issue}' if isinstance(issue, int) else issue}: {entry['why']}"
            lines.append(f"| {one} | {title} | {cell} |")
        return "\n".join(lines) + "\n"


def proofs_in(source: str, name: str) -> Iterator[tuple[str, str]]:
    """Yield ``(id, test)`` for each id in a ``proves`` mark of one test module.

    Raises
    ------
    ValueError
        An argument of the mark is not written out as a string.
    """
    found: dict[ast.Call, str] = {}

    def visit(node: ast.AST, owner: str) -> None:
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "proves":
            found[node] = owner
        for child in ast.iter_child_nodes(node):
            if isinstance(node, ast.Module | ast.ClassDef) and isinstance(
                child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
            ):
                visit(child, f"{owner}::{child.name}")
            else:
                visit(child, owner)

    visit(ast.parse(source), name)
    for call, owner in found.items():
        for argument in call.args:
            if not (isinstance(argument, ast.Constant) and isinstance(argument.value, str)):
                raise ValueError(f"{name}:{call.lineno}: the ids of a `proves` mark are written out as strings")
            yield argument.value, owner


def collect(files: Iterable[Path]) -> dict[str, tuple[str, ...]]:
    proofs: dict[str, set[str]] = defaultdict(set)
    for file in files:
        for one, test in proofs_in(file.read_text(encoding="utf-8"), file.relative_to(TESTS).as_posix()):
            proofs[one].add(test)
    return {one: tuple(sorted(tests)) for one, tests in proofs.items()}


def load() -> Trace:
    return Trace(
        titles=yaml.safe_load(REQUIREMENTS.read_text(encoding="utf-8")),
        proofs=collect(sorted(TESTS.rglob("test_*.py"))),
        later=yaml.safe_load(LATER.read_text(encoding="utf-8")) or {},
    )


def main() -> int:
    trace = load()
    TABLE.write_text(trace.table(), encoding="utf-8")
    for fault in trace.faults():
        print(fault, file=sys.stderr)
    return 1 if trace.faults() else 0


if __name__ == "__main__":
    raise SystemExit(main())

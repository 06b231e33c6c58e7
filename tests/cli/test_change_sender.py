"""Changes of the command line are sent again only where the service recognizes the repetition."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import aizen_hub.cli.commands
from aizen_hub.service.routes import routes

COMMANDS = Path(aizen_hub.cli.commands.__file__).parent
KEYED = {(route.method, route.path): route.idempotent for route in routes()}
Send = tuple[str, str, tuple[str | None, ...], bool]


def find_sends() -> Iterator[Send]:
    """Yield place, method, parts of the path (None where a value stands) and ``repeat`` of each change."""
    for file in sorted(COMMANDS.rglob("*.py")):
        for function in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(function, ast.FunctionDef):
                names = {
                    ast.unparse(node.targets[0]): node.value
                    for node in ast.walk(function)
                    if isinstance(node, ast.Assign)
                }
                for call in ast.walk(function):
                    if isinstance(call, ast.Call) and ast.unparse(call.func) in ("sender.send", "sender.finish"):
                        yield _describe(f"{file.relative_to(COMMANDS)}:{call.lineno}", call, names)


def _describe(place: str, call: ast.Call, names: dict[str, ast.expr]) -> Send:
    method, path = call.args[:2]
    path = names.get(ast.unparse(path), path)
    assert isinstance(method, ast.Constant), f"{place}: write the method out"
    assert isinstance(path, ast.Call), f"{place}: build the path with api_path in the same function"
    assert ast.unparse(path.func) == "api_path", place
    parts = tuple(str(part.value) if isinstance(part, ast.Constant) else None for part in path.args)
    repeat = next((ast.unparse(word.value) for word in call.keywords if word.arg == "repeat"), "True")
    return place, str(method.value), parts, repeat == "True"


def _matches(path: str, parts: tuple[str | None, ...]) -> bool:
    segments = path.removeprefix("/api/v1/").split("/")
    return (
        path.startswith("/api/v1/")
        and len(segments) == len(parts)
        and all(
            segment.startswith("{") if part is None else segment == part
            for segment, part in zip(segments, parts, strict=True)
        )
    )


SENDS = list(find_sends())


def test_the_changes_are_found() -> None:
    assert len(SENDS) > 40


@pytest.mark.proves("R103")
@pytest.mark.parametrize(("place", "method", "parts", "repeat"), SENDS, ids=[send[0] for send in SENDS])
def test_what_is_sent_again_has_a_key(place: str, method: str, parts: tuple[str | None, ...], repeat: bool) -> None:
    """Without a key a lost answer would have two effects."""
    (keyed,) = [keyed for (verb, path), keyed in KEYED.items() if verb == method and _matches(path, parts)]
    assert repeat == keyed, f"{place}: pass repeat={keyed}"

"""Conventions of the project that no linter checks."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
PACKAGE = sorted((ROOT / "aizen_hub").rglob("*.py"))
LONGEST = 400
MAX_MODULES = 24
SELF = Path(__file__).name
OF_OTHERS = ROOT / "tests" / "data" / "z2jh"
"""Files of another project, as they are."""

# Paths that exist on one machine only.
# The home in the images of Jupyter is the same for everyone.
ONE_MACHINE = re.compile(r"(?<![\w.~:/-])/(?:home(?!/jovyan\b)|root|work|Users|mnt|farm)/[\w.-]+|/bash_jobs")
ADDRESS = re.compile(r"https?://(\[[^]]+\]|[A-Za-z0-9.-]+)")
KNOWN_HOSTS = re.compile(
    r"localhost|127(?:\.\d+){3}|\[::1\]|0\.0\.0\.0"
    r"|(?:.+\.)?example(?:\.(?:org|com|net))?|.+\.(?:test|invalid|localhost)"
    r"|[a-z-]+(?:\.default\.svc)?"  # a service name in a cluster
    r"|github\.com|login\.microsoftonline\.com"  # where these logins are, as oauthenticator knows them
    r"|json-schema\.org|www\.w3\.org|json\.schemastore\.org|(?:schemas\.)?openid\.net|schemas\.xmlsoap\.org"
)
FUNDING = re.compile(r'"funding": (?:\{[^}]*\}|\[[^]]*\])')  # npm copies it into its lock files
SERVER_SIDE_TEMPLATES = ("*.html", "*.jinja", "*.j2")


def tracked(*patterns: str) -> list[Path]:
    names = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *patterns],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split("\0")
    paths = (ROOT / name for name in names if name)
    return [path for path in paths if path.is_file() and OF_OTHERS not in path.parents]


def texts() -> list[tuple[Path, str]]:
    out = []
    for path in tracked():
        try:
            out.append((path.relative_to(ROOT), path.read_text(encoding="utf-8")))
        except UnicodeDecodeError:
            continue
    return out


def partial_matches(source: str) -> list[int]:
    """Lines that match a text from its start only: `$` there also matches before a final newline (R28).

    A pattern that is matched at a position, ``pattern.match(text, at)``, is a scanner and may do so.
    """
    return [
        node.lineno
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "match"
        and (len(node.args) == 1 or (isinstance(node.func.value, ast.Name) and node.func.value.id == "re"))
    ]


@pytest.mark.proves("R28")
def test_patterns_match_the_whole_text() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in PACKAGE
        for line in partial_matches(path.read_text(encoding="utf-8"))
    ]
    assert found == [], "use fullmatch"


def test_the_rule_on_patterns_can_fail() -> None:
    assert partial_matches("import re\nre.match('a$', 'a\\n')\n") == [2]
    assert partial_matches("PATTERN.match(text)") == [1]
    assert partial_matches("PATTERN.match(text, 3)") == []
    assert partial_matches("import re\nre.fullmatch('a', 'a')\n") == []


def test_no_path_of_one_machine_is_in_the_tree() -> None:
    found = [
        f"{path}: {match.group()}"
        for path, text in texts()
        if path.name != SELF
        for match in ONE_MACHINE.finditer(text)
    ]
    assert found == []


def merge_marks(text: str) -> list[str]:
    """Return the lines that git leaves where a merge was not finished."""
    return re.findall(r"^(?:<{7}|>{7}|\|{7}) .*$", text, re.MULTILINE)


def test_every_merge_is_finished() -> None:
    assert [(str(path), mark) for path, text in texts() for mark in merge_marks(text)] == []


def test_the_rule_on_merges_can_fail() -> None:
    mark = "<" * 7
    assert merge_marks(f"a\n{mark} HEAD\nb\n=======\nc\n") == [f"{mark} HEAD"]
    assert merge_marks("A title\n=======\n") == []


def test_no_address_of_a_stranger_is_in_the_code() -> None:
    """Tests reach nothing outside, requirements name no index, and examples use names reserved for them (RFC 2606)."""
    found = [
        f"{path}: {match.group()}"
        for path, text in texts()
        if path.suffix in {".py", ".txt", ".yaml", ".yml", ".toml", ".json", ".sh", ""} and path.name != SELF
        for match in ADDRESS.finditer(FUNDING.sub("", text) if path.name == "package-lock.json" else text)
        if not KNOWN_HOSTS.fullmatch(match.group(1))
    ]
    assert found == []


SQL = re.compile(r"\s*(?:select|insert|update|delete|create|drop|alter|pragma|show|begin|grant)\b", re.IGNORECASE)
BUILT = {
    # Statements that take no parameters, made of names and numbers written in the same module.
    ("aizen_hub/store/migrate.py", "SELECT pg_advisory_xact_lock("),
    ("aizen_hub/store/sql_store.py", "SHOW "),
    ("aizen_hub/store/database.py", "PRAGMA busy_timeout = "),
    ("aizen_hub/store/database.py", "BEGIN ISOLATION LEVEL READ COMMITTED"),
    ("aizen_hub/store/database.py", "BEGIN ISOLATION LEVEL REPEATABLE READ"),
    ("aizen_hub/store/database.py", "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"),
}


def built_statements(source: str) -> list[tuple[int, str]]:
    """SQL put together from text: f-strings, `%`, `+` and `format` on something that begins like a statement."""
    found = []
    for node in ast.walk(ast.parse(source)):
        first: ast.expr | None = None
        if isinstance(node, ast.JoinedStr) and len(node.values) > 1:
            first = node.values[0]
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod | ast.Add):
            first = node.left
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "format":
            first = node.func.value
        if isinstance(first, ast.Constant) and isinstance(first.value, str) and SQL.match(first.value, 0):
            found.append((node.lineno, first.value))
    return found


@pytest.mark.proves("R113")
def test_no_sql_is_put_together_from_text() -> None:
    found = [
        (str(path.relative_to(ROOT)), text)
        for path in PACKAGE
        if "aizen_hub/notebook" not in str(path) and "aizen_hub/cli" not in str(path)
        if path.name != "db_grants.py"  # GRANT takes no parameters; the role's name is checked against a pattern there
        for _, text in built_statements(path.read_text(encoding="utf-8"))
        if " " in text and text.split()[0].isupper()
    ]
    assert set(found) <= BUILT


def test_the_rule_on_sql_can_fail() -> None:
    for bad in (
        'f"SELECT * FROM {x}"',
        "\"DELETE FROM t WHERE n = '%s'\" % n",
        '"SELECT " + x',
        '"UPDATE {}".format(x)',
    ):
        assert built_statements(bad), bad
    assert not built_statements('select(t).where(t.c.name == f"user:{name}")')


@pytest.mark.proves("R73")
def test_an_id_is_given_in_one_place_only() -> None:
    """What the address gives cannot be in the body or the query too, so they cannot disagree."""
    from aizen_hub.service.routes import routes

    for route in routes():
        given = [*route.path_params()]
        for schema in (route.body, route.query):
            given += list(schema.model_fields) if schema is not None else []
        assert len(given) == len(set(given)), route.name


@pytest.mark.parametrize("name", ["demo.txt", "test.txt", "node.txt"])
def test_every_requirement_is_pinned_and_hashed(name: str) -> None:
    text = (ROOT / "requirements" / name).read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    assert lines
    for line in lines:
        assert re.match(r"[a-z0-9][a-z0-9._-]*(\[[a-z, -]+\])?==\S+ ", line), line
        assert "--hash=sha256:" in line, line


def test_modules_fit_in_one_reading() -> None:
    # A migration is a list of tables that no one changes once it is released.
    modules = [path for path in PACKAGE if path.parent.name != "versions"]
    sizes = {path.relative_to(ROOT): len(path.read_text(encoding="utf-8").splitlines()) for path in modules}
    assert {str(path): size for path, size in sizes.items() if size > LONGEST} == {}, "what is the second noun in it?"


def test_modules_say_what_they_are() -> None:
    silent = [
        str(path.relative_to(ROOT))
        for path in PACKAGE
        if (source := path.read_text(encoding="utf-8")).strip() and not ast.get_docstring(ast.parse(source))
    ]
    assert silent == []


def test_templates_never_switch_escaping_off() -> None:
    found = [
        str(path.relative_to(ROOT))
        for path in tracked(*SERVER_SIDE_TEMPLATES)
        if re.search(r"\|\s*safe\b|autoescape\s+false", path.read_text(encoding="utf-8"))
    ]
    assert found == []


ISOLATED = {
    # What a user's server needs is little, so that any image can carry it.
    "notebook": {"IPython", "traitlets", "aizen_hub.notebook"},
    "lab": {"jupyter_server", "tornado", "aizen_hub.lab", "aizen_hub.notebook"},
}
"""What the packages inside user servers may import, besides the standard library and the version of `aizen_hub`."""


def foreign_imports(source: str, allowed: set[str]) -> list[str]:
    """Return the imported modules that are not in the standard library, and not ``allowed`` or below it."""
    names: list[str] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module == "aizen_hub":
            names += ["aizen_hub" if alias.name == "__version__" else f"aizen_hub.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names.append(node.module or "")
    return [
        name
        for name in names
        if name != "aizen_hub"
        and name.partition(".")[0] not in sys.stdlib_module_names
        and not any(name == module or name.startswith(f"{module}.") for module in allowed)
    ]


@pytest.mark.parametrize("package", ISOLATED)
def test_what_runs_in_user_servers_needs_nothing_else_of_ours(package: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in (ROOT / "aizen_hub" / package).rglob("*.py")
        for name in foreign_imports(path.read_text(encoding="utf-8"), ISOLATED[package])
    ]
    assert found == []


def test_the_rule_on_imports_in_user_servers_can_fail() -> None:
    allowed = ISOLATED["notebook"]
    assert foreign_imports("from aizen_hub.notebooks import x", allowed) == ["aizen_hub.notebooks"]
    assert foreign_imports("from aizen_hub import settings", allowed) == ["aizen_hub.settings"]
    assert foreign_imports("import numpy.linalg", allowed) == ["numpy.linalg"]
    assert foreign_imports("import json\nfrom aizen_hub import __version__, notebook", allowed) == []


@pytest.mark.parametrize("package", ISOLATED)
def test_the_contract_of_what_runs_in_user_servers_is_complete(package: str) -> None:
    """Each forbids every other package and module, also those that are added later."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = project["tool"]["importlinter"]["contracts"]
    source = [f"aizen_hub.{package}"]
    (forbidden,) = (rule["forbidden_modules"] for rule in contracts if rule.get("source_modules") == source)
    modules = {f"aizen_hub.{path.parent.name}" for path in (ROOT / "aizen_hub").glob("*/__init__.py")}
    modules |= {f"aizen_hub.{path.stem}" for path in (ROOT / "aizen_hub").glob("*.py") if path.name != "__init__.py"}
    assert set(forbidden) == modules - ISOLATED[package]


PRIVATE = yaml.safe_load((ROOT / "tests" / "data" / "private_words.yaml").read_text(encoding="utf-8"))
_IDENTIFIER_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")


def private_words(text: str) -> list[str]:
    """Return the words of ``tests/data/private_words.yaml`` in a text, also as plurals and parts of identifiers."""
    words = {entry["word"] for entry in PRIVATE["words"]}
    words |= {f"{word}s" for word in words}
    found = [word for match in _IDENTIFIER_WORD.finditer(text) if (word := match.group().lower()) in words]
    found += [
        entry["phrase"]
        for entry in PRIVATE["phrases"]
        if re.search(rf"\b{entry['phrase']}\b".replace(" ", r"\s+"), text, re.IGNORECASE)
    ]
    return found


def test_no_private_word_is_in_the_tree() -> None:
    allowed: dict[str, set[str] | None] = {
        entry["path"]: set(entry["words"]) if "words" in entry else None for entry in PRIVATE["exceptions"]
    }
    found = []
    for path, text in texts():
        if str(path) in allowed and allowed[str(path)] is None:
            continue
        spared = allowed.get(str(path)) or set()
        for number, line in enumerate(text.splitlines(), 1):
            found += [f"{path}:{number}: {word}" for word in private_words(line) if word not in spared]
    assert found == [], "tests/data/private_words.yaml has the standard terms"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("class CourtRoom: ...", ["court"]),
        ("court_room = houses[0]", ["court", "houses"]),
        ('log.info("nobody waits")', ["nobody"]),
        ("the password of  now", ["of now"]),
        ("courtesy, warehouse, broad, crossroad_s, railroads", []),
    ],
)
def test_the_rule_on_private_words_can_fail(text: str, words: list[str]) -> None:
    assert private_words(text) == words


def test_every_exception_to_the_private_words_is_needed() -> None:
    by_path = {str(path): text for path, text in texts()}
    for entry in PRIVATE["exceptions"]:
        assert entry["why"]
        assert entry["path"] in by_path, entry
        if "words" in entry:
            assert set(entry["words"]) <= set(private_words(by_path[entry["path"]])), entry


NOT_MIRRORED = (
    "benchmarks",
    "data",
    "deploy",
    "docs",
    "drill",
    "e2e",
    "engines",
    "faults",
    "fixtures",
    "hub/running",
    "requirements",
    "screenshots",
)
"""Folders of tests that are not about one package."""


def misplaced_tests(tests: list[str], modules: list[str]) -> list[str]:
    """Return the tests that do not lie at the mirrored path of the module that they are named after."""
    stems = {Path(module).stem for module in modules}
    folders = {str(Path(module).parent) for module in modules}
    return [
        test
        for test in tests
        if not test.startswith(NOT_MIRRORED)
        and (
            str(Path(test).parent) not in folders
            or (
                (stem := Path(test).stem.removeprefix("test_")) in stems
                and f"{Path(test).parent / stem}.py".removeprefix("./") not in modules
            )
        )
    ]


def test_tests_lie_at_the_mirrored_path() -> None:
    modules = [str(path.relative_to(ROOT / "aizen_hub")) for path in PACKAGE]
    tests = [str(path.relative_to(ROOT / "tests")) for path in (ROOT / "tests").rglob("test_*.py")]
    assert misplaced_tests(tests, modules) == []


def test_the_rule_on_mirrored_paths_can_fail() -> None:
    modules = ["a/b.py", "c/d.py", "settings.py"]
    tests = ["a/test_b.py", "a/test_journey.py", "test_settings.py", "a/test_d.py", "x/test_y.py", "e2e/test_d.py"]
    assert misplaced_tests(tests, modules) == ["a/test_d.py", "x/test_y.py"]


def test_no_module_repeats_the_name_of_its_package() -> None:
    assert [str(path.relative_to(ROOT)) for path in PACKAGE if path.stem == path.parent.name] == []


def shared_class_names(sources: dict[str, str]) -> list[str]:
    """Return the names that several public classes have."""
    found = Counter(
        node.name
        for source in sources.values()
        for node in ast.parse(source).body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )
    return sorted(name for name, count in found.items() if count > 1)


def test_no_two_classes_have_the_same_name() -> None:
    assert shared_class_names({str(path): path.read_text(encoding="utf-8") for path in PACKAGE}) == []


def test_the_rule_on_class_names_can_fail() -> None:
    sources = {"a.py": "class Entry: ...\nclass _Own: ...", "b.py": "class Entry: ...\nclass _Own: ..."}
    assert shared_class_names(sources) == ["Entry"]


def unchecked_store_uses(source: str) -> list[str]:
    """Return the functions that open a transaction of the store, and whose name does not say so."""
    return [
        function.name
        for function in ast.parse(source).body
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        and "unauthorized_" not in function.name
        and any(
            isinstance(node, ast.Attribute)
            and node.attr in ("read", "write")
            and isinstance(node.value, ast.Attribute)
            and node.value.attr in ("store", "async_store")
            for node in ast.walk(function)
        )
    ]


def test_no_handler_uses_the_store_past_the_checks_of_its_context() -> None:
    folders = [ROOT / "aizen_hub" / "service" / name for name in ("api", "panel", "oauth")]
    handlers = [path for folder in folders for path in folder.rglob("*.py")]
    found = {str(path): unchecked_store_uses(path.read_text(encoding="utf-8")) for path in handlers}
    assert {path: names for path, names in found.items() if names} == {}


def test_the_rule_on_the_store_can_fail() -> None:
    body = "(ctx):\n    with ctx.service.store.read() as tx: ..."
    assert unchecked_store_uses(f"def show{body}\ndef _unauthorized_show{body}") == ["show"]


def test_folders_stay_small() -> None:
    sizes = Counter(path.parent.relative_to(ROOT) for path in PACKAGE)
    assert {str(folder): size for folder, size in sizes.items() if size > MAX_MODULES} == {}

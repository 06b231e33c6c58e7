"""The catalog loader: invalid files are refused with file, line and remedy; the four built-in catalogs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from aizen_hub.catalogs import loader
from aizen_hub.catalogs.catalog import ENDPOINTS, Catalog, CommandScope, Executor
from aizen_hub.catalogs.loader import BUILT_IN, CatalogError, load_catalog
from aizen_hub.catalogs.yaml_source import MAX_NODES, SourceError, parse_source, read_source
from aizen_hub.rbac.identity import IdentityKind
from aizen_hub.rbac.permission import Permission
from aizen_hub.rbac.role import ScopeKind

HEAD = """\
catalog: small
roles:
  reader:
    permissions: [read]
    scopes: [project]
  boss:
    permissions: [manage]
    scopes: [system]
"""


def write_catalog(folder: Path, text: str, name: str = "small.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


ENDPOINT_LINES = "endpoints:\n" + "".join(f"  {name}: manage:{name}\n" for name in ENDPOINTS)


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_built_in_catalog_loads(name: str) -> None:
    catalog = load_catalog(name)
    assert catalog.name == name
    assert re.fullmatch("[0-9a-f]{64}", catalog.hash)
    assert load_catalog(name).hash == catalog.hash
    assert all(role.built_in for role in catalog.roles.values())
    for entry in catalog.commands.values():
        assert (entry.permission is None) is (entry.scope is CommandScope.SELF), entry.name
        assert entry.executor is (Executor.ACCOUNTS if entry.handler else Executor.CORE)


def test_there_are_four_built_in_catalogs() -> None:
    assert set(BUILT_IN) == {"aizen", "aihub", "xat", "zenml"}


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        pytest.param(HEAD + "colour: red\n", 9, "`colour` is not a known key", id="unknown key"),
        pytest.param(HEAD + "commands:\n  - {command: a b, permision: read:b}\n", 10, "permision", id="misspelt key"),
        pytest.param(HEAD + "catalog: again\n", 9, "`catalog` is also in line 1: remove one", id="key twice"),
        pytest.param(HEAD.replace("  boss:", "  reader:"), 6, "`reader` is also in line 3", id="role twice"),
        pytest.param(
            HEAD + "commands:\n  - {command: show x, permission: read:x}\n  - {command: show x, permission: read:x}\n",
            11,
            "the command `show x` is also defined in line 10: remove one",
            id="command twice",
        ),
        pytest.param(
            HEAD + "commands:\n  - {command: drop x, permission: drop:x}\n",
            10,
            "no role could have it in its scope",
            id="a permission that no role has",
        ),
        pytest.param(
            HEAD + "commands:\n  - {command: show x, permission: read:x, scope: system}\n",
            10,
            "no role could have it in its scope (`system`)",
            id="a permission that no role has there",
        ),
        pytest.param(
            HEAD + "commands:\n  - {command: show x, permission: read:x, least_role: boss}\n",
            10,
            "does not have `read:x` there: write one of reader",
            id="an insufficient least role",
        ),
        pytest.param(
            HEAD + "    can_grant: [readr]\n", 9, "unknown role `readr`: write one of reader, boss", id="unknown role"
        ),
        pytest.param(HEAD + "admin_role: root\n", 9, "unknown role `root`", id="unknown admin role"),
        pytest.param(HEAD + "default_groups: {g: {roles: [x]}}\n", 9, "unknown role `x`", id="unknown role of a group"),
        pytest.param(
            HEAD + "service_accounts: {g: {roles: [x]}}\n", 9, "unknown role `x`", id="unknown role of an account"
        ),
        pytest.param(
            HEAD + "service_accounts: {g: {credential_issuers: [x]}}\n", 9, "unknown role `x`", id="unknown issuer"
        ),
        pytest.param(HEAD + "creator_role_removers: [x]\n", 9, "unknown role `x`", id="unknown remover"),
        pytest.param(
            HEAD + "    can_grant_to_self: [reader]\n",
            9,
            "in neither `can_grant` nor `can_revoke`",
            id="can_grant_to_self alone",
        ),
        pytest.param(HEAD + "    command_verbs: [raed]\n", 9, "`raed`, which no command needs", id="unknown verb"),
        pytest.param(HEAD.replace("[manage]", "[Manage]"), 7, "`Manage` is not a verb or noun", id="not a permission"),
        pytest.param(
            HEAD.replace("[system]", "[global]"), 8, "Input should be 'system' or 'project'", id="unknown scope"
        ),
        pytest.param(
            HEAD + "    limits: {gpu: 3}\n", 9, "should be 'projects', 'jobs', 'memory' or 'cpu'", id="limit kind"
        ),
        pytest.param(HEAD + "permissions: {Few: {limit: jobs}}\n", 9, "with its `value`", id="a limit without a value"),
        pytest.param(
            HEAD + "permissions: {Few: {limit: jobs, value: 2, permission: read}}\n", 9, "either", id="right and limit"
        ),
        pytest.param(HEAD + "permissions: {'a:b': {permission: read}}\n", 9, "match pattern", id="colon in name"),
        pytest.param(
            HEAD + "permissions:\n  Read: {permission: read}\n  Look: {permission: 'read:*'}\n",
            11,
            "`permissions.Look` is the same as `Read`",
            id="a permission under two names",
        ),
        pytest.param(
            HEAD + "permissions:\n  Few: {limit: jobs, value: 1}\n  FEW: {limit: jobs, value: 2}\n",
            11,
            "`permissions.FEW` is the same as `Few`",
            id="one name for two permissions",
        ),
        pytest.param(HEAD + "    limits: {jobs: -1}\n", 9, "greater than or equal to 0", id="negative limit"),
        pytest.param(
            HEAD + "commands:\n  - {command: Show x, permission: read:x}\n", 10, "pattern", id="not two words"
        ),
        pytest.param(HEAD + "commands:\n  - {permission: read:x}\n", 10, "a command needs its words", id="no words"),
        pytest.param(HEAD + "commands: {show x: {}}\n", 9, "must be a list", id="commands not a list"),
        pytest.param(
            HEAD + "commands:\n  - {command: show x}\n", 10, "needs a `permission`, or `scope: self`", id="none"
        ),
        pytest.param(
            HEAD + "commands:\n  - {command: show x, scope: self, permission: read:x}\n", 10, "exactly one", id="both"
        ),
        pytest.param(
            HEAD + 'commands:\n  - {command: show x, permission: read:x, grammar: "<a"}\n',
            10,
            "cannot be parsed",
            id="grammar",
        ),
        pytest.param(
            HEAD + "commands:\n  - {command: show x, permission: read:x, project_argument: p}\n",
            10,
            "has no argument `p`",
            id="project argument",
        ),
        pytest.param(
            HEAD + "commands:\n  - {command: show x, permission: read:x, open_for_self: true}\n",
            10,
            "no argument `user`",
            id="open for self",
        ),
        pytest.param(
            HEAD + 'commands:\n  - {command: show x, permission: read:x, grammar: "<a>", secret: [b]}\n',
            10,
            "has no argument `b` to keep secret",
            id="secret",
        ),
        pytest.param(
            HEAD + "commands:\n  - {command: show, permission: read:x}\n  - {command: show x, permission: read:x}\n",
            11,
            "are ambiguous",
            id="one word or two",
        ),
        pytest.param(
            HEAD + "commands:\n  - {command: show x, permission: read:x, aliases: [show y]}\n"
            "  - {command: show y, permission: read:y}\n",
            10,
            "is already a spelling",
            id="alias of another",
        ),
        pytest.param("- a\n", 1, "expected `key: value` pairs", id="a list"),
        pytest.param("roles: [a\n", 2, "not YAML", id="not YAML"),
        pytest.param("roles: !!python/object:os.system {}\n", 1, "is not supported", id="a tag"),
        pytest.param("? [a, b]\n: c\n", 1, "a key must be plain text", id="a list as a key"),
    ],
)
def test_invalid_catalogs_are_refused(tmp_path: Path, text: str, line: int, message: str) -> None:
    path = write_catalog(tmp_path, text)
    with pytest.raises(CatalogError) as caught:
        load_catalog(path)
    assert f"{path}:{line}: " in str(caught.value)
    assert message in str(caught.value)


def test_all_faults_at_once(tmp_path: Path) -> None:
    path = write_catalog(
        tmp_path, HEAD + "    can_grant: [x]\nadmin_role: y\ncommands:\n  - {command: a b, permission: zap:b}\n"
    )
    with pytest.raises(CatalogError) as caught:
        load_catalog(path)
    assert [line.split(": ")[0].rpartition(":")[2] for line in str(caught.value).splitlines()] == ["9", "10", "1", "12"]
    assert "`endpoints` does not declare the permission of: users, groups" in str(caught.value)


def test_a_missing_catalog(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="there is no catalog `aizzen`: name one of aihub, aizen, xat, zenml"):
        load_catalog("aizzen")
    with pytest.raises(CatalogError, match="no such file"):
        load_catalog(tmp_path / "none.yaml")
    with pytest.raises(CatalogError, match="no such file"):
        load_catalog("aizen", [tmp_path / "none.yaml"])


def test_an_overlay_reclassifies_and_adds(tmp_path: Path) -> None:
    overlay = write_catalog(
        tmp_path,
        """\
roles:
  PROJECT_CREATOR: {can_revoke: [PROJECT_READER]}
  AUDITOR: {permissions: [read:audit, read:license], scopes: [system]}
commands:
  - {command: check license, permission: read:license, least_role: AUDITOR}
  - {command: show widget, permission: read:widget, least_role: PROJECT_READER, group: Widgets}
""",
    )
    plain, changed = load_catalog("aizen"), load_catalog("aizen", [overlay])
    assert changed.hash != plain.hash
    assert len(changed.commands) == 156
    assert changed.commands["check license"].permission == Permission("read", "license")
    assert changed.commands["check license"].group == plain.commands["check license"].group
    assert changed.roles["PROJECT_CREATOR"].can_revoke == {"PROJECT_READER"}
    assert changed.roles["PROJECT_CREATOR"].can_grant == plain.roles["PROJECT_CREATOR"].can_grant
    assert Permission("read", "widget") in changed.roles["PROJECT_READER"].permissions
    assert Permission("read", "audit") not in changed.roles["PROJECT_READER"].permissions


def test_a_fault_of_an_overlay_names_the_overlay(tmp_path: Path) -> None:
    overlay = write_catalog(
        tmp_path, "commands:\n\n  - {command: start training, permission: zap:training}\n", "over.yaml"
    )
    with pytest.raises(CatalogError, match=rf"{overlay}:3: .*no role could have"):
        load_catalog("aizen", [overlay])


def test_an_overlay_changes_one_endpoint_and_leaves_the_others(tmp_path: Path) -> None:
    overlay = write_catalog(tmp_path, "endpoints: {impersonate: impersonate:users, limits: manage:roles}\n")
    plain, changed = load_catalog("aizen").endpoints, load_catalog("aizen", [overlay]).endpoints
    assert {key for key in changed if plain.get(key) != changed[key]} == {"impersonate", "limits"}
    assert set(ENDPOINTS) < set(changed)


def test_every_endpoint_permission_in_code_is_in_every_catalog() -> None:
    endpoints = set()
    for path in (Path(loader.__file__).parents[1]).rglob("*.py"):
        endpoints |= set(
            re.findall(r'(?:endpoint_permission\(\w+, |Requirement\.endpoint\()"([a-z-]+)"', path.read_text("utf-8"))
        )
    assert endpoints == set(ENDPOINTS)


def test_later_overlays_win(tmp_path: Path) -> None:
    first = write_catalog(tmp_path, "commands: [{command: plot, description: one}]\n", "one.yaml")
    second = write_catalog(tmp_path, "commands: [{command: plot, description: two}]\n", "two.yaml")
    assert load_catalog("aizen", [first, second]).commands["plot"].description == "two"


def test_expanding_aliases_are_bounded() -> None:
    text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 8)
    )
    assert MAX_NODES < 10**8
    with pytest.raises(SourceError, match="too large or too deep"):
        parse_source(text, "bomb.yaml")
    with pytest.raises(SourceError, match="too large or too deep"):
        parse_source("a: &a\n  b: *a\n", "loop.yaml")


def test_deep_nesting_is_refused() -> None:
    with pytest.raises(SourceError, match=r"^f\.yaml:2: too deep: split the file$"):
        parse_source("a: 1\nb: " + "[" * 5_000 + "]" * 5_000, "f.yaml")


def test_an_invalid_yaml_character() -> None:
    with pytest.raises(SourceError, match=r"^f\.yaml:2: not YAML: the character U\+0007 is not allowed$"):
        parse_source("a: 1\nb: \a\nc: 1\n", "f.yaml")


def test_a_tab_before_a_value_is_refused() -> None:
    """libyaml accepts it: replacing the parser must not change which files are accepted."""
    with pytest.raises(SourceError, match=r"^f\.yaml:1: not YAML: found character '\\t'"):
        parse_source("a: \tb\n", "f.yaml")


@pytest.mark.parametrize("name", loader.BUILT_IN)
def test_both_parsers_read_the_same_from_a_file_of_the_package(name: str) -> None:
    path = loader.FOLDER / f"{name}.yaml"
    assert read_source(path, is_ours=True) == read_source(path)


def test_an_impossible_date() -> None:
    with pytest.raises(SourceError, match=r"f\.yaml: .*month"):
        parse_source("a: 2026-13-45\n", "f.yaml")


def test_no_code_depends_on_a_catalog_name() -> None:
    package = Path(loader.__file__).parent.parent
    names = re.compile(r"""==\s*["'](aizen|aihub|xat|zenml)["']|["'](aihub|xat|zenml)["']\s*(==|in\b)""")
    paths = [path for path in package.rglob("*.py") if names.search(path.read_text(encoding="utf-8"))]
    assert paths == []


class TestAizen:
    catalog: Catalog = load_catalog("aizen")

    def test_its_roles(self) -> None:
        assert set(self.catalog.roles) == {
            "PROJECT_READER", "PROJECT_EXECUTOR", "PROJECT_ADMIN", "PROJECT_CREATOR", "AIZEN_ADMIN",
        }  # fmt: skip
        assert self.catalog.admin_role == "AIZEN_ADMIN"
        assert self.catalog.creator_role == "PROJECT_ADMIN"
        assert {name for name, role in self.catalog.roles.items() if role.protected} == {"AIZEN_ADMIN", "PROJECT_ADMIN"}
        assert {name for name, role in self.catalog.roles.items() if role.requires_confirmation} == {"AIZEN_ADMIN"}

    def test_a_reader_cannot_read_assignments(self) -> None:
        for name in ("PROJECT_READER", "PROJECT_EXECUTOR"):
            verbs = {permission.verb for permission in self.catalog.roles[name].permissions}
            assert Permission("read", "access") not in self.catalog.roles[name].permissions
            assert Permission("read") not in self.catalog.roles[name].permissions
            assert verbs <= {"read", "write", "execute"}

    def test_its_account_commands_name_their_handlers(self) -> None:
        handlers = {entry.name: entry.handler for entry in self.catalog.commands.values() if entry.handler}
        assert handlers == {name: name.replace(" ", "_") for name in handlers}
        assert len(handlers) == 15
        assert self.catalog.aliases == {"delete user": "delete users"}

    def test_jobs_and_secrets_are_data(self) -> None:
        commands = self.catalog.commands
        assert {name for name, entry in commands.items() if entry.job == "starts"} >= {"start training", "run pca"}
        assert {name for name, entry in commands.items() if entry.job == "stops"} >= {"stop training", "stop all"}
        assert commands["status training"].job is None
        assert commands["install credentials"].is_secret("anything")
        assert not commands["install credentials"].is_secret("name")
        assert not commands["start training"].is_secret("anything")


class TestAiHub:
    catalog: Catalog = load_catalog("aihub")

    def test_its_ten_roles(self) -> None:
        assert {name for name in self.catalog.roles if name.startswith("aihub:")} == {
            "aihub:projects:create", "aihub:projects:deployment-creation", "aihub:deployment-creation-connections",
            "aihub:queues:create", "aihub:schedule", "aihub:sync", "aihub:impersonate", "aihub:admin",
            "aihub:license-reporter", "aihub:endpoint:admin",
        }  # fmt: skip

    def test_its_default_groups(self) -> None:
        users, admin = self.catalog.default_groups
        assert (users.name, users.includes_new_users) == ("users", True)
        assert set(users.roles) == {
            "aihub:projects:create", "aihub:projects:deployment-creation", "aihub:deployment-creation-connections",
            "aihub:queues:create", "aihub:schedule",
        }  # fmt: skip
        assert (admin.name, admin.includes_new_users, admin.roles) == ("admin", False, ("aihub:admin",))

    def test_dangerous_rights_are_for_service_accounts(self) -> None:
        (agent,) = self.catalog.service_accounts
        assert agent.credential_issuers == ("aihub:admin",), "so that the first administrator can start with it"
        assert agent.name == "aihub-jobagent"
        assert set(agent.roles) == {"aihub:sync", "aihub:impersonate"}
        for name in agent.roles:
            assert self.catalog.roles[name].assignable_to == {IdentityKind.SERVICE_ACCOUNT}
        assert self.catalog.endpoints["impersonate"] == Permission("impersonate", "users")
        assert self.catalog.groups_claim_required


class TestXat:
    catalog: Catalog = load_catalog("xat")

    def test_its_roles(self) -> None:
        verbs = {
            name: {permission.verb for permission in role.permissions} for name, role in self.catalog.roles.items()
        }
        assert verbs == {
            "Viewer": {"read"},
            "Editor": {"read", "write", "run"},
            "Manager": {"read", "write", "run", "delete"},
            "Admin": {"*"},
        }
        assert all(role.scopes == frozenset(ScopeKind) for role in self.catalog.roles.values())

    def test_the_creators_role_cannot_be_deleted(self) -> None:
        assert self.catalog.creator_role == "Manager"
        assert self.catalog.creator_role_removers == frozenset()
        assert self.catalog.default_groups[0].name == "Administrators"


class TestZenMl:
    catalog: Catalog = load_catalog("zenml")

    def test_its_roles(self) -> None:
        assert {
            name: {str(permission) for permission in role.permissions} for name, role in self.catalog.roles.items()
        } == {
            "guest": {"read:*", "me:*"},
            "admin": {"read:*", "write:*", "me:*"},
        }

    def test_every_permission_is_one_of_three(self) -> None:
        assert {permission.verb for permission in self.catalog.permissions} == {"read", "write", "me"}


@pytest.mark.parametrize("name", BUILT_IN)
def test_the_permissions_of_a_catalog_have_names(name: str) -> None:
    catalog = load_catalog(name)
    assert all(named.built_in and named.description for named in catalog.named_permissions)
    for permission in catalog.permissions:
        covering = [named for named in catalog.named_permissions if named.permission]
        assert any(named.permission and named.permission.covers(permission) for named in covering), permission
    assert not catalog.is_known(Permission("fly"))
    assert not catalog.is_known(Permission("read", "nothing"))
    assert all(catalog.is_known(permission) for role in catalog.roles.values() for permission in role.permissions)


@pytest.mark.parametrize(
    ("name", "scopes"),
    [
        ("zenml", {ScopeKind.SYSTEM, ScopeKind.PROJECT}),
        ("xat", {ScopeKind.SYSTEM, ScopeKind.PROJECT}),
        ("aizen", {ScopeKind.PROJECT}),
        ("aihub", {ScopeKind.PROJECT}),
    ],
)
def test_the_scopes_of_a_custom_role_that_names_none(name: str, scopes: set[ScopeKind]) -> None:
    assert load_catalog(name).custom_role_scopes == scopes


def test_a_catalog_with_one_scope_makes_custom_roles_of_that_scope(tmp_path: Path) -> None:
    overlay = write_catalog(tmp_path, "roles: {guest: {scopes: [system]}, admin: {scopes: [system]}}\n")
    assert load_catalog("zenml", [overlay]).custom_role_scopes == {ScopeKind.SYSTEM}


def test_an_overlay_adds_a_permission_for_an_application(tmp_path: Path) -> None:
    overlay = write_catalog(tmp_path, "permissions: {Score: {permission: score:model, description: Score}}\n")
    catalog = load_catalog("aizen", [overlay])
    assert catalog.is_known(Permission("score", "model"))
    assert len(catalog.named_permissions) == len(load_catalog("aizen").named_permissions) + 1


def test_every_command_belongs_to_a_task() -> None:
    catalog = load_catalog("aizen")
    assert catalog.tasks == (
        "Data",
        "Training",
        "Serving",
        "Data reports",
        "Language models",
        "Project",
        "Access",
        "Platform",
    )
    assert {entry.task for entry in catalog.commands.values()} == set(catalog.tasks)
    assert catalog.commands["start training"].task == "Training"
    assert catalog.commands["grant role"].task == "Access"
    assert catalog.word_of("execute") == "run"
    assert catalog.word_of("delete") == "delete"


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_catalog_has_tasks(name: str) -> None:
    catalog = load_catalog(name)
    assert all(entry.task in catalog.tasks for entry in catalog.commands.values())


def test_a_group_without_a_task_is_one(tmp_path: Path) -> None:
    commands = (
        "commands:\n  - {command: show x, group: Base / First, permission: read:x}\n"
        "  - {command: show y, group: Base / Second, permission: read:y}\n  - {command: show z, permission: read:z}\n"
    )
    tasks = "tasks: {Looking: [Base / First]}\nverb_words: {read: see}\nnoun_words: {x: the X}\n"
    catalog = load_catalog(write_catalog(tmp_path, HEAD + ENDPOINT_LINES + tasks + commands))
    assert catalog.tasks == ("Looking", "Second", "Other")
    assert [entry.task for entry in catalog.commands.values()] == ["Looking", "Second", "Other"]
    assert (catalog.words_of_noun("x"), catalog.words_of_noun("data-drift")) == ("the X", "data drift")


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        ("{Looking: [Base / Third]}", "the group of no command"),
        ("{Looking: [Base / First], Seeing: [Base / First]}", "remove one of them"),
    ],
)
def test_tasks_that_do_not_fit_the_commands(tmp_path: Path, tasks: str, message: str) -> None:
    text = f"tasks: {tasks}\ncommands:\n  - {{command: show x, group: Base / First, permission: read:x}}\n"
    with pytest.raises(CatalogError, match=message):
        load_catalog(write_catalog(tmp_path, HEAD + ENDPOINT_LINES + text))

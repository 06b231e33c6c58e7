"""The store compared with a small reference model, for any operations in any order."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from aizen_hub.accounts.groups import management, membership
from aizen_hub.accounts.projects import lifecycle
from aizen_hub.accounts.roles import assignments
from aizen_hub.accounts.sessions import locks
from aizen_hub.accounts.users import bootstrap, registration
from aizen_hub.problems import Problem
from aizen_hub.rbac.assignment import LockTarget
from aizen_hub.rbac.decision import AuthorizationRequest
from aizen_hub.rbac.engine import decide
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.permission import Permission
from tests.accounts.harness import OPERATOR, AccountsHarness, open_harness

PEOPLE = ("ann", "bob", "cleo")
GROUPS = ("ops", "dev")
PROJECTS = ("p1", "p2")
ROLES = ("PROJECT_READER", "PROJECT_EXECUTOR", "PROJECT_ADMIN")
ASKED = {"read:training": ROLES, "execute:training": ROLES[1:], "delete:training": ROLES[2:]}


@dataclass
class Model:
    """The expected state."""

    people: set[str] = field(default_factory=set)
    gone: set[str] = field(default_factory=set)
    projects: set[str] = field(default_factory=set)
    closed: set[str] = field(default_factory=set)
    roles: set[tuple[str, str, str]] = field(default_factory=set)  # identity, scope, role
    members: set[tuple[str, str]] = field(default_factory=set)  # group, identity
    locked: set[str] = field(default_factory=set)

    def admins(self, project: str) -> set[str]:
        return {
            person
            for person in self.people
            if (f"user:{person}", project, "PROJECT_ADMIN") in self.roles and f"user:{person}" not in self.locked
        }

    def can_lose(self, person: str, project: str) -> bool:
        return person not in self.admins(project) or len(self.admins(project)) > 1

    def groups_of(self, identity: str) -> set[str]:
        groups: set[str] = set()
        front = {identity}
        while front:
            front = {f"group:{group}" for group, member in self.members if member in front} - groups
            groups |= front
        return groups

    def allows(self, person: str, permission: str, project: str) -> bool:
        me = f"user:{person}"
        if person not in self.people or me in self.locked:
            return False
        holders = {me} | {one for one in self.groups_of(me) if one not in self.locked}
        return any((one, project, role) in self.roles for one in holders for role in ASKED[permission])


class StoreAgainstModel(RuleBasedStateMachine):
    template_folder: Path

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        shutil.copytree(self.template, self.folder / "data")
        self.harness: AccountsHarness = open_harness(self.folder / "data")
        self.model = Model()

    def teardown(self) -> None:
        self.harness.close()
        shutil.rmtree(self.folder)

    def tried(self, expected: bool, operation: Any, *args: Any, **kwargs: Any) -> bool:
        try:
            self.harness.execute(OPERATOR, operation, *args, **kwargs)
        except Problem:
            assert not expected, (operation, args)
            return False
        assert expected, (operation, args)
        return True

    @rule(person=st.sampled_from(PEOPLE))
    def register(self, person: str) -> None:
        free = person not in self.model.people | self.model.gone
        if self.tried(free, registration.create_user, person, provider="ldap"):
            self.model.people.add(person)

    @rule(person=st.sampled_from(PEOPLE))
    def delete(self, person: str) -> None:
        ok = person in self.model.people and all(self.model.can_lose(person, one) for one in self.model.projects)
        if self.tried(ok, registration.delete_users, [person]):
            me = f"user:{person}"
            self.model.people.discard(person)
            self.model.gone.add(person)
            self.model.roles = {one for one in self.model.roles if one[0] != me}
            self.model.members = {one for one in self.model.members if one[1] != me}
            self.model.locked.discard(me)

    @rule(project=st.sampled_from(PROJECTS), owner=st.sampled_from(PEOPLE))
    def create_project(self, project: str, owner: str) -> None:
        free = project not in self.model.projects | self.model.closed
        free = free and owner in self.model.people and f"user:{owner}" not in self.model.locked
        if self.tried(free, lifecycle.create_project, project, owner=Identity.user(owner)):
            self.model.projects.add(project)
            self.model.roles.add((f"user:{owner}", project, "PROJECT_ADMIN"))

    @rule(project=st.sampled_from(PROJECTS))
    def delete_project(self, project: str) -> None:
        if self.tried(project in self.model.projects, lifecycle.delete_project, project):
            self.model.projects.discard(project)
            self.model.closed.add(project)
            self.model.roles = {one for one in self.model.roles if one[1] != project}

    @rule(name=st.sampled_from(PEOPLE + GROUPS), role=st.sampled_from(ROLES), project=st.sampled_from(PROJECTS))
    def grant(self, name: str, role: str, project: str) -> None:
        identity = Identity.group(name) if name in GROUPS else Identity.user(name)
        ok = project in self.model.projects and (name in GROUPS or name in self.model.people)
        if self.tried(ok, assignments.grant_roles, [role], project, identity):
            self.model.roles.add((str(identity), project, role))

    @rule(name=st.sampled_from(PEOPLE + GROUPS), role=st.sampled_from(ROLES), project=st.sampled_from(PROJECTS))
    def revoke(self, name: str, role: str, project: str) -> None:
        identity = Identity.group(name) if name in GROUPS else Identity.user(name)
        ok = (str(identity), project, role) in self.model.roles
        if name in PEOPLE and role == "PROJECT_ADMIN":
            ok = ok and self.model.can_lose(name, project)
        if self.tried(ok, assignments.revoke_roles, [role], project, identity):
            self.model.roles.discard((str(identity), project, role))

    @rule(group=st.sampled_from(GROUPS), name=st.sampled_from(PEOPLE + GROUPS))
    def join(self, group: str, name: str) -> None:
        identity = Identity.group(name) if name in GROUPS else Identity.user(name)
        circle = group == name or f"group:{name}" in self.model.groups_of(f"group:{group}")
        ok = (name in GROUPS and not circle) or name in self.model.people
        if self.tried(ok, membership.add_member, group, identity):
            self.model.members.add((group, str(identity)))

    @rule(group=st.sampled_from(GROUPS), name=st.sampled_from(PEOPLE + GROUPS))
    def leave(self, group: str, name: str) -> None:
        identity = Identity.group(name) if name in GROUPS else Identity.user(name)
        if self.tried((group, str(identity)) in self.model.members, membership.remove_member, group, identity):
            self.model.members.discard((group, str(identity)))

    @rule(name=st.sampled_from(PEOPLE + GROUPS))
    def lock(self, name: str) -> None:
        identity = Identity.group(name) if name in GROUPS else Identity.user(name)
        ok = name in GROUPS or (
            name in self.model.people and all(self.model.can_lose(name, one) for one in self.model.projects)
        )
        if self.tried(ok, locks.lock_target, LockTarget.IDENTITY, str(identity), reason="x"):
            self.model.locked.add(str(identity))

    @rule(name=st.sampled_from(PEOPLE + GROUPS))
    def unlock(self, name: str) -> None:
        identity = Identity.group(name) if name in GROUPS else Identity.user(name)
        is_locked = str(identity) in self.model.locked
        if self.tried(is_locked, locks.unlock_target, LockTarget.IDENTITY, str(identity), reason="over"):
            self.model.locked.discard(str(identity))

    @invariant()
    def every_decision_is_the_model_s(self) -> None:
        with self.harness.read() as tx:
            for person in PEOPLE:
                rights = tx.rights(Identity.user(person))
                for project in PROJECTS:
                    for permission in ASKED:
                        allowed = decide(
                            rights, AuthorizationRequest(Permission.parse(permission), project), tx.now
                        ).allowed
                        assert allowed == self.model.allows(person, permission, project), (person, permission, project)

    @invariant()
    def every_project_keeps_an_admin(self) -> None:
        assert all(self.model.admins(project) for project in self.model.projects)


@pytest.mark.proves("R31", "R61", "R69", "R78")
def test_the_store_agrees_with_the_model(template_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(template_folder, folder)
    harness = open_harness(folder)
    harness.execute(OPERATOR, bootstrap.bootstrap_installation, harness.settings)
    for name in GROUPS:
        harness.execute(OPERATOR, management.create_group, name)
    harness.close()
    StoreAgainstModel.template = folder
    run_state_machine_as_test(
        StoreAgainstModel, settings=settings(max_examples=40, stateful_step_count=30, deadline=None)
    )

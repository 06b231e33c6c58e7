"""Custom roles in the panel: made, copied, changed after a preview, deleted."""

from __future__ import annotations

import re

import pytest

from aizen_hub.accounts.roles import assignments, custom_roles
from aizen_hub.rbac.assignment import Interval
from aizen_hub.rbac.identity import Identity
from aizen_hub.service.factory import SERVICE_ACTOR
from tests.fixtures.browser.panel import PanelService
from tests.service.panel.projects.objects import location, post, seed, status, words

__all__ = ["seed"]


def permissions_of(panel: PanelService, name: str) -> set[str]:
    with panel.store.read() as tx:
        return set(map(str, tx.roles[name].permissions))


def version_of(panel: PanelService, name: str) -> str:
    match = re.search(r'name="version" value="(\d+)"', panel.get("boss", f"roles/{name}/edit"))
    assert match is not None
    return match.group(1)


def test_a_role_is_previewed_and_made(panel: PanelService) -> None:
    fields = (("p", "execute:training"), ("p", "read:training"), ("s", "project"))
    form = {"name": "TRAINER", "description": "Starts trainings", "limit_jobs": "2"}
    content = words(post(panel, "boss", "roles/-/preview", *fields, **form).body.decode())
    assert "+ run training" in content
    assert "+ at most 2 jobs" in content
    assert "start training" in content
    with panel.store.read() as tx:
        assert "TRAINER" not in tx.roles
    assert location(post(panel, "boss", "roles/-/save", *fields, **form)) == "roles/TRAINER"
    assert permissions_of(panel, "TRAINER") == {"execute:training", "read:training"}
    with panel.store.read() as tx:
        assert {str(kind): value for kind, value in tx.roles["TRAINER"].limits.items()} == {"jobs": 2}


@pytest.mark.proves("R60")
def test_a_change_names_who_has_the_role(panel: PanelService) -> None:
    with panel.store.write(SERVICE_ACTOR) as tx:
        custom_roles.create_role(tx, "COUNTER", permissions=["read:dataset"])
        holder = Identity.user("rita")
        assignments.unauthorized_write_assignment(tx, "COUNTER", "churn", holder, interval=Interval(), reason="seeded")
    content = post(panel, "boss", "roles/COUNTER/preview", ("p", "read:dataset"), limit_jobs="2").body.decode()
    assert "It takes effect at once for 1 assignment of COUNTER. Who has it:" in words(content)
    assert "people/rita" in content


def test_a_copy_is_filled_in(panel: PanelService) -> None:
    text = panel.get("boss", "roles/-/new?template=PROJECT_READER")
    assert 'value="read:dataset" aria-label="see dataset" checked' in text
    assert 'value="delete:dataset" aria-label="delete dataset" checked' not in text


def test_a_change_shows_the_difference_first(panel: PanelService) -> None:
    version = version_of(panel, "LABELLER")
    fields = (("p", "read:dataset"), ("p", "execute:dataset"))
    form = {"version": version, "description": "Labels"}
    content = words(post(panel, "boss", "roles/LABELLER/preview", *fields, **form).body.decode())
    assert "\N{MINUS SIGN} configure dataset" in content
    assert "+ run dataset" in content
    assert "LABELLER is not assigned" in content
    assert permissions_of(panel, "LABELLER") == {"read:dataset", "write:dataset"}
    assert location(post(panel, "boss", "roles/LABELLER/save", *fields, **form)) == "roles/LABELLER"
    assert permissions_of(panel, "LABELLER") == {"read:dataset", "execute:dataset"}
    stale = post(panel, "boss", "roles/LABELLER/save", ("p", "read:dataset"), version=version)
    assert stale.status == 412
    post(
        panel,
        "boss",
        "roles/LABELLER/save",
        ("p", "read:dataset"),
        ("p", "write:dataset"),
        description="Labels data sets",
    )


@pytest.mark.parametrize(
    ("fields", "form", "text"),
    [
        ((("p", "fly:dataset"),), {"name": "X1"}, "there is no permission"),
        ((("p", "read:dataset"),), {"name": ""}, "give the role a name"),
        ((("p", "read:dataset"),), {"name": "X1", "limit_jobs": "many"}, "write a number"),
    ],
)
def test_errors_keep_what_was_ticked(
    panel: PanelService, fields: tuple[tuple[str, str], ...], form: dict[str, str], text: str
) -> None:
    response = post(panel, "boss", "roles/-/preview", *fields, ("s", "project"), **form)
    assert response.status == 422
    assert text in response.body.decode().lower()
    assert f'value="{fields[0][1]}"' in response.body.decode()


def test_a_role_is_deleted_by_its_name(panel: PanelService) -> None:
    post(panel, "boss", "roles/-/save", ("p", "read:dataset"), ("s", "project"), name="SHORT")
    assert post(panel, "boss", "roles/SHORT/delete", confirm="LONG").status == 422
    assert location(post(panel, "boss", "roles/SHORT/delete", confirm="SHORT")) == "roles"
    assert status(panel, "boss", "roles/SHORT") == 404


@pytest.mark.proves("R75")
@pytest.mark.parametrize("page", ["edit", "preview", "save", "delete"])
def test_built_in_roles_have_no_such_page(panel: PanelService, page: str) -> None:
    if page == "edit":
        assert status(panel, "boss", "roles/PROJECT_READER/edit") == 404
    else:
        form = {"confirm": "PROJECT_READER"} if page == "delete" else {}
        assert post(panel, "boss", f"roles/PROJECT_READER/{page}", **form).status == 404
    assert "read:dataset" in permissions_of(panel, "PROJECT_READER")


@pytest.mark.proves("R60")
@pytest.mark.parametrize("user", ["paul", "nil", "maker"])
def test_only_those_who_manage_roles(panel: PanelService, user: str) -> None:
    assert status(panel, user, "roles/-/new") == 403
    assert status(panel, user, "roles/LABELLER/edit") == 403
    for page in ("preview", "save"):
        assert post(panel, user, f"roles/LABELLER/{page}", ("p", "read:dataset")).status == 403
    assert post(panel, user, "roles/LABELLER/delete", confirm="LABELLER").status == 403
    assert permissions_of(panel, "LABELLER") == {"read:dataset", "write:dataset"}


def test_kinds_of_object_have_the_words_of_the_catalog(panel: PanelService) -> None:
    content = words(panel.get("boss", "roles/LABELLER/edit"))
    assert "LLM application" in content
    assert "Principal component analysis" in content
    assert "Llm" not in content

"""Names typed for people, groups and service accounts."""

from __future__ import annotations

import pytest
from sqlalchemy import update

from aizen_hub.rbac.identity import Identity, IdentityKind
from aizen_hub.service.panel.fields.typed_identities import find_identity, read_grantees, read_identities
from aizen_hub.service.panel.form_errors import FieldError
from aizen_hub.store import tables
from aizen_hub.store.transaction import WriteTransaction
from tests.fixtures.browser.panel import PanelService
from tests.service.panel.projects.objects import seed

__all__ = ["seed"]
RITA, CREW, NIGHTLY = Identity.user("rita"), Identity.group("crew"), Identity.service_account("nightly")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("rita", [RITA]),
        ("RITA, crew;nightly", [RITA, CREW, NIGHTLY]),
        ("group:crew\nrita, rita", [CREW, RITA]),
        ("service-account:nightly", [NIGHTLY]),
    ],
)
def test_what_names_stand_for(panel: PanelService, text: str, expected: list[Identity]) -> None:
    assert panel.write("paul", lambda tx: read_identities(tx, text, field="who")) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "name at least one"),
        ("ritta", "there is no ritta, did you mean rita?"),
        ("group:rita", "there is no group:rita"),
        ("user:crew", "there is no user:crew"),
        (", ".join(f"x{number}" for number in range(8)), "and 3 more do not exist"),
        (", ".join(f"x{number}" for number in range(501)), "500 at once are possible"),
    ],
)
def test_errors(panel: PanelService, text: str, message: str) -> None:
    with pytest.raises(FieldError) as caught:
        panel.write("paul", lambda tx: read_identities(tx, text, field="who"))
    assert message in caught.value.detail
    assert caught.value.faults[0].pointer == "/who"


@pytest.mark.proves("R72")
def test_only_visible_names_are_suggested(panel: PanelService) -> None:
    with pytest.raises(FieldError) as caught:
        panel.write("paul", lambda tx: read_identities(tx, "zoee", field="who"))
    assert "did you mean" not in caught.value.detail  # zoe is in no project of paul
    with pytest.raises(FieldError) as caught:
        panel.write("boss", lambda tx: read_identities(tx, "zoee", field="who"))
    assert "did you mean zoe?" in caught.value.detail


def test_kinds_that_a_field_does_not_take(panel: PanelService) -> None:
    kinds = (IdentityKind.USER,)
    assert panel.write("paul", lambda tx: find_identity(tx, "crew", kinds)) is None
    assert panel.write("paul", lambda tx: find_identity(tx, "rita", kinds)) == RITA


@pytest.mark.proves("R72")
@pytest.mark.parametrize(
    ("user", "text", "expected"),
    [
        ("paul", "rita, group:crew", [RITA, CREW]),
        ("rita", "service-account:nightly", [NIGHTLY]),
        ("rita", "Nightly", [NIGHTLY]),
        ("rita", "nightly, crew", None),
        ("rita", "ghost", None),
        ("rita", "", None),
    ],
)
def test_who_may_not_give_a_role_may_name_what_they_control_only(
    panel: PanelService, user: str, text: str, expected: list[Identity] | None
) -> None:
    def read(tx: WriteTransaction) -> list[Identity]:
        tx.conn.execute(update(tables.service_accounts).values(controller="user:rita"))
        return read_grantees(tx, text, tx.roles["PROJECT_READER"], "churn", field="to")

    if expected is not None:
        assert panel.write(user, read) == expected
    else:
        with pytest.raises(FieldError, match="you cannot give PROJECT_READER in churn"):
            panel.write(user, read)
